"""Metrics that come in over HTTP: checked at the door, then stored in METRICS like any other."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError
from pydantic import BaseModel, Field

from flyball_gateway.identity.access import Person
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Change, Kv
from flyball_proto import headers, subjects
from flyball_proto.report import JSON, PROTOBUF, ReportError, decode_report
from flyball_proto.spec import Source
from flyball_proto.streams import METRICS, PIPELINES

TIMEOUT_S: Final = 5.0
STREAM_FULL: Final = 10077
SOURCE: Final = "source."


class BadReportError(PermanentError):
    """A report that no pipeline could use; `kind` is the stable code."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class FullError(TransientError):
    """METRICS holds as much as it may; what reads it has to catch up first."""

    kind = "full"


class Accepted(BaseModel):
    """A report is stored."""

    sequence: int = Field(description="In METRICS; decisions about it name it.")
    duplicate: bool = Field(description="It was stored before, under the same key.")


class Sources:
    """The names of the applied sources, followed."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._records: Kv[Source] = Kv(client, PIPELINES, Source)
        self.names: frozenset[str] = frozenset()
        self.synced = False

    async def follow(self) -> None:
        """Keep up with the bucket, for ever."""
        changes: AsyncGenerator[Change[Source], None] = self._records.watch(
            SOURCE, synced=self._on_synced
        )
        async with aclosing(changes):
            async for change in changes:
                name = frozenset({change.key.removeprefix(SOURCE)})
                self.names = self.names - name if change.value is None else self.names | name

    def check(self) -> str | None:
        """For `Health`: whether they were read."""
        return None if self.synced else "reading sources (bucket `pipelines`)"

    def _on_synced(self) -> None:
        self.synced = True


async def publish(
    client: Client,
    person: Person,
    source: str,
    element: str,
    report: bytes,
    *,
    content_type: str | None,
    key: str | None,
) -> Accepted:
    """Store a report; returns once the broker has acknowledged it.

    What is plainly wrong is refused here, because somebody waits for the answer. Whether values
    fit the source is ingest's to say, which keeps what it refuses in quarantine.

    Raises:
        BadReportError: it is no report, or of another element.
        FullError: METRICS is full; nothing was stored.
        TransientError: no acknowledgement; with a key it is safe to send it again.
    """
    kind = (content_type or JSON).partition(";")[0].strip().lower()
    check(element, report, kind)
    sent = {headers.CONTENT_TYPE: kind}
    if key is not None:
        sent[headers.MESSAGE_ID] = f"http {person.name} {source} {element} {key}"
    subject = subjects.metrics(source, element)
    try:
        ack = await client.jetstream().publish(subject, report, timeout=TIMEOUT_S, headers=sent)
    except APIError as error:
        if error.err_code == STREAM_FULL:
            raise FullError(
                f"{METRICS.name} is full: what reads it is behind; nothing was stored, send it "
                "again later (flyball status says who is behind)"
            ) from error
        raise TransientError(f"the broker refused: {error.description}; send it again") from error
    except (NatsError, OSError) as error:
        raise TransientError(
            f"no acknowledgement for {subject} ({error!r}); with an Idempotency-Key it is safe to "
            "send it again"
        ) from error
    return Accepted(sequence=ack.seq, duplicate=bool(ack.duplicate))


def check(element: str, report: bytes, content_type: str) -> None:
    """Whether this can be a report of that element.

    Raises:
        BadReportError: with `bad-element` or one of the codes of `decode_report`.
    """
    if not subjects.is_element(element):
        raise BadReportError(
            "bad-element",
            f"element {element[:64]!r}: valid are at most {subjects.MAX_ELEMENT_CHARS} letters, "
            "digits and _ - : @ / = + , % ~, without dots and not beginning with _",
        )
    if content_type not in (JSON, PROTOBUF):
        raise BadReportError(
            "unknown-content-type", f"{content_type[:64]!r}; valid: {JSON}, {PROTOBUF}"
        )
    try:
        found = decode_report(report, content_type)
    except ReportError as error:
        raise BadReportError(error.code, f"{error.found}; see the example in /docs") from error
    if found.element != element:
        raise BadReportError(
            "bad-element",
            f"the report is of {found.element[:64]!r}, the address of {element!r}; give both alike",
        )
