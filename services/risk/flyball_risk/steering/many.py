"""What people may ask of many holds at once: answer them, or let approvals count no longer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from nats.aio.client import Client

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto.commands import (
    AnswerHolds,
    HoldsReply,
    NotAnswered,
    WithdrawApprovals,
    WithdrawReply,
)
from flyball_proto.holds import BulkAnswer, Hold, Withdrawal
from flyball_risk.answering.replies import Replies, Told
from flyball_risk.holding.holds import has_agreed
from flyball_risk.judging.policy import Policy
from flyball_risk.steering.choosing import chosen, meant_by, packs, unfit, words_of
from flyball_risk.steering.onrecord import About, OnRecord, RefusedError
from flyball_risk.steering.people import KINDS, ended, now_of, refusal
from flyball_risk.steering.stops import order_in_band

PATIENCE_S: Final = 7.0
"""How long answers may take to become part of the record; the gateway waits 10 s."""


class Many:
    """Carries commands about many holds out. `policies` are those in force, by pipeline."""

    def __init__(
        self,
        holds: Kv[Hold],
        replies: Replies,
        on_record: OnRecord,
        client: Callable[[], Client],
        policies: Callable[[str], Policy | None],
        pipelines: Callable[[], Iterable[str]],
        partitions: int,
    ) -> None:
        self._holds, self._replies, self._on_record = holds, replies, on_record
        self._client, self._policies = client, policies
        self._pipelines, self._partitions = pipelines, partitions

    async def answer(self, command: AnswerHolds) -> HoldsReply:
        """Approve or deny; replies when every outcome is part of the record."""

        async def doing() -> tuple[HoldsReply, str]:
            reply = await self._answer(command)
            return reply, f"{words_of(reply)}; code {command.code}"

        about = About(command.answer, meant_by(command), command.by, command.why)
        reply = await self._on_record.carry(about, doing(), HoldsReply)
        for state, ids in packs(reply):
            detail = f"{state}: {' '.join(ids)}"
            await self._on_record.note(about._replace(of=f"{len(ids)} holds"), "done", detail)
        return reply

    async def withdraw(self, command: WithdrawApprovals) -> WithdrawReply:
        """Approvals of somebody count no longer, in every pipeline that is applied."""

        async def doing() -> tuple[WithdrawReply, str]:
            touched = await self._withdraw(command)
            return WithdrawReply(ok=True, holds=touched), f"{len(touched)} holds had one"

        about = About("withdraw", f"approvals of {command.name}", command.by, command.why)
        return await self._on_record.carry(about, doing(), WithdrawReply)

    async def _answer(self, command: AnswerHolds) -> HoldsReply:
        prefix = f"{command.pipeline}." if command.pipeline else ""
        if command.pipeline and self._policies(command.pipeline) is None:
            message = f"no pipeline {command.pipeline} is applied; `flyball status` names those"
            raise RefusedError("not-found", message)
        now = clock.utc_now()
        recorded = [hold for hold, _ in (await self._holds.items(prefix)).values()]
        holds = chosen(command, recorded, now)
        refused, asked = [], []
        for hold in holds:
            why_not = refusal(hold, self._policies(hold.pipeline), now) or unfit(hold, command)
            (asked.append(hold) if why_not is None else refused.append(_said(hold, why_not)))
        told = await self._tell(command, asked, now)
        by_id = {hold.id: hold for hold in asked}
        states: dict[str, str] = {}
        for one in told:
            if one.hold is not None:
                states[one.hold.id] = one.hold.state
            else:
                refused.append(await self._why_not(one, by_id[one.answered.decision]))
        return HoldsReply(ok=True, ended=len(states), states=states, refused=tuple(refused))

    async def _tell(self, command: AnswerHolds, holds: Sequence[Hold], now: datetime) -> list[Told]:
        """Put the answer among the decisions of every partition concerned; all outcomes."""

        def place(hold: Hold) -> tuple[str, int]:
            return hold.pipeline, hold.partition

        orders = []
        for (pipeline, partition), group in groupby(sorted(holds, key=place), key=place):
            bulk = BulkAnswer(
                holds=tuple(hold.id for hold in group),
                answer=command.answer,
                by=command.by,
                why=command.why,
                code=command.code,
                at=now,
            )
            orders.append((pipeline, partition, bulk.model_dump_json().encode()))
        return await self._ordered(orders)

    async def _ordered(self, orders: Sequence[tuple[str, int, bytes]]) -> list[Told]:
        async def ordered(pipeline: str, partition: int, data: bytes) -> list[Told]:
            sequence = await order_in_band(self._client(), pipeline, partition, data)
            return await self._replies.wait_all(sequence)

        try:
            async with asyncio.timeout(PATIENCE_S):
                told = await _all(ordered(*order) for order in orders)
        except TimeoutError:
            raise TransientError(
                f"it is stored in {len(orders)} partitions and will count, but what became of all "
                f"of it is not known after {PATIENCE_S:g} s; see flyball holds list"
            ) from None
        return [one for part in told for one in part]

    async def _why_not(self, told: Told, hold: Hold) -> NotAnswered:
        if told.answered.result in KINDS:
            kind, message = KINDS[told.answered.result], told.answered.detail
            return NotAnswered(hold=hold.id, kind=kind, message=message)
        return _said(hold, ended(await now_of(self._holds, hold)))

    async def _withdraw(self, command: WithdrawApprovals) -> tuple[str, ...]:
        order = Withdrawal(
            withdrawn=command.name, by=command.by, why=command.why, at=clock.utc_now()
        )
        data = order.model_dump_json().encode()
        places = [(p, i) for p in self._pipelines() for i in range(self._partitions)]
        told = await self._ordered([(*place, data) for place in places])
        touched = tuple(one.answered.decision for one in told if one.answered.decision)
        for hold in touched:
            await self._show_without(hold, command.name)
        return touched

    async def _show_without(self, hold: str, name: str) -> None:
        """The record shows who agreed; it counts in the fold, so a lost race changes nothing."""
        found, revision = await self._holds.load(hold)
        if found is None or not has_agreed(name, found.agreed_by):
            return
        agreed = tuple(by for by in found.agreed_by if not has_agreed(name, (by,)))
        try:
            shown = found.model_copy(update={"agreed_by": agreed})
            await self._holds.save(hold, shown, revision=revision)
        except LostRaceError:
            return


def _said(hold: Hold, why_not: RefusedError) -> NotAnswered:
    return NotAnswered(hold=hold.id, kind=why_not.kind, message=str(why_not))


async def _all(doing: Iterable[Awaitable[list[Told]]]) -> list[list[Told]]:
    return list(await asyncio.gather(*doing))
