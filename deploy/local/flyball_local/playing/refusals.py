"""What ingest refused of a replay, and why: counts by reason code, with the first reports."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from flyball_proto import streams
from flyball_proto.columns import SkipReason, Verdicts

MAX_CODES: Final = 100
"""Different codes that are counted; more are one `others`."""
EXAMPLES: Final = 2
"""Reports of a code that are shown."""
EXAMPLE_CHARS: Final = 200
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that were refused for one reason. `examples` are what was sent, shortened."""

    code: str
    rows: int
    sequences: tuple[int, ...]
    """Of the first reports, in METRICS."""
    examples: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As it stands in the object of a replay."""
        return {"code": self.code, "rows": self.rows, "examples": list(self.examples)}


class Refusals:
    """Counts as batches of verdicts come by. A row with several reasons counts for each."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._first: dict[str, list[int]] = {}

    def add(self, batch: Verdicts) -> None:
        """Count what a batch says was quarantined."""
        skipped = batch.flow.skipped
        for i, reason in enumerate(skipped.reason.tolist()):
            if SkipReason(reason) is not SkipReason.QUARANTINED:
                continue
            detail = skipped.detail[i] if skipped.detail else ""
            for code in (detail or "unknown").split(","):
                self._count(code, int(skipped.rows[i]), int(skipped.sequence[i]))

    def found(self) -> tuple[Refused, ...]:
        """By code, the most frequent first."""
        return tuple(
            Refused(code, rows, tuple(self._first[code])) for code, rows in self._rows.most_common()
        )

    def _count(self, code: str, rows: int, sequence: int) -> None:
        if code not in self._rows and len(self._rows) >= MAX_CODES:
            code = OTHERS
        self._rows[code] += rows
        first = self._first.setdefault(code, [])
        if len(first) < EXAMPLES:
            first.append(sequence)


async def with_examples(client: Client, found: Iterable[Refused]) -> tuple[Refused, ...]:
    """With what was sent, as far as METRICS still holds it; role `auditor`."""
    return tuple(
        [
            replace(
                one, examples=tuple([e for s in one.sequences if (e := await _sent(client, s))])
            )
            for one in found
        ]
    )


async def _sent(client: Client, sequence: int) -> str | None:
    try:
        message = await client.jetstream().get_msg(streams.METRICS.name, seq=sequence)
    except (APIError, nats.errors.Error, TimeoutError):
        return None  # purged meanwhile, or the broker is busy: an example less
    text = (message.data or b"").decode(errors="replace")
    return text if len(text) <= EXAMPLE_CHARS else f"{text[: EXAMPLE_CHARS - 3]}..."
