"""The running parts of one pipeline: a fold and a quarantine for each partition."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client

from flyball_ingest import quarantine
from flyball_ingest.contract import Contract
from flyball_ingest.fold import LAYOUT, IngestFold
from flyball_ingest.holding import HoldingDispatcher
from flyball_ingest.settings import Settings
from flyball_kit import connect
from flyball_kit.connect import Connect
from flyball_kit.fold import (
    Endpoint,
    Fold,
    FoldOptions,
    FoldRunner,
    Input,
)
from flyball_kit.fold.positions import release
from flyball_kit.telemetry import FoldTelemetry, traced, traced_route
from flyball_proto import streams, subjects
from flyball_proto.spec import digest8

log = logging.getLogger(__name__)

SERVICE: Final = "ingest"


@dataclass(slots=True)
class Stage:
    """One partition of one pipeline.

    `folds` are those made so far, the last one running: a revision is offered to it, and a fold
    made later begins with the newest contract.
    """

    contract: Contract
    partition: int
    settings: Settings
    folds: list[IngestFold] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`<pipeline>.<digest8>.<partition>`: another digest is another reader."""
        digest = digest8(self.contract.feature_digest)
        return f"{self.contract.pipeline}.{digest}.{self.partition}"

    @property
    def source(self) -> Endpoint:
        """What is read. With one partition everything, also what no transform applied to.

        A filter that is narrower than the stream costs the server 20 microseconds a message among a
        thousand subjects, reading without one 2; the fold passes over other sources' messages.
        """
        reports, labels = f"metrics.{self.contract.source}", f"labels.{self.contract.pipeline}"
        if self.settings.partitions == 1:
            own = (f"{reports}.>", reports, f"{labels}.>", labels)
            return Endpoint(streams.METRICS.name, ">", own=own)
        also = (f"{labels}.{self.partition}.>",) if self.contract.labels.are_wanted else ()
        return Endpoint(streams.METRICS.name, f"{reports}.{self.partition}.>", also=also)

    @property
    def target(self) -> Endpoint:
        """Where features go."""
        return Endpoint(streams.FEATURES.name, self.contract.target_subject(self.partition))

    def revise(self, contract: Contract) -> None:
        """Go on under another contract of the same features."""
        self.contract = contract
        for fold in self.folds[-1:]:
            fold.revise(contract)

    def make_fold(self) -> Fold:
        """A fold without state."""
        fold = IngestFold(
            self.contract,
            partition=self.partition,
            origin=f"{self.settings.domain}.{streams.METRICS.name}",
            max_elements=self.settings.max_elements,
            memory_bytes=self.settings.memory_mib * streams.MIB,
            state_bytes=self.settings.state_mib * streams.MIB,
        )
        self.folds[:] = [fold]
        return traced(SERVICE, fold, root=True, prefix=f"metrics.{self.contract.source}.")


class Folding:
    """Runs a stage's fold, with a Redis connection of its own."""

    def __init__(self, stage: Stage, connect_to: Connect) -> None:
        self.name = f"ingest.{stage.name}"
        settings = stage.settings
        retain_bytes = settings.retain_mib * streams.MIB
        self._redis = connect.redis(settings)
        self._runner = FoldRunner(
            self.name,
            connect=connect_to,
            source=stage.source,
            target=stage.target,
            fold=stage.make_fold,
            options=FoldOptions(
                version=str(LAYOUT),
                snapshot_every_s=settings.snapshot_every_s,
                snapshot_prefix=settings.redis_prefix,
                tick_s=1.0 if settings.ticks else None,
                retain_bytes=retain_bytes,
                retain_source_bytes=retain_bytes,
            ),
            redis=self._redis,
            observer=FoldTelemetry(self.name),
        )

    async def run(self) -> None:
        """Run until stopped."""
        try:
            await self._runner.run()
        finally:
            if self._redis is not None:
                await self._redis.aclose()

    async def stop(self) -> None:
        """Commit what is under way and end."""
        await self._runner.stop()


def quarantining(
    stage: Stage, connect_to: Connect, client: Callable[[], Client]
) -> HoldingDispatcher:
    """Dispatches a stage's refused reports."""
    contract, partition = stage.contract, stage.partition
    reports = subjects.quarantine(contract.source, partition, stage.settings.partitions)
    labels = subjects.unreadable_labels(contract.pipeline, partition)

    def route(message: Input) -> quarantine.Dispatches:
        return quarantine.route(message, reports, labels)

    return HoldingDispatcher(
        f"quarantine.{stage.name}",
        connect_to=connect_to,
        client=client,
        source=stage.target,
        held=stage.source,
        route=traced_route("ingest.quarantine", route),
        retain_mib=stage.settings.retain_mib,
    )


async def forget_readers(client: Client, stage: Stage) -> None:
    """Let nobody wait for a stage that runs no more."""
    js = client.jetstream()
    for stream, reader in (
        (stage.source.stream, f"ingest.{stage.name}"),
        (stage.source.stream, f"quarantine.{stage.name}"),
        (stage.target.stream, f"quarantine.{stage.name}"),
    ):
        await release(js, stream, reader)
