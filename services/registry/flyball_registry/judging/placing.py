"""The stage of each model's record follows the deployment. Pure but for `Placing`."""

import logging
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord

Stage = Literal["challenger", "canary", "active", "fallback", "retired", "refused", "rolled-back"]
HAD_A_PLACE: Final = frozenset({"active", "fallback"})
ATTEMPTS: Final = 3

log = logging.getLogger("flyball.registry.placing")


def stage(model: ModelRecord, pointer: ActiveModel) -> Stage:
    """A model's stage under a deployment. A refused model stays refused."""
    places: Mapping[str, Stage] = {
        **({pointer.baseline.digest: "fallback"} if pointer.baseline else {}),
        pointer.anchored.digest: "fallback",
        **({pointer.canary.digest: "canary"} if pointer.canary else {}),
        pointer.digest: "active",
    }
    if model.stage == "refused":
        return "refused"
    if model.digest in places:
        return places[model.digest]
    if model.digest in pointer.rolled_back:
        return "rolled-back"
    if model.stage == "canary":
        return "challenger"
    return "retired" if model.stage in HAD_A_PLACE else model.stage


class Placing:
    """Writes stages where they changed.

    What cannot be written now comes again with the deployment's next move.
    """

    def __init__(self, records: Kv[ModelRecord]) -> None:
        self._records = records

    async def place(self, known: Iterable[ModelRecord], pointer: ActiveModel) -> list[ModelRecord]:
        """Bring records up to date; the changed ones."""
        changed = [model for model in known if stage(model, pointer) != model.stage]
        return [moved for model in changed if (moved := await self._move(model, pointer))]

    async def _move(self, model: ModelRecord, pointer: ActiveModel) -> ModelRecord | None:
        key = f"{model.pipeline}.{model.digest}"
        for _ in range(ATTEMPTS):
            try:
                record, revision = await self._records.load(key)
                if record is None:
                    return None
                moved = record.model_copy(update={"stage": stage(record, pointer)})
                if moved != record:
                    await self._records.save(key, moved, revision=revision)
            except TransientError as error:
                log.info("the stage of %s is written later: %s", key, error)
            else:
                return moved
        return None
