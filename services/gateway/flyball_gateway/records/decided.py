"""What was decided lately, read from DECISIONS and VERDICTS: bounded in batches, bytes and time."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, Field

from flyball_gateway.records.reading import Reading, Stored
from flyball_gateway.records.rows import (
    DecisionRow,
    ElementRow,
    VerdictRow,
    decision_rows,
    last_rows,
    verdict_rows,
)
from flyball_kit import clock
from flyball_proto import streams
from flyball_proto.columns import Verdict, decode_decisions, decode_verdicts
from flyball_proto.streams import MIB, Stream

CHUNK: Final = 8
MAX_BATCHES: Final = 256
MAX_BYTES: Final = 32 * MIB
MAX_S: Final = 2.0
"""A read ends at whichever bound comes first, and says where to go on."""

T = TypeVar("T")


class Found(BaseModel, Generic[T]):
    """Rows, the newest first, and where to go on."""

    items: list[T]
    before: str | None = Field(
        description="Give it as `before=` for older rows; None = there are no older ones."
    )


class Place(NamedTuple):
    """Where to go on: with the batch of this sequence, behind so many of its rows."""

    sequence: int
    given: int

    @staticmethod
    def parse(text: str) -> "Place":
        """Read what `text` wrote."""
        sequence, _, given = text.partition(".")
        return Place(int(sequence), int(given or 0))

    @property
    def text(self) -> str:
        """As people give it back."""
        return f"{self.sequence}.{self.given}"


class Decided:
    """Reads what was decided."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def decisions(
        self, pipeline: str, *, limit: int, element: str | None, before: Place | None
    ) -> Found[DecisionRow]:
        """The newest decisions."""

        def rows(data: bytes) -> Iterator[DecisionRow]:
            return decision_rows(decode_decisions(data), element=element)

        walk = _Walk(self._reading, streams.DECISIONS, f"decisions.{pipeline}.*", before)
        return await _rows(walk, rows, limit, before)

    async def verdicts(
        self,
        pipeline: str,
        *,
        limit: int,
        element: str | None,
        verdict: Verdict | None,
        before: Place | None,
    ) -> Found[VerdictRow]:
        """The newest verdicts."""

        def rows(data: bytes) -> Iterator[VerdictRow]:
            return verdict_rows(decode_verdicts(data), element=element, verdict=verdict)

        walk = _Walk(self._reading, streams.VERDICTS, f"verdicts.{pipeline}.*", before)
        return await _rows(walk, rows, limit, before)

    async def elements(self, pipeline: str, *, limit: int) -> list[ElementRow]:
        """Elements seen lately as they were last decided on, the latest first."""
        found: dict[str, ElementRow] = {}
        walk = _Walk(self._reading, streams.VERDICTS, f"verdicts.{pipeline}.*", None)
        async with aclosing(walk.batches()) as batches:
            async for batch in batches:
                for row in last_rows(decode_verdicts(batch.data)):
                    found.setdefault(row.element, row)
                if len(found) >= limit:
                    break
        newest = sorted(found.values(), key=lambda row: row.time_ms, reverse=True)
        return newest[:limit]


class _Walk:
    """Backwards through the batches of a subject."""

    def __init__(
        self, reading: Reading, stream: Stream, pattern: str, before: Place | None
    ) -> None:
        self._reading, self._stream, self._pattern = reading, stream, pattern
        self.next: int | None = before.sequence + 1 if before else None
        self.is_at_end = False
        """Whether there is nothing older; else a bound was reached."""

    async def batches(self) -> AsyncGenerator[Stored, None]:
        """Batches that hold rows, the newest first; `next` lies before the one given last."""
        until_s, count, size = clock.monotonic_s() + MAX_S, 0, 0
        while count < MAX_BATCHES and size < MAX_BYTES and clock.monotonic_s() < until_s:
            chunk = await self._reading.newest(
                self._stream, self._pattern, limit=CHUNK, before=self.next
            )
            for stored in reversed(chunk):
                self.next = stored.sequence
                if stored.data:
                    yield stored
            count, size = count + len(chunk), size + sum(len(s.data) for s in chunk)
            if not chunk:
                self.is_at_end = True
                return


async def _rows(
    walk: _Walk, rows: Callable[[bytes], Iterator[T]], limit: int, before: Place | None
) -> Found[T]:
    found: list[T] = []
    async with aclosing(walk.batches()) as batches:
        async for batch in batches:
            given = before.given if before and before.sequence == batch.sequence else 0
            wanted = limit - len(found)
            taken = list(islice(rows(batch.data), given, given + wanted))
            found += taken
            if len(found) == limit:
                return Found(items=found, before=Place(batch.sequence, given + len(taken)).text)
    on = None if walk.is_at_end or walk.next is None else Place(walk.next - 1, 0).text
    return Found(items=found, before=on)
