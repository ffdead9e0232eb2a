"""The deployer's records: model records to read, active pointers to move by compare-and-set."""

from flyball_deployer.rollout import Seat
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord


class Seats:
    """Seats and the models that may take them."""

    def __init__(self, pointers: Kv[ActiveModel], records: Kv[ModelRecord]) -> None:
        self._pointers, self._records = pointers, records

    async def load(self, pipeline: str) -> tuple[Seat, int]:
        """The seat, and the revision that `move` wants."""
        pointer, revision = await self._pointers.load(pipeline)
        if pointer is None:
            return Seat(), revision
        record, _ = await self._records.load(f"{pipeline}.{pointer.digest}")
        return Seat(pointer, record), revision

    async def move(self, pipeline: str, pointer: ActiveModel, *, revision: int) -> None:
        """Move the active pointer.

        Raises:
            LostRaceError: it moved since it was read.
        """
        await self._pointers.save(pipeline, pointer, revision=revision)

    async def model(self, pipeline: str, digest: str) -> ModelRecord:
        """The record of an admitted model.

        Raises:
            TransientError: there is none; the registry writes it before it says so.
        """
        record, _ = await self._records.load(f"{pipeline}.{digest}")
        if record is None:
            raise TransientError(f"model {digest[:12]} of {pipeline} has no record yet")
        return record

    async def models(self) -> list[ModelRecord]:
        """All records, those admitted first first."""
        found = [record for record, _ in (await self._records.items()).values()]
        return sorted(found, key=lambda record: record.admitted_at)
