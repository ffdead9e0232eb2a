"""What people may ask of risk one by one: answer a hold, stop a pipeline, resume it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

from nats.aio.client import Client

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto.columns import Result
from flyball_proto.commands import (
    AnswerHold,
    HoldReply,
    ResumePipeline,
    StopPipeline,
    StopReply,
)
from flyball_proto.holds import Answer, Hold
from flyball_risk.answering.replies import Replies, Told
from flyball_risk.judging.policy import Policy
from flyball_risk.steering.onrecord import About, OnRecord, RefusedError
from flyball_risk.steering.stops import Stops, order_in_band

PATIENCE_S: Final = 5.0
"""How long an answer may take to become part of the record until that is said instead."""

KINDS: Final = {
    Result.REFUSED: "refused",
    Result.CAPPED: "capped",
    Result.STOPPED: "stopped",
}


class People:
    """Carries commands out. `policies` are those in force, by pipeline."""

    def __init__(
        self,
        holds: Kv[Hold],
        stops: Stops,
        replies: Replies,
        on_record: OnRecord,
        client: Callable[[], Client],
        policies: Callable[[str], Policy | None],
    ) -> None:
        self._holds, self._stops, self._replies = holds, stops, replies
        self._on_record, self._client, self._policies = on_record, client, policies

    async def answer(self, command: AnswerHold) -> HoldReply:
        """Approve or deny; replies when the outcome is part of the record."""

        async def doing() -> tuple[HoldReply, str]:
            hold, detail = await self._answer(command)
            said = "; ".join(filter(None, (detail, f"code {command.code}")))
            return HoldReply(ok=True, hold=hold, detail=detail), said

        about = About(command.answer, f"hold {command.hold}", command.by, command.why)
        return await self._on_record.carry(about, doing(), HoldReply)

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

        about = About(verb, f"pipeline {command.pipeline}", command.by, command.why)
        return await self._on_record.carry(about, doing(), StopReply)

    async def _answer(self, command: AnswerHold) -> tuple[Hold, str]:
        hold, revision = await self._holds.load(command.hold)
        if hold is None:
            raise RefusedError("not-found", f"no hold {command.hold} is recorded")
        now = clock.utc_now()
        if (why_not := refusal(hold, self._policies(hold.pipeline), now)) is not None:
            raise why_not
        answer = Answer(
            hold=hold.id,
            answer=command.answer,
            by=command.by,
            why=command.why,
            code=command.code,
            at=now,
        )
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
        return await self._outcome(told, hold, revision)

    async def _outcome(self, told: Told, hold: Hold, revision: int) -> tuple[Hold, str]:
        result, detail = told.answered.result, told.answered.detail
        if told.hold is not None:
            return told.hold, ""
        if result is Result.NOTED:
            agreed = (*hold.agreed_by, told.answered.by)[-2:]
            return await self._shown(
                hold.model_copy(update={"agreed_by": agreed}), revision
            ), detail
        if result in KINDS:
            waits = f"hold {hold.id} still waits, until it expires"
            raise RefusedError(KINDS[result], f"{hold.action} may not go out: {detail}; {waits}")
        raise ended(await now_of(self._holds, hold))

    async def _shown(self, hold: Hold, revision: int) -> Hold:
        """Show who agreed so far; it counts in the fold, so a lost race changes nothing."""
        try:
            await self._holds.save(hold.id, hold, revision=revision)
        except LostRaceError:
            return (await self._holds.load(hold.id))[0] or hold
        return hold


def refusal(hold: Hold, policy: Policy | None, now: datetime) -> RefusedError | None:
    """Why an answer to a recorded hold is refused before it is judged; None when it is not. Pure."""
    if hold.state != "open":
        return ended(hold)
    if policy is None:
        return RefusedError("not-found", f"pipeline {hold.pipeline} is not applied any more")
    patience = timedelta(milliseconds=policy.hold_expires_ms)
    age = now - hold.opened_at
    if age <= patience:
        return None
    return RefusedError(
        "expired",
        f"hold {hold.id} has waited {age.total_seconds():.0f} s and expires after "
        f"{patience.total_seconds():g} s: it is never approved any more",
    )


async def now_of(holds: Kv[Hold], hold: Hold) -> Hold:
    """The record of a hold that waits no longer, mended if it says that it does."""
    now, revision = await holds.load(hold.id)
    if now is not None and now.state == "open":
        # Risk was killed, and judged what it read again under a policy that came meanwhile.
        why = "it waits no longer under the policy that came while risk was away"
        now = now.model_copy(update={"state": "expired", "answered_why": why})
        await holds.save(hold.id, now, revision=revision)
    return now or hold


def ended(hold: Hold) -> RefusedError:
    """Why an answer comes too late."""
    if hold.state == "expired":
        return RefusedError("expired", f"hold {hold.id} is expired: nobody answered in time")
    at = hold.answered_at.isoformat(timespec="seconds") if hold.answered_at else "before"
    why = f": {hold.answered_why}" if hold.answered_why else ""
    message = f"hold {hold.id} was {hold.state} by {hold.answered_by} at {at}{why}"
    return RefusedError("conflict", message)
