"""What tests of the trainer share: a world whose labels can be learnt, written to SAMPLES directly."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from nats.aio.client import Client
from tests.broker import chain

from flyball_kit.kv import Kv
from flyball_proto import streams, subjects
from flyball_proto.columns import (
    F32,
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Flow,
    Mark,
    Model,
    Rows,
    Samples,
    encode_samples,
)
from flyball_proto.events import Event, TrainerSettled
from flyball_proto.spec import Catalogue, Pipeline, Source, digest8, feature_digest
from flyball_trainer.app import build
from flyball_trainer.settings import Settings

HORIZON_MS = 1_000
MAX_ROWS = 10_000
WAIT_S = 90.0
"""Workers have low priority, so a busy machine is slow over a training."""
RECENT = {
    "name": "recent",
    "kind": "lightgbm",
    "retrain_every": "100s",
    "parameters": {"n_estimators": 10, "num_leaves": 7},
}
LINEAR = {"name": "linear", "kind": "logistic", "retrain_every": "200s"}

E = TypeVar("E", bound=Event)


def catalogue(name: str, *trainers: dict[str, Any]) -> Catalogue:
    target = {"task": "binary", "expression": "max(load) > 0.9", "horizon": "1s"}
    return chain.catalogue(name, target=target, trainers=list(trainers or (RECENT,)))


class World:
    """Publishes samples of one pipeline: element `cell-<partition>`, a row a second."""

    def __init__(self, client: Client, name: str, *trainers: dict[str, Any]) -> None:
        self.client, self.name = client, name
        self.found = catalogue(name, *trainers)
        self.digest = feature_digest(self.found.pipelines[name], self.found.sources[name])
        self._sequence = {0: 1, 1: 1}

    async def apply(self) -> None:
        """Put the specification where the gateway would."""
        for kind, key, value in (
            (Source, f"source.{self.name}", self.found.sources[self.name]),
            (Pipeline, f"pipeline.{self.name}", self.found.pipelines[self.name]),
        ):
            records: Kv[Any] = Kv(lambda: self.client, streams.PIPELINES, kind)
            _, revision = await records.load(key)
            await records.save(key, value, revision=revision)

    async def rows(self, rows: int, *, partition: int = 0, **how: Any) -> None:
        """So many more seconds of samples in one message; `mark` or `last` end it with a mark."""
        subject = subjects.samples(self.name, digest8(self.digest), partition)
        data = encode_samples(self.samples(rows, partition=partition, **how))
        await self.client.jetstream().publish(subject, data)

    async def mark(self, mark: str, *, partitions: int = 1, last: bool = False) -> None:
        """A mark behind everything so far."""
        for partition in range(partitions):
            await self.rows(0, partition=partition, mark=mark, last=last)

    def samples(
        self,
        rows: int,
        *,
        partition: int = 0,
        mark: str | None = None,
        last: bool = False,
        label: float | None = None,
    ) -> Samples:
        first = self._sequence[partition]
        self._sequence[partition] += rows
        sequence = np.arange(first, first + rows, dtype=U64)
        drawn = np.random.default_rng(partition).random((MAX_ROWS, 3))[first - 1 :][:rows]
        load, noise = drawn[:, 0], drawn[:, 1]
        labels = (load + 0.3 * noise > 0.65).astype(F64)
        time_ms = 1_000 * sequence.astype(I64)
        end_ms = 1_000 * (self._sequence[partition] - 1)
        return Samples(
            self.name,
            self.digest,
            Flow(
                "hub.METRICS",
                first,
                self._sequence[partition] - 1,
                mark=None if mark is None else Mark(mark, end_ms, last),
            ),
            Rows(
                (f"cell-{partition}",),
                np.zeros(rows, U32),
                sequence,
                np.zeros(rows, U16),
                time_ms,
                ("{}",),
                np.zeros(1, U32),
            ),
            drawn[:, [0, 2]].astype(F32),
            labels if label is None else np.full(rows, label, F64),
            time_ms + HORIZON_MS,
            np.ones(rows, F64),
            np.zeros(rows, U8),
            (Model("d", 1, "active", "baseline"),),
            np.zeros(rows, U8),
            np.full(rows, 0.5, F64),
            np.zeros(rows, U8),
            np.zeros(rows, U8),
        )

    async def settled(self, mark: str) -> TrainerSettled:
        """Wait for the answer to a mark."""
        return (await first(self.client, TrainerSettled, self.name, 1, mark=mark))[0]


async def first(client: Client, kind: type[E], pipeline: str, count: int, **facts: Any) -> list[E]:
    """Wait for so many events of a kind with these facts, stored ones first."""
    found: list[E] = []
    sub = await client.jetstream().subscribe(kind.pattern().replace("*", pipeline))
    try:
        while len(found) < count:
            event = kind.model_validate_json((await sub.next_msg(WAIT_S)).data)
            if all(getattr(event, name) == value for name, value in facts.items()):
                found.append(event)
    finally:
        await sub.unsubscribe()
    return found


@asynccontextmanager
async def trainer(common: dict[str, Any], **more: Any) -> AsyncIterator[None]:
    """The trainer in this process; its workers are processes of their own."""
    async with chain.running(build(Settings(**common, **more))):
        yield


async def played(
    world: World, stretches: Sequence[int], *, first_mark: int = 0, end: bool = True
) -> list[TrainerSettled]:
    """Play stretches in lockstep: each is published once the mark before it is settled."""
    answers = []
    if first_mark == 0:
        await world.mark("mark-0")
        answers.append(await world.settled("mark-0"))
    for number, rows in enumerate(stretches, first_mark + 1):
        last = end and number == first_mark + len(stretches)
        await world.rows(rows, mark=f"mark-{number}", last=last)
        answers.append(await world.settled(f"mark-{number}"))
    return answers
