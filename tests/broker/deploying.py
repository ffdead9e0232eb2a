"""What tests of the deployer share: models, judgements and trips as others would tell them."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from tests.broker import chain

from flyball_kit import clock
from flyball_kit.kv import Kv
from flyball_proto import streams, subjects
from flyball_proto.deployments import ActiveModel, DeployerSettled
from flyball_proto.events import Event, ModelAdmitted, ModelRecord, ModelTripped, Wire
from flyball_proto.judgements import (
    CanaryJudged,
    Degraded,
    Refreshed,
    RefreshRefused,
    RegistrySettled,
    Superior,
)
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec import Pipeline

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000
ANSWER_S = 1.0
"""An order that was not answered by then is looked into, and given again if nothing moved."""

TRAINERS = {"b": "baseline", "a": "recent", "c": "long"}
"""The first letter of a digest says who made it."""


class Others:
    """The registry and inference of one pipeline, as far as the deployer hears of them."""

    def __init__(self, client: Client, pipeline: str) -> None:
        self.pipeline, self.number = pipeline, 0
        self.client = client
        self._records: Kv[ModelRecord] = Kv(lambda: client, streams.MODELS, ModelRecord)
        self._pipelines: Kv[Pipeline] = Kv(lambda: client, streams.PIPELINES, Pipeline)
        self.runtimes: Kv[RuntimeState] = Kv(lambda: client, streams.RUNTIMES, RuntimeState)
        self.deployments: Kv[ActiveModel] = Kv(lambda: client, streams.DEPLOYMENTS, ActiveModel)

    async def apply(self, **changes: Any) -> None:
        """Put the specification where the gateway would."""
        found = chain.catalogue(self.pipeline, **changes).pipelines[self.pipeline]
        await self._pipelines.save(f"pipeline.{self.pipeline}", found, revision=0)

    async def admit(self, *digests: str, tell: bool = True, **measured: Any) -> None:
        """Write the records of admitted models, and tell of them."""
        for digest in digests:
            facts = {
                "pipeline": self.pipeline,
                "digest": digest,
                "trainer": TRAINERS[digest[0]],
                "feature_digest": "f",
            }
            record = ModelRecord(
                **facts,
                manifest_digest="m",
                stage="challenger",
                admitted_at=NOW,
                **{"size_bytes": 1} | measured,
            )
            await self._records.save(f"{self.pipeline}.{digest}", record, revision=0)
            if tell:
                await self.tell(ModelAdmitted(at=NOW, **facts))

    async def tell(self, event: Event) -> None:
        """Publish an event."""
        await self.client.jetstream().publish(event.subject, event.model_dump_json().encode())

    async def run(self, instance: str, **fields: Any) -> None:
        """Announce a runtime, as alive now."""
        found = RuntimeState(
            **{"instance": instance, "pipeline": self.pipeline, "at": clock.utc_now()} | fields
        )
        key = f"{instance}.{self.pipeline}"
        _, revision = await self.runtimes.load(key)
        await self.runtimes.save(key, found, revision=revision)

    async def order(self, verb: str, command: Wire) -> None:
        """Ask for something until the deployment has changed: an answer may be lost."""
        body = command.model_dump_json().encode()
        _, before = await self.deployments.load(self.pipeline)
        async with asyncio.timeout(chain.WAIT_S):
            while (await self.deployments.load(self.pipeline))[1] == before:
                with suppress(NatsError):  # nobody there, or killed before the answer
                    await self.client.request(
                        subjects.command("deployer", verb), body, timeout=ANSWER_S
                    )

    async def trip(self, digest: str) -> None:
        await self.tell(
            ModelTripped(pipeline=self.pipeline, at=NOW, digest=digest, epoch=1, detail="NaN")
        )

    async def settle(self, mark: str, number: int | None = None) -> None:
        """Say that everything up to a mark is judged."""
        last = self.number if number is None else number
        await self.tell(RegistrySettled(pipeline=self.pipeline, at=NOW, mark=mark, number=last))

    async def answer(self, nth: int = 1) -> DeployerSettled:
        """The n-th answer of the deployer."""
        return await chain.event(self.client, DeployerSettled, self.pipeline, nth)

    async def record(self) -> ActiveModel:
        found, _ = await self.deployments.load(self.pipeline)
        assert found is not None
        return found

    def superior(self, digest: str, over: str) -> Superior:
        return Superior(
            **self._judgement(),
            trainer=TRAINERS[digest[0]],
            digest=digest,
            over=over,
            comparison=1,
            log_e=5.0,
            threshold=4.0,
            blocks=60,
            better_by=0.01,
        )

    def refreshed(self, digest: str, replaces: str) -> Refreshed:
        return Refreshed(
            **self._judgement(),
            trainer=TRAINERS[digest[0]],
            digest=digest,
            replaces=replaces,
            anchor=replaces,
            upper_bound=0.001,
            difference=0.0,
            rows=2000,
        )

    def refused(self, digest: str) -> RefreshRefused:
        return RefreshRefused(
            **self._judgement(),
            trainer=TRAINERS[digest[0]],
            digest=digest,
            outcome="worse",
            detail="by 0.1",
        )

    def degraded(self, digest: str, decision: Any = "roll-back") -> Degraded:
        return Degraded(
            **self._judgement(),
            digest=digest,
            anchor="a1",
            decision=decision,
            harm=900.0,
            relative=800.0,
            threshold=720.0,
            blocks=90,
        )

    def looked(self, digest: str, outcome: Any, epoch: int) -> CanaryJudged:
        return CanaryJudged(
            **self._judgement(),
            digest=digest,
            epoch=epoch,
            outcome=outcome,
            guards=(),
            rows=500,
        )

    def _judgement(self) -> dict[str, Any]:
        self.number += 1
        return {
            "pipeline": self.pipeline,
            "at": NOW,
            "number": self.number,
            "event_ms": self.number * HOUR_MS,
        }
