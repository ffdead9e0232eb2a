"""What people may ask of risk about reviews: answer one, see what was found. No decision changes."""

from flyball_kit.kv import LostRaceError
from flyball_proto.commands import Failure
from flyball_proto.reviews import (
    AnswerReview,
    Review,
    ReviewReply,
    SummariseReviews,
    SummaryReply,
)
from flyball_risk.reviewing.desk import Desk
from flyball_risk.reviewing.watching import Reviewing
from flyball_risk.steering.onrecord import About, OnRecord, RefusedError


class Reviews:
    """Carries commands out."""

    def __init__(self, desk: Desk, reviewing: Reviewing, on_record: OnRecord) -> None:
        self._desk, self._reviewing, self._on_record = desk, reviewing, on_record

    async def answer(self, command: AnswerReview) -> ReviewReply:
        """Take a person's answer; the first counts."""

        async def doing() -> tuple[ReviewReply, str]:
            try:
                found = await self._desk.answer(command)
            except LostRaceError as error:
                message = f"somebody else answered review {command.id} in this very moment"
                raise RefusedError("conflict", message) from error
            return ReviewReply(ok=True, review=_own(found, command)), command.answer

        about = About("review", f"decision {command.id}", command.by, command.why)
        return await self._on_record.carry(about, doing(), ReviewReply)

    async def summarise(self, command: SummariseReviews) -> SummaryReply:
        """What people found of a pipeline's decisions."""
        found = self._reviewing.summary(command.pipeline)
        if found is not None:
            return SummaryReply(ok=True, summary=found)
        message = (
            f"no pipeline {command.pipeline} is applied; `flyball status` names those that are"
        )
        return SummaryReply(ok=False, error=Failure(kind="not-found", message=message))


def _own(found: Review | None, command: AnswerReview) -> Review:
    """The review that this command answered.

    Raises:
        RefusedError: there is none, or it does not wait for an answer.
    """
    if found is None:
        message = f"no review {command.id} is recorded; which there are: flyball reviews list"
        raise RefusedError("not-found", message)
    if found.state == "expired":
        message = f"review {found.id} is expired: {found.answered_why}"
        raise RefusedError("expired", message)
    own = (found.answered_by, found.answer, found.answered_why)
    if own != (command.by, command.answer, command.why):
        message = f"review {found.id} was answered by {found.answered_by}: {found.answer}"
        raise RefusedError("conflict", message)
    return found
