"""What `flyball reviews` prints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nats.aio.client import Client

from flyball_kit.kv import Kv
from flyball_local.invalid import InvalidInputError
from flyball_local.showing import records
from flyball_local.showing.listing import named, one_pipeline, short, span
from flyball_proto import streams
from flyball_proto.reviews import Review, ReviewSummary, Share

COLUMNS: Final = ("review", "element", "action", "score", "risk", "verdict", "state", "since")


async def read(client: Client, pipeline: str | None) -> list[Review]:
    """Reviews of a pipeline, or of all, newest first. Role `operator`.

    Raises:
        InvalidInputError: No such pipeline is applied.
    """
    if pipeline is not None:
        one_pipeline(await records.known_pipelines(client), pipeline)
    prefix = f"{pipeline}." if pipeline else ""
    found = await Kv[Review](lambda: client, streams.REVIEWS, Review).items(prefix)
    return sorted((r for r, _ in found.values()), key=lambda r: (r.opened_at, r.id), reverse=True)


def one_review(found: Sequence[Review], wanted: str) -> Review:
    """The review with this id. Pure.

    Raises:
        InvalidInputError: There is none; names those that are open.
    """
    for review in found:
        if review.id == wanted:
            return review
    opened = [review.id for review in found if review.state == "open"]
    raise InvalidInputError(
        f"review {wanted!r}: there is none; open are {named(opened)}, see flyball reviews list"
    )


def review_row(review: Review, now: datetime) -> tuple[str, ...]:
    """One line of the table. Pure."""
    by = f": {review.answer}, by {review.answered_by}" if review.answer else ""
    return (
        review.id,
        review.element,
        review.action,
        f"{review.score:.3f}",
        f"{review.category} {review.risk:.2f}",
        review.verdict,
        f"{review.state}{by}",
        span((now - review.opened_at).total_seconds()),
    )


def review_lines(review: Review) -> list[str]:
    """Everything that is on record of one. Pure."""
    labels = ", ".join(f"{name} {text}" for name, text in review.labels.items()) or "none"
    facts = [
        ("review", review.id),
        ("proposed", f"{review.action} on {review.element}"),
        ("verdict", f"{review.verdict}: {review.reason}" if review.reason else review.verdict),
        ("score", f"{review.score:g} by {review.trainer} {short(review.model)}"),
        ("risk", f"{review.category}, {review.risk:g}"),
        ("labels", labels),
        ("drawn", f"with probability {review.share:g}"),
        ("state", review.state),
    ]
    if review.answer:
        why = f": {review.answered_why}" if review.answered_why else ""
        facts.append(("answer", f"{review.answer}, by {review.answered_by}{why}"))
        facts.append(("truth", review.truth or "not known"))
    return [f"{name:<9} {words}" for name, words in facts]


def summary_lines(found: ReviewSummary) -> list[str]:
    """The summary, a line a fact. Pure."""
    counts = f"{found.open} open, {found.answered} answered, {found.expired} expired"
    drawn = f"{found.share:.2%} of cleared and denied decisions are drawn"
    lines = [f"{found.pipeline}: {counts}; {drawn}"]
    if found.dropped:
        lines.append(f"{found.dropped} were not asked about: too many in a minute")
    lines += [
        f"{verdict}: people called {_share(share)} wrong" for verdict, share in found.wrong.items()
    ]
    for person in found.reviewers:
        lines.append(
            f"{person.name}: {person.answered} answered, {person.unsure} unsure; agrees with labels "
            f"in {_share(person.agreed)}; caught {_share(person.caught)} shown that were known wrong"
        )
    return lines


def _share(found: Share) -> str:
    if not found.of:
        return "0 of 0"
    return f"{found.count} of {found.of} ({found.low:.0%} to {found.high:.0%})"
