"""The trainer's only I/O besides events: specifications in, bundles out."""

import hashlib
from dataclasses import dataclass

from flyball_kit.errors import PermanentError
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_proto.bundles import encode_manifest, manifest_key, onnx_key
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


async def put_bundle(objects: Objects, onnx: bytes, manifest: Manifest) -> str:
    """Store a bundle and return the manifest's digest. Safe to repeat.

    The manifest comes last: where it lies, the bundle is whole.
    """
    written = encode_manifest(manifest)
    await objects.put(onnx_key(manifest.digest), onnx)
    await objects.put(manifest_key(manifest.digest), written)
    return hashlib.sha256(written).hexdigest()
