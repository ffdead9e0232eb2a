"""What is refused is kept: which reports go to quarantine, and in what form. Pure but for `fetch`."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from flyball_ingest.fold import BAD_MARK
from flyball_kit.fold import Dispatch, Input
from flyball_proto import subjects
from flyball_proto.columns import SkipReason, decode_skipped
from flyball_proto.headers import (
    CONTENT_TYPE,
    COVERS,
    ORIGINAL_SEQUENCE,
    ORIGINAL_SUBJECT,
    REASONS,
)
from flyball_proto.streams import MAX_PAYLOAD_BYTES, METRICS

Dispatches = Sequence[Dispatch]
HEADER_BYTES: Final = 4096
PURGED: Final = "payload-purged"
"""Reason added when METRICS no longer holds the report."""

TOO_LARGE: Final = "payload-too-large"
"""Reason added when the report would, with its reasons, exceed what the broker takes."""


def route(message: Input, reports: str, labels: str) -> Dispatches:
    """One dispatch a refused report of a committed `FeatureBatch`; its payload is yet to be read.

    Labels, which have no rows, go to a subject of the pipeline's own: the pipelines of a source
    share the reports, but not the labels, and on a subject only newer keys are sent.
    """
    skipped = decode_skipped(message.data)
    details = skipped.detail or [""] * len(skipped.reason)
    return [
        Dispatch(
            reports if rows or detail == BAD_MARK else labels,
            (int(sequence), 0),
            b"",
            {REASONS: detail, ORIGINAL_SEQUENCE: str(sequence)},
        )
        for sequence, rows, reason, detail in zip(
            skipped.sequence, skipped.rows, skipped.reason, details, strict=True
        )
        if reason == SkipReason.QUARANTINED
    ]


async def fetch(dispatch: Dispatch, js: JetStreamContext) -> Dispatch:
    """The dispatch with the report as METRICS holds it."""
    reasons = dispatch.headers[REASONS]
    try:
        found = await js.get_msg(METRICS.name, seq=dispatch.key[0])
    except NotFoundError:
        return replace(dispatch, headers={**dispatch.headers, REASONS: f"{reasons},{PURGED}"})
    headers = {**dispatch.headers, ORIGINAL_SUBJECT: published_subject(found.subject or "")}
    if found.headers and CONTENT_TYPE in found.headers:
        headers[CONTENT_TYPE] = found.headers[CONTENT_TYPE]
    data = found.data or b""
    if len(data) + HEADER_BYTES > MAX_PAYLOAD_BYTES:
        return replace(dispatch, headers={**headers, REASONS: f"{reasons},{TOO_LARGE}"})
    return replace(dispatch, data=data, headers=headers)


def published_subject(stored: str) -> str:
    """Where a report was published: a stored subject without its partition."""
    parsed = subjects.parse_stored(stored)
    return f"{parsed.kind}.{parsed.source}.{parsed.element}" if parsed else stored


class Unfinished:
    """Which METRICS messages a quarantine may still have to read. Bounded by what is under way."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[int, int, int]] = deque()  # FEATURES, METRICS first and last
        self._unneeded = 0

    def routing(self, make: Callable[[Input], Dispatches]) -> Callable[[Input], Dispatches]:
        """The same route, watched."""

        def watched(message: Input) -> Dispatches:
            words = ((message.headers or {}).get(COVERS) or "").split()
            if len(words) == 3 and words[2] != "0":  # a tick covers nothing
                self._under_way.append((message.sequence, int(words[1]), int(words[2])))
            return make(message)

        return watched

    def unneeded(self, position: int) -> int:
        """The METRICS sequence up to which nothing is needed; 0 = unknown.

        `position` is the FEATURES sequence up to which everything is dispatched.
        """
        while self._under_way and self._under_way[0][0] <= position:
            self._unneeded = self._under_way.popleft()[2]
        if self._under_way:
            return max(self._unneeded, self._under_way[0][1] - 1)
        return self._unneeded
