"""Lockstep: behind a mark nothing is read until what the data up to it decided is in force."""

from flyball_inference.desk import Desk
from flyball_kit.fold import Output
from flyball_kit.lockstep import Settlements
from flyball_proto.columns import decode_decisions
from flyball_proto.deployments import DeployerSettled


class Gate:
    """The gate of one partition's fold; see `flyball_kit.fold.FoldRunner`.

    Behind the last mark of a replay nobody waits. A restart right behind a mark does not know whether
    it was the last: the deployer's answer, which is stored, exists for that one too.
    """

    def __init__(
        self, desk: Desk, partition: int, settlements: Settlements[DeployerSettled]
    ) -> None:
        self._desk, self._partition, self._settlements = desk, partition, settlements
        self._waits_for: str | None = None

    async def __call__(self, output: Output) -> None:
        """Wait behind the mark of `output`, however long that takes."""
        if output.mark is None or _is_last(output):
            return
        self._waits(output.mark, "for the deployer")
        try:
            settled = await self._settlements.wait(self._desk.pipeline, output.mark)
            self._waits(output.mark, f"until epoch {settled.epoch} is in force")
            await self._desk.in_force(settled.epoch)
        finally:
            self._waits_for = None

    def waits_for(self) -> str | None:
        """For `Health`: the mark behind which it waits, and for what."""
        return self._waits_for

    def _waits(self, mark: str, what: str) -> None:
        self._waits_for = f"partition {self._partition} waits behind mark {mark} {what}"


def _is_last(output: Output) -> bool:
    if not output.data:
        return False
    mark = decode_decisions(output.data).flow.mark
    return mark is not None and mark.last
