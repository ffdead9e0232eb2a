"""Asks other services on a person's behalf, once their role allows it.

The HTTP routes and the page both come through here. The services keep the record of what they
did; what is forbidden never reaches them and is recorded here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from flyball_gateway.autonomy import Autonomies
from flyball_gateway.identity.access import Act, Person, may, who_may
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto import subjects
from flyball_proto.autonomy import (
    AcceptAutonomy,
    AutonomyRecord,
    AutonomyReply,
    DeclineAutonomy,
)
from flyball_proto.breakers import BreakerReply, ResetBreaker
from flyball_proto.commands import (
    AnswerHold,
    AnswerHolds,
    Apply,
    ApplyReply,
    HoldReply,
    HoldsReply,
    Reply,
    ResumePipeline,
    StopPipeline,
    StopReply,
    WithdrawApprovals,
    WithdrawReply,
)
from flyball_proto.events import Wire
from flyball_proto.holds import Hold, ReasonCode, Stop
from flyball_proto.reviews import (
    AnswerReview,
    Judgement,
    Review,
    ReviewReply,
    ReviewSummary,
    SummariseReviews,
    SummaryReply,
)

TIMEOUT_S: Final = 10.0
"""Risk answers within 5 s, also when it has to say that it does not know yet."""

R = TypeVar("R", bound=Reply)
Forbidden = Callable[[Person, Act, str], Awaitable[None]]
"""Notes that somebody asked for what they may not: who, what, and of what."""


class RefusedError(PermanentError):
    """A service refused what was asked; `kind` is the service's own stable word."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind, self.message = kind, message
        super().__init__(message)


class ForbiddenError(PermanentError):
    """The person's role may not do this, or the person may not come in any more."""

    kind = "forbidden"


