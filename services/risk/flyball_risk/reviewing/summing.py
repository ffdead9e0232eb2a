"""What people found when they looked at decisions, and how far they can be believed. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from flyball_proto.reviews import Review, Reviewer, ReviewSummary, Share
from flyball_risk.calibrating.bounds import lower_bound, upper_bound

ALPHA: Final = 0.025
"""Outside the interval on either side, at most: 95 % within."""


def share_of(flags: Iterable[bool]) -> Share:
    """How many of them, with the two-sided interval of Clopper & Pearson (Biometrika 1934)."""
    found = list(flags)
    count, of = sum(found), len(found)
    if not of:
        return Share(count=0, of=0, low=0.0, high=1.0)
    low, high = lower_bound(count, of, ALPHA), upper_bound(count, of, ALPHA)
    return Share(count=count, of=of, low=low, high=high)


def summary(
    pipeline: str, reviews: Sequence[Review], *, share: float, seeded_share: float, dropped: int
) -> ReviewSummary:
    """Over all reviews that are kept of a pipeline.

    How often people called proposals wrong counts those drawn at random alone.
    """
    answered = [review for review in reviews if review.state == "answered"]
    sure = [r for r in answered if not r.seeded and r.answer != "unsure"]
    names = sorted({review.answered_by for review in answered})
    states = [review.state for review in reviews]
    return ReviewSummary(
        pipeline=pipeline,
        share=share,
        seeded_share=seeded_share,
        open=states.count("open"),
        answered=len(answered),
        expired=states.count("expired"),
        dropped=dropped,
        wrong={
            verdict: share_of(r.answer == "wrong" for r in sure if r.verdict == verdict)
            for verdict in sorted({r.verdict for r in sure})
        },
        reviewers=tuple(_reviewer(name, answered) for name in names),
    )


def _reviewer(name: str, answered: Sequence[Review]) -> Reviewer:
    own = [review for review in answered if review.answered_by == name]
    sure = [review for review in own if review.answer != "unsure"]
    return Reviewer(
        name=name,
        answered=len(own),
        unsure=len(own) - len(sure),
        agreed=share_of(r.answer == r.truth for r in sure if r.truth is not None),
        caught=share_of(r.answer == "wrong" for r in own if r.seeded),
    )
