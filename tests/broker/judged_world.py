"""What tests of the registry share: samples, models and a deployment as others would write them.

Truth is one with the probability that the row's `load` says, so the model `HONEST` is right,
`SHRUGGING` says a half of everything, and `WRONG` the opposite.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from onnx import TensorProto, helper, numpy_helper
from tests.broker import chain

from flyball_kit import signing
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto import streams, subjects
from flyball_proto.bundles import encode_manifest, manifest_key, onnx_key, signature_key
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
    Tally,
    Verdict,
    encode_samples,
)
from flyball_proto.deployments import ActiveModel, Canary, Placed
from flyball_proto.events import (
    Event,
    Manifest,
    ModelAdmitted,
    ModelRecord,
    ModelTrained,
    TrainerSettled,
)
from flyball_proto.judgements import RegistrySettled
from flyball_proto.spec import Pipeline, Source, digest8, feature_digest, feature_names
from flyball_registry.records.scoreboard import Scoreboard

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ELEMENTS = tuple(f"cell-{i}" for i in range(8))
BLOCK_MS = 4_000
BEGIN_MS = 1_700_000_000_000
HONEST, SHRUGGING, WRONG = (1.0, 0.0), (0.0, 0.5), (-1.0, 1.0)

E = TypeVar("E", bound=Event)


def documents(name: str, **changes: Any) -> list[dict[str, Any]]:
    facts: dict[str, Any] = {
        "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "1s"},
        "promotion": {"canary": [100], "alpha": 0.4, "watch": {"false_alarm_every": "2h"}},
        "trainers": [{"name": "recent", "kind": "lightgbm"}, {"name": "twin", "kind": "lightgbm"}],
    }
    found = chain.documents(name, **facts | changes)
    found[0]["spec"]["season"] = 0
    return found


def onnx_of(slope: float, offset: float, width: int, salt: str = "") -> bytes:
    """`clip(slope * first feature + offset, 0, 1)`, a half where the feature is missing."""
    weights = np.zeros((width, 1), np.float32)
    weights[0] = slope
    constants = {
        "weights": weights,
        "offset": np.array([offset], np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "half": np.array(0.5, np.float32),
    }
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "half", "features"], ["whole"]),
        helper.make_node("MatMul", ["whole", "weights"], ["product"]),
        helper.make_node("Add", ["product", "offset"], ["sum"]),
        helper.make_node("Clip", ["sum", "zero", "one"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opset, producer_name=salt)
    made: bytes = model.SerializeToString(deterministic=True)
    return made


class World:
    """One pipeline, as its trainer, deployer and the folds before the registry write it."""

    def __init__(self, client: Client, common: dict[str, Any], name: str, **changes: Any) -> None:
        self.client, self.name = client, name
        found = chain.parse_documents(documents(name, **changes))
        self.pipeline, self.source = found.pipelines[name], found.sources[name]
        self.digest = feature_digest(self.pipeline, self.source)
        self.features = feature_names(self.pipeline, self.source)
        self.objects = Objects(KitSettings(**common))
        self.deployments: Kv[ActiveModel] = Kv(lambda: client, streams.DEPLOYMENTS, ActiveModel)
        self.records: Kv[ModelRecord] = Kv(lambda: client, streams.MODELS, ModelRecord)
        self.boards: Kv[Scoreboard] = Kv(lambda: client, streams.SCOREBOARD, Scoreboard)
        self.sequence = 0
        self._rng = np.random.default_rng(7)
        self._models: dict[str, tuple[float, float]] = {}

    async def apply(self) -> None:
        """Put the specification where the gateway would."""
        sources: Kv[Source] = Kv(lambda: self.client, streams.PIPELINES, Source)
        pipelines: Kv[Pipeline] = Kv(lambda: self.client, streams.PIPELINES, Pipeline)
        await sources.save(f"source.{self.name}", self.source, revision=0)
        await pipelines.save(f"pipeline.{self.name}", self.pipeline, revision=0)

    def bundle(
        self,
        trainer: str,
        line: tuple[float, float],
        through: int = 1,
        held_out_ms: int = BEGIN_MS,
    ) -> tuple[bytes, Manifest]:
        """A model's two files."""
        salt = f"{self.name} {trainer} {through}"
        onnx = onnx_of(*line, len(self.features), salt)
        learnt: dict[str, Any] = {}
        if trainer != "baseline":
            learnt = {
                "trained_through": {"0": through},
                "trained_through_ms": max(held_out_ms, BEGIN_MS + through * 1000),
                "holdout_from_ms": held_out_ms,
            }
        manifest = Manifest(
            digest=hashlib.sha256(onnx).hexdigest(),
            pipeline=self.name,
            trainer=trainer,
            kind="baseline" if trainer == "baseline" else "lightgbm",
            feature_digest=self.digest,
            features=self.features,
            task="binary",
            **learnt,
        )
        self._models[manifest.digest] = line
        return onnx, manifest

    async def store(self, onnx: bytes, manifest: Manifest, seed_file: Path | None = None) -> None:
        """Put a bundle into S3, signed if there is a key."""
        written = encode_manifest(manifest)
        await self.objects.put(onnx_key(manifest.digest), onnx)
        if seed_file is not None:
            signature = signing.sign(seed_file, written).model_dump_json().encode()
            await self.objects.put(signature_key(manifest.digest), signature)
        await self.objects.put(manifest_key(manifest.digest), written)

    async def train(
        self,
        trainer: str,
        line: tuple[float, float],
        through: int = 1,
        *,
        mark: str | None = None,
        held_out_ms: int = BEGIN_MS,
    ) -> str:
        """A trained model, stored and told; its digest."""
        onnx, manifest = self.bundle(trainer, line, through, held_out_ms)
        await self.store(onnx, manifest)
        await self.tell(self.trained(manifest, len(onnx), mark))
        return manifest.digest

    def trained(self, manifest: Manifest, size: int, mark: str | None = None) -> ModelTrained:
        """What the trainer would tell of a bundle."""
        return ModelTrained(
            pipeline=self.name,
            at=datetime.now(UTC),
            digest=manifest.digest,
            manifest_digest=hashlib.sha256(encode_manifest(manifest)).hexdigest(),
            trainer=manifest.trainer,
            feature_digest=manifest.feature_digest,
            size_bytes=size,
            kind=manifest.kind,
            trained_through=manifest.trained_through,
            trained_through_ms=manifest.trained_through_ms,
            mark=mark,
        )

    async def admitted(self, nth: int) -> ModelAdmitted:
        """The n-th admission."""
        return await chain.event(self.client, ModelAdmitted, self.name, nth)

    async def seat(self, digest: str, epoch: int, **changes: Any) -> ActiveModel:
        """Make a model active, as the deployer would."""
        record, _ = await self.records.load(f"{self.name}.{digest}")
        assert record is not None
        _, revision = await self.deployments.load(self.name)
        pointer = ActiveModel(
            digest=digest,
            trainer=record.trainer,
            feature_digest=self.digest,
            epoch=epoch,
            since=NOW,
            reason="test",
            **changes,
        )
        await self.deployments.save(self.name, pointer, revision=revision)
        return pointer

    def placed(self, digest: str, trainer: str) -> Placed:
        return Placed(digest=digest, trainer=trainer, feature_digest=self.digest)

    def canary(self, digest: str, trainer: str, epoch: int) -> Canary:
        return Canary(
            digest=digest,
            trainer=trainer,
            feature_digest=self.digest,
            step=0,
            percent=25,
            since=NOW,
            epoch=epoch,
        )

    def samples(
        self,
        seconds: int,
        model: Model | None,
        *,
        mark: Mark | None = None,
        tally: Sequence[Tally] = (),
        truth: Callable[[Any], Any] = lambda load: load,
    ) -> bytes:
        """The next seconds, a row of every element each, decided by `model` and labelled 1 s later."""
        cells = len(ELEMENTS)
        n, first = seconds * cells, self.sequence // cells
        sequence = np.arange(self.sequence + 1, self.sequence + n + 1, dtype=U64)
        self.sequence += n
        seconds_ms = BEGIN_MS + np.arange(first, first + seconds, dtype=I64) * 1000
        time_ms = np.repeat(seconds_ms, cells)
        drawn = self._rng.uniform(0, 1, (n, 2))  # the same rows, however they are cut
        load = drawn[:, 0].astype(F32)
        label = (drawn[:, 1] < truth(load)).astype(F64)
        feature = np.repeat(load[:, None], len(self.features), axis=1)
        score = np.zeros(n, F64)
        if model is not None and model.digest in self._models:
            slope, offset = self._models[model.digest]
            raw = np.clip(np.float32(slope) * load + np.float32(offset), 0, 1)
            score = raw.astype(F64).round(6)
        rows = Rows(
            ELEMENTS,
            np.tile(np.arange(cells, dtype=U32), seconds),
            sequence,
            np.zeros(n, U16),
            time_ms,
            ("{}",),
            np.zeros(cells, U32),
        )
        return encode_samples(
            Samples(
                self.name,
                self.digest,
                Flow("hub.METRICS", int(sequence[0]) if n else 0, self.sequence, mark=mark),
                rows,
                feature,
                label,
                time_ms + 1000,
                np.ones(n, F64),
                np.zeros(n, U8),
                (model,) if model else (),
                np.zeros(n, U8),
                score,
                np.full(n, int(Verdict.ADVISE), U8),
                np.zeros(n, U8),
                tuple(tally),
            )
        )

    @property
    def now_ms(self) -> int:
        """Event time of the row that comes next."""
        return BEGIN_MS + self.sequence // len(ELEMENTS) * 1000

    def mark(self, name: str, *, last: bool = False) -> Mark:
        """A mark behind what was written so far."""
        return Mark(name, self.now_ms - 1000, last)

    async def publish(self, *messages: bytes) -> None:
        """Put samples where the fold would."""
        subject = subjects.samples(self.name, digest8(self.digest), 0)
        for message in messages:
            await self.client.jetstream().publish(subject, message)

    async def settle(self, mark: str, *digests: str) -> None:
        """Answer a mark as the trainer would."""
        await self.tell(
            TrainerSettled(pipeline=self.name, at=NOW, mark=mark, digests=tuple(digests))
        )

    async def tell(self, event: Event) -> None:
        """Publish an event."""
        await self.client.jetstream().publish(event.subject, event.model_dump_json().encode())

    async def answer(self, nth: int = 1) -> RegistrySettled:
        """The registry's n-th answer."""
        return await chain.event(self.client, RegistrySettled, self.name, nth)

    async def judgements(self, kind: type[E]) -> list[E]:
        """All stored judgements of a kind, in order."""
        js, found, after = self.client.jetstream(), [], 1
        subject = kind.pattern().replace("*", self.name)
        while True:
            try:
                stored = await js.get_msg(
                    streams.EVENTS.name, seq=after, subject=subject, next=True
                )
            except NotFoundError:
                return found
            found.append(kind.model_validate_json(stored.data or b""))
            after = (stored.seq or 0) + 1

    async def staged(self, digest: str, stage: str) -> None:
        """Wait until a model's record says so."""
        async with asyncio.timeout(chain.WAIT_S):
            changes = self.records.watch(f"{self.name}.{digest}")
            async for change in changes:
                if change.value and change.value.stage == stage:
                    break
            await changes.aclose()

    async def read(self) -> None:
        """Wait until the registry has saved that it read every sample."""
        subject = subjects.samples(self.name, digest8(self.digest), 0)
        last = await self.client.jetstream().get_last_msg(streams.SAMPLES.name, subject)
        async with asyncio.timeout(chain.WAIT_S):
            changes = self.boards.watch(self.name)
            async for change in changes:
                places = change.value.places if change.value else {}
                if "0" in places and places["0"].samples >= (last.seq or 0):
                    break
            await changes.aclose()


def model(digest: str, trainer: str, epoch: int, stage: str = "active") -> Model:
    return Model(digest, epoch, stage, trainer)
