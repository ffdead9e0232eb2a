"""Pipelines that stepped back to advisory by themselves: KV `breakers`, orders, events, commands."""

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.commands import Reply
from flyball_proto.events import Event, Wire
from flyball_proto.holds import MAX_WHY_CHARS

BreakerState = Literal["closed", "trial", "open"]

GRAVER: Final = ("closed", "trial", "open")
"""States, the gravest last."""


class BreakerRecord(Wire):
    """One partition's breaker: KV `breakers`, key `<pipeline>.<partition>`; written by risk alone.

    Written from committed verdicts, by place there. A partition without a record is closed.
    """

    version: Literal[1] = 1
    pipeline: str
    partition: int = Field(ge=0)
    state: BreakerState
    number: int = Field(ge=0, description="How often the pipeline's breaker opened.")
    reason: str
    by: str = Field(
        default="",
        description="A person, or `partition 3` whose breaker opened; empty: its own figures.",
    )
    clock_ms: int = Field(description="Event time.")
    until_ms: int = Field(description="Open: event time from which a trial may begin. 0 = none.")
    at: AwareDatetime = Field(description="When the verdicts that say so were stored.")


class BreakerOrder(Wire):
    """In band on `decisions.<pipeline>.<partition>.answers`: open with another, or a person's reset.

    Opening counts once for each `number`; what is not newer than the partition's changes nothing.
    """

    version: Literal[1] = 1
    state: Literal["closed", "open"]
    number: int = Field(ge=0)
    reason: str
    by: str
    clock_ms: int = Field(default=0, description="Event time where it opened.")
    wait_ms: int = Field(default=0, ge=0, description="How long until a trial.")


class BreakerTurned(Event):
    """A pipeline's breaker opened, began a trial or closed; `breaker.by` names a person who did it.

    Partitions that only follow another's opening are not told of.
    """

    domain, what = "risk", "breaker-turned"
    breaker: BreakerRecord


class ResetBreaker(Wire):
    """`cmd.risk.reset-breaker`: a person closes a pipeline's breaker; what is usual is learnt anew.

    Replies when every partition has taken it, from the next decision on.
    """

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class BreakerReply(Reply):
    """`changed` is False when it was closed before."""

    changed: bool = False


def gravest(records: Iterable[BreakerRecord]) -> BreakerRecord | None:
    """A pipeline's breaker: the gravest of its partitions'; None while all are closed."""
    not_closed = [r for r in records if r.state != "closed"]
    return max(not_closed, key=lambda r: (GRAVER.index(r.state), r.number, not r.by), default=None)


def by_pipeline(records: Iterable[BreakerRecord]) -> dict[str, BreakerRecord]:
    """The breakers of pipelines that are not closed."""
    found: dict[str, list[BreakerRecord]] = {}
    for record in records:
        found.setdefault(record.pipeline, []).append(record)
    worst = {name: gravest(of_one) for name, of_one in found.items()}
    return {name: record for name, record in worst.items() if record is not None}


def words_of(record: BreakerRecord | None) -> str:
    """The state and why; empty while it is closed."""
    return f"{record.state}: {record.reason}" if record is not None else ""
