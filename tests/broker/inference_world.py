"""What the tests of inference share: an applied pipeline, an S3 of its own, the means to deploy."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from minio import Minio
from nats.aio.client import Client
from pydantic import SecretStr
from tests.broker import chain
from tests.conftest import BUCKET
from tests.unit.inference_models import Made, constant
from typing_extensions import override

from flyball_inference.settings import Settings
from flyball_kit import signing
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_local.embedded.engines import S3Engine
from flyball_proto import streams, subjects
from flyball_proto.bundles import encode_manifest, manifest_key, onnx_key, signature_key
from flyball_proto.columns import (
    U32,
    Decisions,
    Mark,
    decode_decisions,
    decode_features,
    encode_features,
)
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelFlipped
from flyball_proto.spec import Pipeline, digest8


class World:
    """A pipeline that is applied, an S3 server of its own, and the means to move the pointer."""

    def __init__(self, client: Client, s3: S3Engine, name: str, common: dict[str, Any]) -> None:
        self.client, self.s3, self.name = client, s3, name
        self.common = common | {
            "s3_endpoint": s3.endpoint,
            "s3_access_key": s3.access_key,
            "s3_secret_key": SecretStr(s3.secret_key),
        }
        self.pointers: Kv[ActiveModel] = Kv(lambda: client, streams.DEPLOYMENTS, ActiveModel)
        self.objects = Objects(KitSettings(**self.common))
        self.made = constant(0.5, name)
        self._next = 1

    def settings(self, **more: Any) -> Settings:
        return Settings(**(self.common | {"retry_s": 0.05} | more))

    async def apply(self) -> None:
        specs: Kv[Pipeline] = Kv(lambda: self.client, streams.PIPELINES, Pipeline)
        value = chain.catalogue(self.name).pipelines[self.name]
        await specs.save(f"pipeline.{self.name}", value, revision=0)

    def another(self, score: float) -> Made:
        """A model of this pipeline that always says so."""
        return constant(score, self.name)

    async def store(self, *made: Made, signed_by: Path | None = None) -> None:
        objects = self.objects
        for one in made or (self.made,):
            manifest = encode_manifest(one.manifest)
            await objects.put(onnx_key(one.digest), one.onnx)
            await objects.put(manifest_key(one.digest), manifest)
            if signed_by is not None:
                signature = signing.sign(signed_by, manifest).model_dump_json().encode()
                await objects.put(signature_key(one.digest), signature)

    async def point(self, to: ActiveModel) -> None:
        _, revision = await self.pointers.load(self.name)
        await self.pointers.save(self.name, to, revision=revision)

    async def flipped(self, nth: int = 1) -> ModelFlipped:
        return await chain.event(self.client, ModelFlipped, self.name, nth)

    async def feed(
        self, elements: Sequence[str] = ("cell-1",), mark: str | None = None, *, last: bool = False
    ) -> int:
        """Publish a batch with one row an element; gives how many rows were fed so far."""
        rows = len(elements)
        batch = decode_features(chain.features(self.name, [0.5] * rows, first=self._next))
        names = list(dict.fromkeys(elements))
        who = replace(
            batch.rows,
            element=names,
            element_index=np.array([names.index(e) for e in elements], U32),
            label_index=np.zeros(len(names), U32),
        )
        flow = replace(batch.flow, mark=Mark(mark, 0, last) if mark else None)
        subject = subjects.features(self.name, digest8(self.made.manifest.feature_digest), 0)
        data = encode_features(replace(batch, rows=who, flow=flow))
        await self.client.jetstream().publish(subject, data)
        self._next += rows
        return self._next - 1

    async def decided(self, rows: int) -> list[Decisions]:
        """Wait until so many rows are decided."""
        return await chain.decisions(self.client, self.name, rows)

    async def marked(self, mark: str) -> None:
        """Wait until DECISIONS shows a mark."""
        sub = await self.client.jetstream().subscribe(subjects.decisions(self.name, 0))
        try:
            async with asyncio.timeout(chain.WAIT_S):
                while True:
                    message = await sub.next_msg(chain.WAIT_S)
                    found = decode_decisions(message.data).flow.mark if message.data else None
                    if found is not None and found.id == mark:
                        return
        finally:
            await sub.unsubscribe()


@asynccontextmanager
async def inference_world(
    client: Client, folder: Path, name: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    s3 = S3Engine(folder / "s3")
    await asyncio.to_thread(s3.start)
    try:
        Minio(
            s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1"
        ).make_bucket(BUCKET)
        made = World(client, s3, name, common)
        await made.apply()
        yield made
    finally:
        await asyncio.to_thread(s3.stop)


class Ear(logging.Handler):
    """Hears one sentence in the log."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text, self.heard = text, asyncio.Event()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.heard.set()


@asynccontextmanager
async def logged(text: str) -> AsyncIterator[None]:
    """Wait at the end of the block until something was said in it."""
    ear, log = Ear(text), logging.getLogger("flyball.inference.desk")
    log.addHandler(ear)
    try:
        yield
        async with asyncio.timeout(chain.WAIT_S):
            await ear.heard.wait()
    finally:
        log.removeHandler(ear)
