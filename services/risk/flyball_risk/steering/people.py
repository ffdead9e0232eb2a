"""What people may ask of risk: answer a hold, stop a pipeline, resume it. Every act is recorded."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Literal, TypeVar

from nats.aio.client import Client

from flyball_kit import clock
from flyball_kit.acts import Acts
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv
from flyball_proto.columns import Result
from flyball_proto.commands import (
    AnswerHold,
    Failure,
    HoldReply,
    Reply,
    ResumePipeline,
    StopPipeline,
    StopReply,
)
from flyball_proto.holds import Answer, Hold
from flyball_risk.answering.replies import Replies, Told
from flyball_risk.judging.policy import Policy
from flyball_risk.steering.stops import Stops, order_in_band

log = logging.getLogger("flyball.risk.people")

PATIENCE_S: Final = 5.0
"""How long an answer may take to become part of the record until that is said instead."""

KINDS: Final = {
    Result.REFUSED: "refused",
    Result.CAPPED: "capped",
    Result.STOPPED: "stopped",
}

R = TypeVar("R", bound=Reply)


class RefusedError(PermanentError):
    """Something that was asked for is not done; `kind` says in one word why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class People:
    """Carries commands out. `policies` are those in force, by pipeline."""

    def __init__(
        self,
        holds: Kv[Hold],
        stops: Stops,
        replies: Replies,
        acts: Acts,
        client: Callable[[], Client],
        policies: Callable[[str], Policy | None],
    ) -> None:
        self._holds, self._stops, self._replies = holds, stops, replies
        self._acts, self._client, self._policies = acts, client, policies

    async def answer(self, command: AnswerHold) -> HoldReply:
        """Approve or deny; replies when the outcome is part of the record."""

        async def doing() -> tuple[HoldReply, str]:
            hold, detail = await self._answer(command)
            return HoldReply(ok=True, hold=hold), detail

        about = (command.answer, f"hold {command.hold}", command.by, command.why)
        return await self._recorded(about, doing(), HoldReply)

    async def stop(self, command: StopPipeline) -> StopReply:
        """No action of the pipeline is stored after the reply."""
        return await self._change(command, "stop")

    async def resume(self, command: ResumePipeline) -> StopReply:
        """The pipeline acts again, from the next decision on."""
        return await self._change(command, "resume")

    async def _change(
        self, command: StopPipeline | ResumePipeline, verb: Literal["stop", "resume"]
    ) -> StopReply:
        async def doing() -> tuple[StopReply, str]:
            name = command.pipeline
            if self._policies(name) is None and await self._stops.now(name) is None:
                message = f"no pipeline {name} is applied; `flyball status` names those that are"
                raise RefusedError("not-found", message)
            act = self._stops.stop if verb == "stop" else self._stops.resume
            state, changed = await act(name, command.by, command.why)
            word = "stopped" if state.stopped else "running"
            return StopReply(ok=True, state=state, changed=changed), (
                "" if changed else f"it was {word} already"
            )

        about = (verb, f"pipeline {command.pipeline}", command.by, command.why)
        return await self._recorded(about, doing(), StopReply)

    async def _answer(self, command: AnswerHold) -> tuple[Hold, str]:
        hold = await self._open_hold(command)
        now = clock.utc_now()
        answer = Answer(hold=hold.id, answer=command.answer, by=command.by, why=command.why, at=now)
        data = answer.model_dump_json().encode()
        sequence = await order_in_band(self._client(), hold.pipeline, hold.partition, data)
        try:
            async with asyncio.timeout(PATIENCE_S):
                told = await self._replies.wait(sequence)
        except TimeoutError:
            message = (
                f"the answer is stored (message {sequence} of DECISIONS) and will count, but what "
                f"became of it is not known after {PATIENCE_S:g} s; look at hold {hold.id} again"
            )
            raise TransientError(message) from None
        return await self._outcome(told, hold)

    async def _open_hold(self, command: AnswerHold) -> Hold:
        hold, _ = await self._holds.load(command.hold)
        if hold is None:
            raise RefusedError("not-found", f"no hold {command.hold} is recorded")
        if hold.state != "open":
            raise ended(hold)
        policy = self._policies(hold.pipeline)
        if policy is None:
            raise RefusedError("not-found", f"pipeline {hold.pipeline} is not applied any more")
        patience = timedelta(milliseconds=policy.hold_expires_ms)
        age = clock.utc_now() - hold.opened_at
        if age > patience:
            raise RefusedError(
                "expired",
                f"hold {hold.id} has waited {age.total_seconds():.0f} s and expires after "
                f"{patience.total_seconds():g} s: it is never approved any more",
            )
        return hold

    async def _outcome(self, told: Told, hold: Hold) -> tuple[Hold, str]:
        result, detail = told.answered.result, told.answered.detail
        if told.hold is not None:
            return told.hold, ""
        if result is Result.NOTED:
            return hold, detail
        if result in KINDS:
            waits = f"hold {hold.id} still waits, until it expires"
            raise RefusedError(KINDS[result], f"{hold.action} may not go out: {detail}; {waits}")
        now, revision = await self._holds.load(hold.id)
        if now is not None and now.state == "open":
            # Risk was killed, and judged what it read again under a policy that came meanwhile.
            why = "it waits no longer under the policy that came while risk was away"
            now = now.model_copy(update={"state": "expired", "answered_why": why})
            await self._holds.save(hold.id, now, revision=revision)
        raise ended(now or hold)

    async def _recorded(
        self,
        about: tuple[str, str, str, str],
        doing: Awaitable[tuple[R, str]],
        reply: type[R],
    ) -> R:
        try:
            done, detail = await doing
        except RefusedError as refused:
            await self._record(about, "refused", str(refused))
            return reply(ok=False, error=Failure(kind=refused.kind, message=str(refused)))
        except TransientError as error:
            await self._record(about, "failed", str(error))
            raise
        await self._record(about, "done", detail)
        return done

    async def _record(
        self,
        about: tuple[str, str, str, str],
        outcome: Literal["done", "refused", "failed"],
        detail: str,
    ) -> None:
        """What is done is done: an act that cannot be recorded now is told in the log."""
        verb, of, by, why = about
        try:
            await self._acts.record(verb, of, by=by, why=why, outcome=outcome, detail=detail)
        except TransientError:
            log.exception("%s %s by %s (%s) is not in AUDIT", verb, of, by, outcome)


def ended(hold: Hold) -> RefusedError:
    """Why an answer comes too late."""
    if hold.state == "expired":
        return RefusedError("expired", f"hold {hold.id} is expired: nobody answered in time")
    at = hold.answered_at.isoformat(timespec="seconds") if hold.answered_at else "before"
    why = f": {hold.answered_why}" if hold.answered_why else ""
    message = f"hold {hold.id} was {hold.state} by {hold.answered_by} at {at}{why}"
    return RefusedError("conflict", message)
