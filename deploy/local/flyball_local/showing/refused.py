"""Refused reports: asked of ingest, and published again as they are."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client

from flyball_kit.newest import kept
from flyball_local.control import request
from flyball_local.invalid import InvalidInputError
from flyball_local.publish import Outcome, publish_raw
from flyball_local.session import Session
from flyball_local.showing.listing import named
from flyball_proto import subjects
from flyball_proto.commands import ListQuarantined, Quarantined, QuarantinedReply
from flyball_proto.headers import CONTENT_TYPE
from flyball_proto.streams import QUARANTINE

LABELS: Final = ("_labels.", "_unread.")
"""What a pipeline's refused labels are asked for by, in the place of a source's name."""


@dataclass(frozen=True, slots=True)
class Retried:
    """A report that was published again, and what each pipeline made of it."""

    before: int
    sequence: int
    element: str
    outcomes: Sequence[Outcome]

    @property
    def lines(self) -> list[str]:
        """For people."""
        published = f"{self.before} of {self.element}: published again as {self.sequence}"
        if not self.outcomes:
            return [f"{published}; whether it is used shows in flyball tail samples"]
        return [f"{published}; {found.pipeline}: {found.sentence}" for found in self.outcomes]

    @property
    def is_accepted(self) -> bool:
        """Whether no pipeline refused it again."""
        return all(found.values["outcome"] != "quarantined" for found in self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """One object of `--json`."""
        return {
            "before": self.before,
            "sequence": self.sequence,
            "element": self.element,
            "outcomes": {found.pipeline: found.values for found in self.outcomes},
        }


async def listed(client: Client, source: str, limit: int) -> QuarantinedReply:
    """Refused reports of a source; role `operator`.

    Raises:
        InvalidInputError: Nothing of that name was refused, but of others; names them.
        RefusedError: No source can be named so.
    """
    command = ListQuarantined(source=source, limit=limit)
    reply = await request(client, "ingest", "quarantine", command, QuarantinedReply)
    if reply.total or not (others := await _others(client)):
        return reply
    raise InvalidInputError(f"nothing of {source} was refused; of these was: {named(others)}")


async def one(client: Client, source: str, sequence: int) -> Quarantined:
    """One refused report with its payload; role `operator`.

    Raises:
        RefusedError: It is not kept.
    """
    command = ListQuarantined(source=source, sequence=sequence)
    return (await request(client, "ingest", "quarantine", command, QuarantinedReply)).reports[0]


async def retry(session: Session, client: Client, source: str, sequence: int) -> Retried:
    """Publish a refused report again and wait for what becomes of it.

    Raises:
        InvalidInputError: Its payload is not kept, or it came on a subject that nobody reads.
        RefusedError: It is not kept at all.
        TransientError: It was published, and nothing was heard of it in time.
    """
    report = await one(client, source, sequence)
    if report.payload is None or not subjects.is_element(report.element):
        found = "no payload" if report.payload is None else f"element {report.element!r}"
        raise InvalidInputError(
            f"report {sequence} of {source} was refused for {report.detail}: with {found} it "
            "cannot be published again; its element has to send it anew"
        )
    headers = {CONTENT_TYPE: report.content_type} if report.content_type else {}
    payload, element = payload_of(report), report.element
    if labels := next((p for p in LABELS if source.startswith(p)), ""):
        subject = subjects.labels(source.removeprefix(labels), element)
        new, outcomes = await publish_raw(session, subject, payload, headers)
    else:
        subject = subjects.metrics(source, element)
        new, outcomes = await publish_raw(session, subject, payload, headers, source)
    return Retried(sequence, new, element, outcomes)


def payload_of(report: Quarantined) -> bytes:
    """The bytes as the element sent them: base64 is always longer than what it stands for."""
    text = (report.payload or "").encode()
    return text if len(text) == report.size_bytes else base64.b64decode(text)


async def _others(client: Client) -> list[str]:
    """What else has refused reports, as it is asked for."""
    names = set()
    for subject in await kept(client, QUARANTINE, ["quarantine.>"]):
        tokens = subject.split(".")[1:]
        names.add(".".join(tokens[:2]) if tokens[0].startswith("_") else tokens[0])
    return sorted(names)
