"""What inference tells everybody: flips, trips, and how long models take beside a canary."""

from collections.abc import Mapping

from flyball_inference.desk import Flip
from flyball_inference.gauge import Figures
from flyball_inference.trips import Trip
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_proto.events import ModelFlipped, ModelMeasured, ModelTripped

KINDS = (ModelFlipped, ModelTripped, ModelMeasured)


class Teller:
    """Publishes the events of one process; each raises `TransientError` if it is not stored."""

    def __init__(self, announcer: Announcer, partitions: int, instance: str) -> None:
        self._announcer, self._partitions = announcer, partitions
        self._instance = instance
        self._measured = 0

    async def flipped(self, pipeline: str, flip: Flip) -> None:
        """Another model is active here, for every partition."""
        pointer = flip.pointer
        for partition in range(self._partitions):
            event = ModelFlipped(
                pipeline=pipeline,
                at=clock.utc_now(),
                partition=partition,
                digest=pointer.digest,
                epoch=pointer.epoch,
                load_ms=round(flip.load_ms, 3),
            )
            place = f"{pipeline}:{partition}:{pointer.epoch}"
            await self._announcer.publish(event, f"flipped:{place}:{self._instance}")

    async def tripped(self, pipeline: str, trip: Trip) -> None:
        """A model cannot answer; two processes that find so say it once."""
        event = ModelTripped(
            pipeline=pipeline,
            at=clock.utc_now(),
            digest=trip.digest,
            epoch=trip.epoch,
            detail=trip.detail,
        )
        await self._announcer.publish(event, f"tripped:{pipeline}:{trip.epoch}:{trip.digest}")

    async def measured(
        self, pipeline: str, partition: int, epoch: int, figures: Mapping[str, Figures]
    ) -> None:
        """How long calls took since the last time."""
        self._measured += 1
        event = ModelMeasured(
            pipeline=pipeline,
            at=clock.utc_now(),
            partition=partition,
            epoch=epoch,
            p99_ms={digest: round(found.p99_ms, 6) for digest, found in figures.items()},
            calls={digest: found.calls for digest, found in figures.items()},
        )
        await self._announcer.publish(event, f"measured:{self._instance}:{self._measured}")
