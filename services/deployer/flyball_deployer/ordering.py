"""Answers people's orders, and writes each one down with who and why."""

from typing import Final

from flyball_deployer.activating import Activation
from flyball_deployer.steering import Order
from flyball_kit.acts import Acts
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.commands import (
    DeploymentReply,
    Failure,
    PinSeat,
    PromoteModel,
    RollBackSeat,
    UnpinSeat,
)

VERBS: Final[dict[type[Order], str]] = {
    PromoteModel: "promote",
    RollBackSeat: "rollback",
    PinSeat: "pin",
    UnpinSeat: "unpin",
}


class Orders:
    """What people may ask of the deployer over NATS."""

    def __init__(self, activation: Activation, acts: Acts) -> None:
        self._activation, self._acts = activation, acts

    async def carry_out(self, order: Order) -> DeploymentReply:
        """Do it, or say exactly why not; both are recorded before the reply."""
        try:
            found = await self._activation.obey(order)
        except (PermanentError, TransientError) as error:
            await self._record(order, failed=str(error))
            raise
        if isinstance(found, Failure):
            await self._record(order, refused=found.message)
            return DeploymentReply(ok=False, error=found)
        await self._record(order)
        return DeploymentReply(ok=True, deployment=found)

    async def _record(self, order: Order, *, refused: str = "", failed: str = "") -> None:
        of = f"pipeline {order.pipeline}"
        if isinstance(order, PromoteModel):
            of = f"model {order.digest} of {of}"
        await self._acts.record(
            VERBS[type(order)],
            of,
            by=order.by,
            why=order.why,
            outcome="failed" if failed else "refused" if refused else "done",
            detail=failed or refused,
        )
