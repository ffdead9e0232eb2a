"""Whether a trained model may be deployed. A bundle is untrusted input until it passed.

Checks run in a fixed order and the first that fails refuses; what cannot be measured fails.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from flyball_kit import signing
from flyball_proto.bundles import is_digest
from flyball_proto.events import Manifest, ModelTrained, Signature
from flyball_proto.spec import BASELINE
from flyball_registry.admission import onnxfile as model
from flyball_registry.admission.onnxfile import Unfit

MEMORY_FACTOR: Final = 8
"""A loaded model takes about six times its file; measured: tests/bench/bench_registry.py."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the pipeline, as applied, can use."""

    feature_digest: str
    features: tuple[str, ...]
    task: str
    max_bytes: int
    memory_bytes: int = 64_000_000
    latency_p99_ms: float = 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in S3 under the digest; None = nothing, or nothing within the bounds.

    `size_bytes` is the ONNX file's size before it was fetched.
    """

    size_bytes: int | None
    onnx: bytes | None = None
    manifest: bytes | None = None
    signature: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The check that failed, what was found and what would have passed."""

    check: str
    found: str
    limit: str


def examine(
    claim: ModelTrained,
    found: Found,
    expected: Expected | None,
    trusted: Collection[str] = frozenset(),
) -> Refusal | None:
    """The first refusal, None = it may be deployed if it is fast enough.

    `trusted` public keys: one of them must have signed the manifest; none = not looked at. Runs the
    model on probe rows: call it in a thread.
    """
    return next((refusal for refusal in _refusals(claim, found, expected, trusted)), None)


def too_slow(p99_ms: float, expected: Expected) -> Refusal | None:
    """A measured latency against the budget."""
    if p99_ms <= expected.latency_p99_ms:
        return None
    return Refusal("latency", f"p99 {p99_ms:.3g} ms", f"{expected.latency_p99_ms:g} ms")


def _refusals(
    claim: ModelTrained, found: Found, expected: Expected | None, trusted: Collection[str]
) -> Iterator[Refusal]:
    if not is_digest(claim.digest):
        yield Refusal("digest", repr(claim.digest)[:80], "a SHA-256, 64 hexadecimal digits")
    if expected is None:
        yield Refusal("pipeline", f"{claim.pipeline} is not applied", "an applied pipeline")
        return
    if claim.feature_digest != expected.feature_digest:
        yield Refusal("features", claim.feature_digest, expected.feature_digest)
    yield from _of_size(claim, found.size_bytes, expected)
    if found.onnx is None or found.manifest is None:
        yield Refusal("presence", "no whole bundle", "model.onnx and manifest.json within bounds")
        return
    if (digest := hashlib.sha256(found.onnx).hexdigest()) != claim.digest:
        yield Refusal("digest", digest, claim.digest)
    if (digest := hashlib.sha256(found.manifest).hexdigest()) != claim.manifest_digest:
        yield Refusal("manifest-digest", digest, claim.manifest_digest)
    if trusted:
        yield from _of_signature(found.manifest, found.signature, trusted)
    try:
        manifest = Manifest.model_validate_json(found.manifest)
    except ValidationError as error:
        yield Refusal("manifest", error.errors(include_url=False)[0]["msg"], "a valid manifest")
        return
    yield from _of_manifest(manifest, claim, expected)
    yield from _of_model(found.onnx, manifest)


def _of_size(claim: ModelTrained, size_bytes: int | None, expected: Expected) -> Iterator[Refusal]:
    if size_bytes is None:
        yield Refusal("presence", "no ONNX file", f"models/{claim.digest}/model.onnx in S3")
        return
    if size_bytes > expected.max_bytes:
        yield Refusal("size", f"{size_bytes} bytes", f"{expected.max_bytes} bytes")
    if (memory_bytes := MEMORY_FACTOR * size_bytes) > expected.memory_bytes:
        estimated = f"about {memory_bytes} bytes when loaded"
        yield Refusal("memory", estimated, f"{expected.memory_bytes} bytes")


def _of_signature(
    manifest: bytes, signature: bytes | None, trusted: Collection[str]
) -> Iterator[Refusal]:
    limit = f"signature.json by {' or '.join(sorted(trusted))}"
    if signature is None:
        yield Refusal("signature", "none", limit)
        return
    try:
        signing.verify(manifest, Signature.model_validate_json(signature), trusted)
    except ValidationError:
        yield Refusal("signature", f"{len(signature)} bytes that are none", limit)
    except signing.ForeignSignatureError as error:
        yield Refusal("signature", str(error), limit)


def _of_manifest(manifest: Manifest, claim: ModelTrained, expected: Expected) -> Iterator[Refusal]:
    for name, says, needs in (
        ("digest", manifest.digest, claim.digest),
        ("pipeline", manifest.pipeline, claim.pipeline),
        ("trainer", manifest.trainer, claim.trainer),
        ("kind", manifest.kind, claim.kind),
        ("feature digest", manifest.feature_digest, expected.feature_digest),
        ("task", manifest.task, expected.task),
    ):
        if says != needs:
            yield Refusal("manifest", f"{name} {says}", f"{name} {needs}")
    if manifest.features != expected.features:
        yield Refusal(
            "features",
            f"{len(manifest.features)} features, other names or another order",
            f"the {len(expected.features)} features of digest {expected.feature_digest[:8]}",
        )
    if manifest.kind != BASELINE:
        yield from _of_training(manifest, claim)


def _of_training(manifest: Manifest, claim: ModelTrained) -> Iterator[Refusal]:
    """What a learnt model has learnt from is known, and something was held out of it."""
    if not manifest.trained_through or manifest.trained_through != claim.trained_through:
        found = f"trained through {manifest.trained_through}"
        yield Refusal("manifest", found, f"the positions announced: {claim.trained_through}")
    if not 0 < manifest.holdout_from_ms <= manifest.trained_through_ms:
        found = f"held out from {manifest.holdout_from_ms} ms"
        limit = f"1 to {manifest.trained_through_ms} ms, its newest event time"
        yield Refusal("holdout", found, limit)


def _of_model(onnx: bytes, manifest: Manifest) -> Iterator[Refusal]:
    checks: tuple[Callable[[model.Opened], Unfit | None], ...] = (
        model.self_contained,
        model.allowed,
        model.valid,
        lambda opened: model.shapes(opened, manifest),
        lambda _: model.finite(onnx, manifest),
    )
    opened = model.parse(onnx)
    if isinstance(opened, Unfit):
        yield Refusal(opened.check, opened.found, opened.limit)
        return
    for check in checks:
        if (unfit := check(opened)) is not None:
            yield Refusal(unfit.check, unfit.found, unfit.limit)
            return
