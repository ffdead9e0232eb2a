"""A person closes a pipeline's breaker: an order to every partition, between its decisions."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Literal

from nats.aio.client import Client

from flyball_kit.acts import Acts
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto.breakers import BreakerOrder, BreakerRecord, BreakerReply, ResetBreaker
from flyball_proto.columns import Result
from flyball_proto.commands import Failure
from flyball_risk.answering.replies import Replies
from flyball_risk.steering.stops import order_in_band

log = logging.getLogger("flyball.risk.breakers")

PATIENCE_S: Final = 5.0
"""How long partitions may take to obey until that is said instead."""


class Breakers:
    """Carries `cmd.risk.reset-breaker` out; `is_applied` says which pipelines there are."""

    def __init__(
        self,
        records: Kv[BreakerRecord],
        replies: Replies,
        acts: Acts,
        client: Callable[[], Client],
        partitions: int,
        is_applied: Callable[[str], bool],
    ) -> None:
        self._records, self._replies, self._acts = records, replies, acts
        self._client, self._partitions, self._is_applied = client, partitions, is_applied

    async def reset(self, command: ResetBreaker) -> BreakerReply:
        """Close it; replies when that is part of the record.

        Raises:
            TransientError: not every partition is known to have obeyed; asking again is harmless.
        """
        if not self._is_applied(command.pipeline):
            message = f"no pipeline {command.pipeline} is applied; `flyball status` names them"
            await self._record(command, "refused", message)
            return BreakerReply(ok=False, error=Failure(kind="not-found", message=message))
        try:
            changed = await self._order(command)
        except TransientError as error:
            await self._record(command, "failed", str(error))
            raise
        await self._record(command, "done", "" if changed else "it was closed already")
        return BreakerReply(ok=True, changed=changed)

    async def _order(self, command: ResetBreaker) -> bool:
        """Order every partition and wait until all have obeyed; whether it changed any."""
        records = await self._records.items(f"{command.pipeline}.")
        order = BreakerOrder(
            state="closed",
            number=max((record.number for record, _ in records.values()), default=0),
            reason=command.why,
            by=command.by,
        )
        data, client = order.model_dump_json().encode(), self._client()
        of_all = [
            order_in_band(client, command.pipeline, partition, data)
            for partition in range(self._partitions)
        ]
        stored = await asyncio.gather(*of_all)
        try:
            async with asyncio.timeout(PATIENCE_S):
                told = [await self._replies.wait(sequence) for sequence in stored]
        except TimeoutError:
            raise TransientError(
                f"the reset of {command.pipeline} is stored (messages {stored} of DECISIONS) and "
                f"will count, but not every partition has obeyed after {PATIENCE_S:g} s; look "
                "again with flyball status"
            ) from None
        return any(each.answered.result is Result.ENDED for each in told)

    async def _record(
        self, command: ResetBreaker, outcome: Literal["done", "refused", "failed"], detail: str
    ) -> None:
        """What is done is done: an act that cannot be recorded now is told in the log."""
        try:
            await self._acts.record(
                "reset-breaker",
                f"pipeline {command.pipeline}",
                by=command.by,
                why=command.why,
                outcome=outcome,
                detail=detail,
            )
        except TransientError:
            log.exception("reset of %s by %s is not in AUDIT", command.pipeline, command.by)
