"""Partitions that share a budget over a board, with everything that can go wrong, for tests."""

import random
from collections.abc import Iterator

from flyball_proto.leases import LeaseOrder, Loan, Post
from flyball_proto.spec.acting import RiskBudgets
from flyball_risk.capacity.allowances import TOTAL, Allowance, allowance_of
from flyball_risk.capacity.leases import View, plan, post_of
from flyball_risk.judging.budgets import lend, view_of
from flyball_risk.judging.recent import Reach, Recent

Rows = tuple[int, int]
"""Event time, and how many proposals."""


class Part:
    """One partition: its input, its fold, and what its process knows of it."""

    def __init__(self, number: int, partitions: int, budgets: RiskBudgets, clock_ms: int) -> None:
        self.number, self.partitions, self.budgets = number, partitions, budgets
        self.clock_ms = clock_ms
        self.input: list[Rows | LeaseOrder] = []
        self.committed = 0
        self.sent: list[int] = []  # event times of what was dispatched, of committed outputs
        self.recent = Recent()
        self.view: View | None = None

    @property
    def allowance(self) -> Allowance:
        return allowance_of(self.budgets, self.number, self.partitions, self.recent.lease)

    def fold(self, until: int) -> list[int]:
        """Judge the input up to a place; what is dispatched."""
        sent: list[int] = []
        for message in self.input[self.committed : until]:
            if isinstance(message, LeaseOrder):
                lend(message, self.allowance, self.recent)
                continue
            clock_ms, proposals = message
            self.recent.advance(clock_ms)
            for _ in range(proposals):
                at = self.allowance.at(TOTAL, self.recent.clock_ms)
                if at is not None and self.recent.used(TOTAL) >= at:
                    self.recent.refuse(TOTAL)
                    continue
                self.recent.record("cell", "", "offload", clock_ms, Reach(0))
                sent.append(self.recent.clock_ms)
        return sent

    def output(self) -> None:
        """Judge everything that is there and commit it."""
        self.view = view_of(self.allowance, self.recent)
        self.sent += self.fold(len(self.input))
        self.committed = len(self.input)

    def crash(self, until: int) -> None:
        """Die in the middle of an output, and begin again from what is committed."""
        self.fold(min(until, len(self.input)))
        committed, self.committed = self.committed, 0
        self.recent, self.view = Recent(), None
        self.fold(committed)
        self.committed = committed

    def round(self, posts: list[Post]) -> Post | None:
        """Tell the others, and order what is to change."""
        if self.view is None:
            return None
        order = plan(self.view, self.allowance, posts)
        if order is not None:
            self.input.append(order)
        return post_of(self.view, self.allowance)


class World:
    """All partitions of a pipeline, their board, and older copies of it."""

    def __init__(self, seed: int, partitions: int, budget: int) -> None:
        self.rng = random.Random(seed)
        self.budget = budget
        budgets = RiskBudgets(actions_per_minute=budget)
        skew_ms = self.rng.choice([0, 2_000, 60_000, 600_000])
        self.parts = [
            Part(i, partitions, budgets, 1_000_000 + self.rng.randint(0, skew_ms))
            for i in range(partitions)
        ]
        self.greed = [self.rng.choice([0, 1, budget]) for _ in range(partitions)]
        self.board: dict[int, Post] = {}
        self.copies: list[dict[int, Post]] = [{}]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step(self.rng.choice(self.parts))

    def _whim(self, part: Part) -> LeaseOrder:
        """Any order that only names true copies of loans: it need not be a wise one."""
        rng, view = self.rng, part.view
        others = [p.number for p in self.parts if p is not part]
        seen = [loan for board in self.copies for post in board.values() for loan in post.loans]
        mine = {x.lender: x for x in seen if x.borrower == part.number and rng.random() < 0.7}
        give = Loan(
            lender=part.number,
            borrower=rng.choice(others),
            budget=TOTAL,
            count=rng.randint(1, self.budget),
            limit=self.budget,
            partitions=len(self.parts),
            until_ms=part.clock_ms + rng.choice([-1_000, 1_000, 20_000, 100_000]),
        )
        after = view.lease.revision if view else 0
        return LeaseOrder(after=after, give=(give,), take=tuple(mine.values()))

    def _step(self, part: Part) -> None:
        what = self.rng.random()
        if what < 0.07:
            part.input.append(self._whim(part))
        elif what < 0.45:
            pace_ms = self.rng.choice([300, 1_000, 3_000, 3_000, 20_000])
            part.clock_ms += self.rng.randint(0, pace_ms)
            late_ms = self.rng.choice([0, 0, 5_000])
            wanted = self.rng.randint(0, self.greed[part.number])
            part.input.append((part.clock_ms - late_ms, wanted))
        elif what < 0.68:
            part.output()
        elif what < 0.92:
            stale = self.rng.random() < 0.2
            board = self.rng.choice(self.copies) if stale else self.board
            post = part.round(list(board.values()))
            if post is not None:
                self.board[part.number] = post
                self.copies.append(dict(self.board))
        elif what < 0.96:
            part.crash(self.rng.randint(part.committed, len(part.input)))
        elif what < 0.98:
            self.board = dict(self.rng.choice(self.copies))  # it comes back with what it had
        else:
            self.greed[part.number] = self.rng.choice([0, 1, self.budget])

    def most(self) -> int:
        """Most actions in any minute of event time, of all partitions together."""
        return most_in_a_minute([at for part in self.parts for at in part.sent])


def most_in_a_minute(times: list[int]) -> int:
    """Most of these event times in any minute."""
    return max(_in_minutes(sorted(times)), default=0)


def _in_minutes(times: list[int]) -> Iterator[int]:
    first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 60_000:
            first += 1
        yield last - first + 1