class Asking:
    """What people ask of the services.

    `still` says whether a person who came in once may still act: a page may be open while
    somebody takes its access away.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        apply: Callable[[Apply], Awaitable[ApplyReply]],
        autonomies: Autonomies,
        *,
        still: Callable[[Person], bool],
        forbidden: Forbidden,
    ) -> None:
        self._client, self._apply, self._autonomies = client, apply, autonomies
        self._still, self._forbidden = still, forbidden

    async def answer(
        self,
        person: Person,
        hold: str,
        answer: Literal["approve", "deny"],
        why: str,
        code: ReasonCode = "other",
    ) -> Hold:
        """Approve or deny a decision that waits; returns it as it is afterwards.

        Raises:
            ForbiddenError: The role may not.
            RefusedError: Risk said no, and why; e.g. `not-found`, `conflict`, `expired`.
            TransientError: Risk did not answer; whether it was done shows in the hold.
        """
        await self.check(person, "answer", f"hold {hold}")
        command = AnswerHold(hold=hold, answer=answer, by=person.name, why=why, code=code)
        reply = await self._ask("risk", "answer-hold", command, HoldReply)
        if not self._still(person):
            # Their access ended in this very moment: what waits for a second person waits for two.
            await self.withdraw(person.name, person.name, "access ended while they answered")
        if reply.hold is None:
            raise RefusedError("no-hold", f"risk answered {hold} without saying what became of it")
        return reply.hold

    async def answer_many(self, person: Person, command: AnswerHolds) -> HoldsReply:
        """Approve or deny many; each is judged by itself, and those refused are named.

        Raises:
            ForbiddenError, RefusedError, TransientError: as `answer`.
        """
        await self.check(person, "answer", f"{command.expected} holds")
        return await self._ask("risk", "answer-holds", command, HoldsReply)

    async def withdraw(self, name: str, by: str, why: str) -> tuple[str, ...]:
        """Let approvals of somebody whose access ended count no longer; returns the holds.

        Raises:
            RefusedError, TransientError: as `answer`.
        """
        command = WithdrawApprovals(name=name, by=by, why=why)
        return (await self._ask("risk", "withdraw-approvals", command, WithdrawReply)).holds

    async def review(self, person: Person, review: str, answer: Judgement, why: str) -> Review:
        """Say whether a decision was right; it changes no decision.

        Raises:
            ForbiddenError, RefusedError, TransientError: as `answer`.
        """
        await self.check(person, "answer", f"review {review}")
        command = AnswerReview(id=review, answer=answer, by=person.name, why=why)
        reply = await self._ask("risk", "answer-review", command, ReviewReply)
        if reply.review is None:
            raise RefusedError("no-review", f"risk answered {review} without saying what it is now")
        return reply.review

    async def review_summary(self, pipeline: str) -> ReviewSummary:
        """What people found when they looked at decisions.

        Raises:
            RefusedError, TransientError: as `answer`.
        """
        command = SummariseReviews(pipeline=pipeline)
        reply = await self._ask("risk", "summarise-reviews", command, SummaryReply)
        if reply.summary is None:
            raise RefusedError("no-summary", f"risk answered about {pipeline} without a summary")
        return reply.summary

    async def stop(self, person: Person, pipeline: str, why: str) -> Stop:
        """Stop a pipeline: no action of it is stored after this returns.

        Raises:
            ForbiddenError, RefusedError, TransientError: as `answer`.
        """
        await self.check(person, "stop", f"pipeline {pipeline}")
        command = StopPipeline(pipeline=pipeline, by=person.name, why=why)
        return _state(await self._ask("risk", "stop", command, StopReply), pipeline)

    async def resume(self, person: Person, pipeline: str, why: str) -> Stop:
        """Let a stopped pipeline act again, from the next decision on.

        Raises:
            ForbiddenError, RefusedError, TransientError: as `answer`.
        """
        await self.check(person, "resume", f"pipeline {pipeline}")
        command = ResumePipeline(pipeline=pipeline, by=person.name, why=why)
        return _state(await self._ask("risk", "resume", command, StopReply), pipeline)

    async def reset_breaker(self, person: Person, pipeline: str, why: str) -> bool:
        """Close a pipeline's breaker; whether it was not closed.

        Raises:
            ForbiddenError, RefusedError, TransientError: as `answer`.
        """
        await self.check(person, "resume", f"the breaker of {pipeline}")
        command = ResetBreaker(pipeline=pipeline, by=person.name, why=why)
        return (await self._ask("risk", "reset-breaker", command, BreakerReply)).changed

    async def apply(
        self, person: Person, documents: Sequence[dict[str, object]], why: str
    ) -> ApplyReply:
        """Bring a specification into force.

        Raises:
            ForbiddenError: The role may not.
            RefusedError: It is not valid, or conflicts with what runs; nothing changed.
        """
        await self.check(person, "apply", "a specification")
        reply = await self._apply(Apply(objects=tuple(documents), by=person.name, why=why))
        _check(reply)
        return reply

    async def accept_autonomy(self, person: Person, pipeline: str, why: str) -> AutonomyRecord:
        """Apply the autonomy that is proposed for a pipeline; returns the proposal.

        Raises:
            ForbiddenError, RefusedError: as `apply`.
        """
        await self.check(person, "apply", f"the autonomy of {pipeline}")
        command = AcceptAutonomy(pipeline=pipeline, by=person.name, why=why)
        return _proposal(await self._autonomies.accept(command), pipeline)

    async def decline_autonomy(self, person: Person, pipeline: str, why: str) -> AutonomyRecord:
        """Leave a pipeline the autonomy that it has; returns the proposal.

        Raises:
            ForbiddenError, RefusedError, TransientError: as `answer`.
        """
        await self.check(person, "apply", f"the autonomy of {pipeline}")
        command = DeclineAutonomy(pipeline=pipeline, by=person.name, why=why)
        reply = await self._ask("risk", "decline-autonomy", command, AutonomyReply)
        return _proposal(reply, pipeline)

    async def check(self, person: Person, act: Act, of: str) -> None:
        """Whether the person may do this to that, now.

        Raises:
            ForbiddenError: they may not; it names the role found and those that may.
        """
        if not self._still(person):
            raise ForbiddenError(
                f"the access of {person.name} has ended; ask for a new login link "
                "(flyball users invite)"
            )
        if may(person, act):
            return
        await self._forbidden(person, act, of)
        raise ForbiddenError(
            f"{person.name} is {person.role}, who may not {act} ({of}); those who may are "
            f"{', '.join(who_may(act))}: ask one of them, or for another role"
        )

    async def _ask(self, service: str, verb: str, command: Wire, kind: type[R]) -> R:
        subject = subjects.command(service, verb)
        try:
            found = await self._client().request(
                subject, command.model_dump_json().encode(), timeout=TIMEOUT_S
            )
        except NoRespondersError as error:
            raise TransientError(
                f"nobody answers {subject}: {service} is not running, so nothing was done; "
                f"see its log and flyball status"
            ) from error
        except (NatsError, OSError) as error:
            raise TransientError(
                f"{service} did not answer {subject} ({error!r}); look whether it was done before "
                "asking again"
            ) from error
        try:
            reply = kind.model_validate_json(found.data)
        except ValidationError as error:
            raise RefusedError(
                "unreadable", f"{service} answered {verb} with something else than {kind.__name__}"
            ) from error
        _check(reply)
        return reply


def _check(reply: Reply) -> None:
    if reply.ok:
        return
    if reply.error is None:
        raise RefusedError("refused", "refused without a reason")
    raise RefusedError(reply.error.kind, reply.error.message)


def _proposal(reply: AutonomyReply, pipeline: str) -> AutonomyRecord:
    _check(reply)
    if reply.proposal is None:
        raise RefusedError("no-proposal", f"the answer about {pipeline} says nothing of a proposal")
    return reply.proposal


def _state(reply: StopReply, pipeline: str) -> Stop:
    if reply.state is None:
        raise RefusedError("no-state", f"risk answered about {pipeline} without saying its state")
    return reply.state
