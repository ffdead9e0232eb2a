"""Decisions that people look at afterwards, drawn at random: how right is what was decided?

An answer is about the proposed action, whatever the verdict was: `right` = it was the right thing
to do, or would have been. Nothing ever waits for a review.
"""

from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.commands import Reply
from flyball_proto.events import Wire
from flyball_proto.holds import MAX_WHY_CHARS

MAX_OPEN: Final = 1000
"""Open reviews of a pipeline; beyond that the oldest expire."""

Judgement = Literal["right", "wrong", "unsure"]


class Review(Wire):
    """One decision that people are asked about, or were: KV `reviews`, key `id`.

    Written by risk alone. While it is open nothing in it says whether the truth is known already.
    """

    version: Literal[1] = 1
    id: str = Field(description="`<pipeline>.<METRICS sequence>.<sample>`: the decision row.")
    pipeline: str
    partition: int = Field(ge=0)
    element: str
    labels: dict[str, str] = Field(default={})
    action: str
    score: float
    risk: float
    category: str
    verdict: str
    reason: str = ""
    model: str
    trainer: str
    epoch: int
    time_ms: int = Field(description="Event time of the decision.")
    share: float = Field(gt=0, le=1, description="With which probability it was drawn.")
    opened_at: AwareDatetime = Field(description="When the verdict was stored.")
    state: Literal["open", "answered", "expired"] = "open"
    answer: Judgement | None = None
    answered_by: str = ""
    answered_why: str = ""
    answered_at: AwareDatetime | None = None
    truth: Literal["right", "wrong"] | None = Field(
        default=None, description="What its label said; only once it is answered."
    )
    seeded: bool = Field(
        default=False,
        description="Asked because it was known to be wrong, to see how careful people look; only "
        "said once it is answered. It counts in no estimate of how right decisions are.",
    )


class AnswerReview(Wire):
    """`cmd.risk.answer-review`: say whether a decision was right. It changes no decision."""

    id: str = Field(min_length=1, description="As in KV `reviews`.")
    answer: Judgement
    by: str = Field(min_length=1)
    why: str = Field(default="", max_length=MAX_WHY_CHARS)


class ReviewReply(Reply):
    """The review as it is now."""

    review: Review | None = None


class Share(Wire):
    """`count` of `of`, and the 95 % interval of Clopper and Pearson."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Reviewer(Wire):
    """How one person's answers compare with what labels said."""

    name: str
    answered: int
    unsure: int
    agreed: Share = Field(description="Of those whose truth is known and that they were sure of.")
    caught: Share = Field(description="Known wrong ones shown on purpose that they called wrong.")


class SummariseReviews(Wire):
    """`cmd.risk.summarise-reviews`: what people found, and how far they can be believed."""

    pipeline: str = Field(min_length=1)


class ReviewSummary(Wire):
    """Over the reviews that are kept, the newest of a pipeline."""

    pipeline: str
    share: float = Field(description="`risk.audit_share` now.")
    seeded_share: float = Field(description="FLYBALL_RISK_SEEDED_SHARE.")
    open: int
    answered: int
    expired: int
    dropped: int = Field(
        default=0, description="Not asked about since the start: too many in a minute."
    )
    wrong: dict[str, Share] = Field(
        default={},
        description="Verdict to how many proposals people called wrong, of those drawn at random.",
    )
    reviewers: tuple[Reviewer, ...] = ()


class SummaryReply(Reply):
    """The summary."""

    summary: ReviewSummary | None = None
