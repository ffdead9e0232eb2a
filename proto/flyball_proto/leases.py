"""What partitions of a pipeline cede to each other of the budgets that they share."""

from typing import Final, Literal

from pydantic import Field

from flyball_proto.events import Wire

MAX_LOANS: Final = 64
"""That one partition has given, and that one has taken, at once."""


class Loan(Wire):
    """A part of one budget that a partition leaves to another one.

    The borrower may use it while its clock is in `from_ms`..`until_ms`; the lender does without
    it a minute longer. What is once ceded is never called back, only not prolonged.
    """

    lender: int = Field(ge=0)
    borrower: int = Field(ge=0)
    budget: str = Field(description="An action; empty = of all actions.")
    count: int = Field(ge=1, description="Actions a minute.")
    limit: int = Field(ge=1, description="The whole budget that it is a part of.")
    partitions: int = Field(ge=2, description="Among which the budget is divided.")
    from_ms: int = Field(default=0, description="Event time; the lender's fold fills it in.")
    until_ms: int = Field(description="Event time.")


class LeaseOrder(Wire):
    """What a partition is to cede and may use, in band on `decisions.<pipeline>.<partition>.answers`.

    Counts only for the lease of revision `after`; what the order does not name runs out by itself.
    """

    version: Literal[1] = 1
    after: int = Field(ge=0)
    give: tuple[Loan, ...] = Field(default=(), max_length=MAX_LOANS)
    take: tuple[Loan, ...] = Field(default=(), max_length=MAX_LOANS)


class Post(Wire):
    """What a partition tells the others on the board: a hash in Redis, a field each."""

    version: Literal[1] = 1
    partition: int = Field(ge=0)
    clock_ms: int = Field(description="Newest event time judged.")
    wants: dict[str, int] = Field(
        default={}, description="Budget to what it lacks of it beside its even share."
    )
    loans: tuple[Loan, ...] = Field(
        default=(), max_length=MAX_LOANS, description="That it has given, as stored by its fold."
    )
