"""Whether a trained model may be deployed. A bundle is untrusted input until it passed.

Checks run in a fixed order and the first that fails refuses; what cannot be measured fails.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from flyball_proto.bundles import is_digest
from flyball_proto.events import Manifest, ModelTrained
from flyball_registry import model
from flyball_registry.model import Unfit


@dataclass(frozen=True, slots=True)
class Expected:
    """What the pipeline, as applied, can use."""

    feature_digest: str
    features: tuple[str, ...]
    task: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in S3 under the digest; None = nothing, or nothing within the bounds.

    `size_bytes` is the ONNX file's size before it was fetched.
    """

    size_bytes: int | None
    onnx: bytes | None = None
    manifest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The check that failed, what was found and what would have passed."""

    check: str
    found: str
    limit: str


def examine(claim: ModelTrained, found: Found, expected: Expected | None) -> Refusal | None:
    """The first refusal, None = admitted. Runs the model on probe rows, so it may take seconds."""
    return next((refusal for refusal in _refusals(claim, found, expected)), None)


def _refusals(claim: ModelTrained, found: Found, expected: Expected | None) -> Iterator[Refusal]:
    if not is_digest(claim.digest):
        yield Refusal("digest", repr(claim.digest)[:80], "a SHA-256, 64 hexadecimal digits")
    if expected is None:
        yield Refusal("pipeline", f"{claim.pipeline} is not applied", "an applied pipeline")
        return
    if claim.feature_digest != expected.feature_digest:
        yield Refusal("features", claim.feature_digest, expected.feature_digest)
    if found.size_bytes is None:
        yield Refusal("presence", "no ONNX file", f"models/{claim.digest}/model.onnx in S3")
        return
    if found.size_bytes > expected.max_bytes:
        yield Refusal("size", f"{found.size_bytes} bytes", f"{expected.max_bytes} bytes")
    if found.onnx is None or found.manifest is None:
        yield Refusal("presence", "no whole bundle", "model.onnx and manifest.json within bounds")
        return
    if (digest := hashlib.sha256(found.onnx).hexdigest()) != claim.digest:
        yield Refusal("digest", digest, claim.digest)
    if (digest := hashlib.sha256(found.manifest).hexdigest()) != claim.manifest_digest:
        yield Refusal("manifest-digest", digest, claim.manifest_digest)
    try:
        manifest = Manifest.model_validate_json(found.manifest)
    except ValidationError as error:
        yield Refusal("manifest", error.errors(include_url=False)[0]["msg"], "a valid manifest")
        return
    yield from _of_manifest(manifest, claim, expected)
    yield from _of_model(found.onnx, manifest)


def _of_manifest(manifest: Manifest, claim: ModelTrained, expected: Expected) -> Iterator[Refusal]:
    for name, says, needs in (
        ("digest", manifest.digest, claim.digest),
        ("pipeline", manifest.pipeline, claim.pipeline),
        ("trainer", manifest.trainer, claim.trainer),
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


def _of_model(onnx: bytes, manifest: Manifest) -> Iterator[Refusal]:
    checks: tuple[Callable[[model.Opened], Unfit | None], ...] = (
        model.self_contained,
        model.allowed,
        model.valid,
        lambda opened: model.shapes(opened, manifest),
        lambda opened: model.finite(opened, manifest),
    )
    opened = model.parse(onnx)
    if isinstance(opened, Unfit):
        yield Refusal(opened.check, opened.found, opened.limit)
        return
    for check in checks:
        if (unfit := check(opened)) is not None:
            yield Refusal(unfit.check, unfit.found, unfit.limit)
            return
