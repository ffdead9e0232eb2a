"""The trainer's only I/O besides events: specifications in, bundles out."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyball_kit.errors import PermanentError
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.signing import sign
from flyball_proto.bundles import (
    MAX_MANIFEST_BYTES,
    dataset_key,
    encode_manifest,
    manifest_key,
    oms_key,
    onnx_key,
    report_key,
    signature_key,
)
from flyball_proto.events import Manifest
from flyball_proto.spec import Pipeline, Source
from flyball_trainer.bundling.signing import model_signature

MAX_ONNX_BYTES: Final = 256 << 20
MAX_DATASET_BYTES: Final = 1 << 30
"""The largest that is read back, to train a model again: 16 times the default window."""
MEASURED: Final = frozenset({"bom.cdx.json", "card.json", "card.md"})
"""Files that tell what was measured: made again they may read otherwise, and the first ones stay."""
NO_KEY: Final = "models carry no OpenSSF signature: set FLYBALL_TRAINER_MODEL_SIGNING_KEY_FILE to an EC P-256 key"


class UnknownPipelineError(PermanentError):
    """An event names a pipeline that is not applied."""

    kind = "not-found"


@dataclass(frozen=True, slots=True)
class Applied:
    """A pipeline and its source as they stand in KV now, with both revisions."""

    pipeline: Pipeline
    source: Source
    revisions: tuple[int, int]


class Specs:
    """Applied specifications."""

    def __init__(self, pipelines: Kv[Pipeline], sources: Kv[Source]) -> None:
        self._pipelines, self._sources = pipelines, sources

    async def load(self, name: str) -> Applied:
        """A pipeline with its source.

        Raises:
            UnknownPipelineError: one of them is not applied.
        """
        pipeline, revision = await self._pipelines.load(f"pipeline.{name}")
        if pipeline is None:
            raise UnknownPipelineError(f"pipeline {name} is not applied; apply it first")
        source, of_source = await self._sources.load(f"source.{pipeline.spec.source}")
        if source is None:
            raise UnknownPipelineError(
                f"pipeline {name} reads source {pipeline.spec.source}, which is not applied"
            )
        return Applied(pipeline, source, (revision, of_source))

    async def names(self) -> list[str]:
        """All applied pipelines."""
        return [
            pipeline.name for pipeline, _ in (await self._pipelines.items("pipeline.")).values()
        ]


class Bundles:
    """Bundles and data sets in S3. Everything may be repeated; one is written at a time.

    `seed_file` is the NKey that signs manifests, `key_file` the EC key of OpenSSF model signatures;
    without one of them there are no such signatures. Two writers of one object at once stall some
    S3 servers for good (measured: rclone serve s3), and trainers that share a window write the same
    data set.
    """

    def __init__(
        self, objects: Objects, seed_file: Path | None, key_file: Path | None = None
    ) -> None:
        self._objects, self._seed_file, self._key_file = objects, seed_file, key_file
        self._turn = asyncio.Lock()

    def unsigned(self) -> str | None:
        """For health: that models get no OpenSSF signature."""
        return NO_KEY if self._key_file is None else None

    async def put_dataset(self, digest: str, parquet: bytes) -> None:
        """Store a data set."""
        async with self._turn:
            await self._objects.put(dataset_key(digest), parquet)

    async def put(
        self,
        onnx: bytes,
        manifest: Manifest,
        report: Mapping[str, object] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> str:
        """Store a bundle and return the manifest's digest; `files` are what else belongs to it.

        The manifest comes last: where it lies, the bundle is whole.
        """
        written, digest = encode_manifest(manifest), manifest.digest
        async with self._turn:
            await self._objects.put(onnx_key(digest), onnx)
            for name, data in (files or {}).items():
                put = self._put_once if name in MEASURED else self._objects.put
                await put(f"models/{digest}/{name}", data)
            if report is not None:
                await self._put_once(report_key(digest), _json(report))
            await self._sign(digest, onnx, written)
            await self._objects.put(manifest_key(digest), written)
        return hashlib.sha256(written).hexdigest()

    async def manifest(self, digest: str) -> Manifest:
        """The manifest of a stored model.

        Raises:
            ObjectMissingError: there is no such model.
        """
        written = await self._objects.get(manifest_key(digest), MAX_MANIFEST_BYTES)
        return Manifest.model_validate_json(written)

    async def onnx(self, digest: str) -> bytes:
        """A stored model, checked by its digest."""
        return await self._objects.get(onnx_key(digest), MAX_ONNX_BYTES, digest=digest)

    async def dataset(self, digest: str) -> bytes:
        """A stored data set, checked by its digest."""
        return await self._objects.get(dataset_key(digest), MAX_DATASET_BYTES, digest=digest)

    async def _sign(self, digest: str, onnx: bytes, manifest: bytes) -> None:
        """The NKey's signature over the manifest, and the OpenSSF one, which is drawn: the first stays."""
        if self._seed_file is not None:
            signature = sign(self._seed_file, manifest)
            await self._objects.put(signature_key(digest), signature.model_dump_json().encode())
        if self._key_file is not None and not await self._objects.exists(oms_key(digest)):
            files = {"model.onnx": onnx, "manifest.json": manifest}
            signed = await asyncio.to_thread(model_signature, self._key_file, files, digest)
            await self._objects.put(oms_key(digest), signed)

    async def _put_once(self, key: str, data: bytes) -> None:
        """Store what is measured: trained again it may read otherwise, and the first one stays."""
        if not await self._objects.exists(key):
            await self._objects.put(key, data)


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
