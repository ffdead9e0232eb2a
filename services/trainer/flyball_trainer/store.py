"""The trainer's only I/O besides events: specifications in, bundles out."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flyball_kit.errors import PermanentError
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.signing import sign
from flyball_proto.bundles import (
    dataset_key,
    encode_manifest,
    manifest_key,
    onnx_key,
    report_key,
    signature_key,
)
from flyball_proto.events import Manifest
from flyball_proto.spec import Pipeline, Source


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

    Two writers of one object at once stall some S3 servers for good (measured: rclone serve s3),
    and trainers that share a window write the same data set.
    """

    def __init__(self, objects: Objects, seed_file: Path | None) -> None:
        self._objects, self._seed_file = objects, seed_file
        self._turn = asyncio.Lock()

    async def put_dataset(self, digest: str, parquet: bytes) -> None:
        """Store a data set."""
        async with self._turn:
            await self._objects.put(dataset_key(digest), parquet)

    async def put(
        self, onnx: bytes, manifest: Manifest, report: Mapping[str, object] | None = None
    ) -> str:
        """Store a bundle and return the manifest's digest.

        The manifest comes last: where it lies, the bundle is whole.
        """
        written, digest = encode_manifest(manifest), manifest.digest
        async with self._turn:
            await self._objects.put(onnx_key(digest), onnx)
            if report is not None:
                await self._put_once(report_key(digest), _json(report))
            if self._seed_file is not None:
                signature = sign(self._seed_file, written)
                await self._objects.put(signature_key(digest), signature.model_dump_json().encode())
            await self._objects.put(manifest_key(digest), written)
        return hashlib.sha256(written).hexdigest()

    async def _put_once(self, key: str, data: bytes) -> None:
        """Store what is measured: trained again it may read otherwise, and the first one stays."""
        if not await self._objects.exists(key):
            await self._objects.put(key, data)


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
