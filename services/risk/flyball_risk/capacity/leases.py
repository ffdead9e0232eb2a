"""Partitions share a budget: who needs less cedes a part of its even share to who needs more. Pure.

Why no minute of event time ever has more actions than the budget, whatever the clocks, the board
and the processes do:

* A lender's fold lowers its own level first, in its durable state, and only then tells. It stays
  lowered while its clock is at most a minute past the loan's end; a loan is prolonged, never called
  back. If the level is already exceeded by what it dispatched lately, the loan begins a minute later.
* A borrower uses a loan only while its own clock is within the loan. So every minute in which it
  does so lies within the time for which the lender is lowered: both count in event time.
* The board (Redis) only carries copies of loans. Lost, late or old copies are loans as well.

Loans of another budget, or of another number of partitions, are not used any more; the lender
honours them still.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from flyball_proto.leases import MAX_LOANS, LeaseOrder, Loan, Post

LEASE_MS: Final = 15_000
"""How far ahead of the borrower's clock a loan ends when it is prolonged."""

WINDOW_MS: Final = 62_000
"""A minute, and what counting by whole seconds may add."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a partition has ceded and may use; `MAX_LOANS` of each. `revision` counts its changes."""

    revision: int = 0
    given: tuple[Loan, ...] = ()
    taken: tuple[Loan, ...] = ()

    def ceded(self, budget: str, clock_ms: int) -> int:
        """What the partition does without."""
        return sum(x.count for x in self.given if x.budget == budget and is_bound(x, clock_ms))

    def change(self, budget: str, limit: int, partitions: int, clock_ms: int) -> int:
        """What is added to the even share, or is ceded of it, at a clock's time."""
        if not self.revision:
            return 0
        borrowed = (
            x.count
            for x in self.taken
            if (x.budget, x.limit, x.partitions) == (budget, limit, partitions)
            and x.from_ms <= clock_ms <= x.until_ms
        )
        return sum(borrowed) - self.ceded(budget, clock_ms)

    def as_json(self) -> dict[str, Any]:
        """Plain values; the same lease gives the same."""
        return {
            "revision": self.revision,
            "given": [x.model_dump() for x in self.given],
            "taken": [x.model_dump() for x in self.taken],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Lease":
        """What `as_json` gave."""
        given, taken = (tuple(map(Loan.model_validate, plain[k])) for k in ("given", "taken"))
        return cls(plain["revision"], given, taken)


NO_LEASE: Final = Lease()


class Share(Protocol):
    """What a partition may use of a budget if nothing is ceded; `allowances.Allowance` is one."""

    @property
    def limits(self) -> Mapping[str, int]:
        """The whole budgets."""
        ...

    @property
    def partition(self) -> int:
        """Whose share it is."""
        ...

    @property
    def partitions(self) -> int:
        """Among how many the budgets are divided."""
        ...

    def share(self, key: str) -> int:
        """The even share."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """How a partition stood when its last output was stored.

    By budget: what was dispatched in the minute before, and what was capped for want of it.
    """

    clock_ms: int
    lease: Lease
    used: Mapping[str, int]
    refused: Mapping[str, int]


def is_bound(loan: Loan, clock_ms: int) -> bool:
    """Whether the lender, at a time of its clock, still has to do without what it ceded."""
    return clock_ms <= loan.until_ms + WINDOW_MS


def obey(
    lease: Lease, order: LeaseOrder, share: Share, clock_ms: int, used: Callable[[str], int]
) -> Lease:
    """The lease after an order; the same lease if the order is for another one.

    `used` is what was dispatched in the minute up to the clock, by budget. What would cede more
    than the even share is not ceded.
    """
    if order.after != lease.revision:
        return lease
    given = {(x.borrower, x.budget): x for x in lease.given if is_bound(x, clock_ms)}
    for wanted in order.give:
        if wanted.budget not in share.limits or wanted.lender != share.partition:
            continue
        place = (wanted.borrower, wanted.budget)
        old = given.get(place)
        if old is not None and not _is_same(old, wanted):
            continue  # the old one runs out first
        if old is not None and wanted.count <= old.count:
            until_ms = max(old.until_ms, wanted.until_ms)
            given[place] = old.model_copy(update={"until_ms": until_ms})
        elif old is not None or len(given) < MAX_LOANS:
            until_ms = max(wanted.until_ms, old.until_ms if old else 0)
            others = (x for x in given.values() if x.budget == wanted.budget and x is not old)
            left = share.share(wanted.budget) - wanted.count - sum(x.count for x in others)
            if left >= 0:
                waits_ms = 0 if used(wanted.budget) <= left else WINDOW_MS
                begins = {"from_ms": clock_ms + waits_ms, "until_ms": until_ms}
                given[place] = wanted.model_copy(update=begins)
    taken = {(x.lender, x.budget): x for x in order.take if x.borrower == share.partition}
    return Lease(lease.revision + 1, tuple(given.values()), tuple(taken.values()))


def wants(view: View, share: Share) -> dict[str, int]:
    """What the partition lacks beside its even share, by budget."""
    lacking = {
        key: min(limit, view.used[key] + view.refused[key]) - share.share(key)
        for key, limit in share.limits.items()
    }
    return {key: count for key, count in lacking.items() if count > 0}


def post_of(view: View, share: Share) -> Post:
    """What the partition tells the others."""
    return Post(
        partition=share.partition,
        clock_ms=view.clock_ms,
        wants=wants(view, share),
        loans=view.lease.given,
    )


def plan(view: View, share: Share, posts: Sequence[Post]) -> LeaseOrder | None:
    """What is to change in a partition's lease after what all told; None = nothing."""
    others = [post for post in posts if post.partition != share.partition]
    give = [loan for key in share.limits for loan in _give(key, view, share, others)][:MAX_LOANS]
    take = tuple(_take(view, share, others))[:MAX_LOANS]
    stored = {(x.borrower, x.budget): x for x in view.lease.given}
    news = [x for x in give if _says_more(x, stored.get((x.borrower, x.budget)))]
    if not news and take == view.lease.taken:
        return None
    return LeaseOrder(after=view.lease.revision, give=tuple(news), take=take)


def _take(view: View, share: Share, others: Iterable[Post]) -> Iterable[Loan]:
    for post in others:
        for loan in post.loans:
            is_mine = loan.borrower == share.partition and loan.lender == post.partition
            if is_mine and loan.until_ms >= view.clock_ms:
                yield loan


def _give(key: str, view: View, share: Share, others: Sequence[Post]) -> Iterable[Loan]:
    """Loans of one budget: new ones, and those to be prolonged."""
    even = share.share(key)
    spare = even - min(even, view.used[key] + max(1, even // 4))
    if spare < 1 or view.refused[key]:
        return
    asking = sorted((p for p in others if key in p.wants), key=lambda p: p.partition)
    asked = sum(post.wants[key] for post in asking)
    lenders = max(1, share.partitions - len(asking))
    held = {x.borrower: x for x in view.lease.given if x.budget == key}
    held = {borrower: x for borrower, x in held.items() if is_bound(x, view.clock_ms)}
    free = spare - sum(x.count for x in held.values())
    for post in asking:
        wanted = post.wants[key]
        part = min(-(-wanted // lenders), spare * wanted // asked)
        old = held[post.partition].count if post.partition in held else 0
        count = max(old, min(part, old + max(0, free)))
        until_ms = post.clock_ms + LEASE_MS
        if count < 1 or until_ms <= view.clock_ms or (free < 0 and old):
            continue  # nothing to cede, of no use any more, or needed here by now
        free -= count - old
        yield Loan(
            lender=share.partition,
            borrower=post.partition,
            budget=key,
            count=count,
            limit=share.limits[key],
            partitions=share.partitions,
            until_ms=until_ms,
        )


def _says_more(loan: Loan, stored: Loan | None) -> bool:
    if stored is None or not _is_same(stored, loan):
        return True
    return loan.count > stored.count or loan.until_ms > stored.until_ms


def _is_same(one: Loan, other: Loan) -> bool:
    """Parts of the same budget."""
    return (one.limit, one.partitions) == (other.limit, other.partitions)
