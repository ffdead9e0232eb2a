"""The registry's I/O besides events: specifications and bundles in, model records in and out."""

import asyncio

from flyball_kit.kv import Kv
from flyball_kit.objects import ObjectMissingError, ObjectRefusedError, Objects
from flyball_proto.bundles import (
    MAX_EXPECTED_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_OMS_BYTES,
    MAX_SIGNATURE_BYTES,
    expected_key,
    is_digest,
    manifest_key,
    novelty_key,
    oms_key,
    onnx_key,
    signature_key,
    variant_key,
)
from flyball_proto.events import Manifest, ModelTrained
from flyball_proto.novelty import MAX_NOVELTY_BYTES
from flyball_proto.spec import Pipeline, Source, feature_digest, feature_names
from flyball_registry.admission.claims import Expected, Found, Signers, parsed

MB = 1_000_000


class Specs:
    """Applied specifications, as far as admission needs them."""

    def __init__(self, pipelines: Kv[Pipeline], sources: Kv[Source]) -> None:
        self._pipelines, self._sources = pipelines, sources

    async def expected(self, pipeline: str) -> Expected | None:
        """What models of a pipeline must fit; None when it is not applied."""
        found, _ = await self._pipelines.load(f"pipeline.{pipeline}")
        if found is None:
            return None
        source, _ = await self._sources.load(f"source.{found.spec.source}")
        if source is None:
            return None
        budgets = found.spec.promotion.budgets
        return Expected(
            feature_digest(found, source),
            feature_names(found, source),
            found.spec.target.task,
            int(budgets.size_mb * MB),
            int(budgets.memory_mb * MB),
            budgets.latency_p99_ms,
            found.spec.target.classes,
        )

    async def names(self) -> list[str]:
        """All applied pipelines."""
        return [
            pipeline.name for pipeline, _ in (await self._pipelines.items("pipeline.")).values()
        ]


async def fetch(
    objects: Objects, claim: ModelTrained, expected: Expected | None, signers: Signers
) -> Found:
    """What S3 holds of a bundle. Never more than the bounds is read, signatures only where they count.

    Raises:
        TransientError: S3 does not answer.
    """
    if expected is None or not is_digest(claim.digest):
        return Found(None)
    digest = claim.digest
    size_bytes = await objects.size(onnx_key(digest))
    if size_bytes is None or size_bytes > expected.max_bytes:
        return Found(size_bytes)
    onnx, manifest, signature, signed = await asyncio.gather(
        _within(objects, onnx_key(digest), expected.max_bytes),
        _within(objects, manifest_key(digest), MAX_MANIFEST_BYTES),
        _within(objects, signature_key(digest), MAX_SIGNATURE_BYTES if signers.nkeys else 0),
        _within(objects, oms_key(digest), MAX_OMS_BYTES if signers.pem else 0),
    )
    said = None if manifest is None else parsed(manifest, len(expected.features))
    if not isinstance(said, Manifest):
        return Found(size_bytes, onnx, manifest, signature, signed)
    precisions = sorted({variant.precision for variant in said.variants})
    rows, likeness, *forms = await asyncio.gather(
        _within(objects, expected_key(digest), MAX_EXPECTED_BYTES * bool(said.expected_digest)),
        _within(objects, novelty_key(digest), MAX_NOVELTY_BYTES * bool(said.novelty_digest)),
        *(_within(objects, variant_key(digest, p), expected.max_bytes) for p in precisions),
    )
    variants: dict[str, bytes] = {
        p: form for p, form in zip(precisions, forms, strict=True) if form is not None
    }
    return Found(size_bytes, onnx, manifest, signature, signed, rows, variants, likeness)


async def _within(objects: Objects, key: str, max_bytes: int) -> bytes | None:
    """An object, None when there is none within the bound."""
    if not max_bytes:
        return None
    try:
        return await objects.get(key, max_bytes)
    except (ObjectMissingError, ObjectRefusedError):
        return None
