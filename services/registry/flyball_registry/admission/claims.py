"""What a claim about a model must show before anything of the model is looked at. Pure.

Who reads no further than this needs neither onnx nor ONNX Runtime.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic import ValidationError

from flyball_kit import signing
from flyball_proto.bundles import is_digest
from flyball_proto.events import Manifest, ModelTrained, Signature
from flyball_proto.subjects import is_name

MANIFEST_BYTES: Final = 64 << 10
"""A manifest may be so long beside the names of its features, each of which counts `A_NAME`."""
A_NAME: Final = 300
MAX_WORDS: Final = 200


@dataclass(frozen=True, slots=True)
class Expected:
    """What the pipeline, as applied, can use."""

    feature_digest: str
    features: tuple[str, ...]
    task: str
    max_bytes: int
    memory_bytes: int = 64_000_000
    latency_p99_ms: float = 2.0
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in S3 under the digest; None = nothing, or nothing within the bounds.

    `size_bytes` is the ONNX file's size before it was fetched; `variants` by precision.
    """

    size_bytes: int | None
    onnx: bytes | None = None
    manifest: bytes | None = None
    signature: bytes | None = None
    oms: bytes | None = None
    expected: bytes | None = None
    variants: Mapping[str, bytes] = field(default_factory=dict)
    novelty: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The check that failed, what was found and what would have passed."""

    check: str
    found: str
    limit: str


class Signers(NamedTuple):
    """Who vouches for bundles; none = not looked at."""

    nkeys: frozenset[str] = frozenset()
    """Public NKeys; one of them must have signed the manifest."""
    pem: tuple[str, ...] = ()
    """Files of public keys; one of them must have made the OpenSSF model signature."""


class Unfit(NamedTuple):
    """A failed check of a file, what was found and what would have passed."""

    check: str
    found: str
    limit: str


def outside(
    claim: ModelTrained, found: Found, expected: Expected | None, trusted: Collection[str]
) -> Refusal | None:
    """The first refusal of what can be told without the model, None = it may be examined.

    `trusted` public keys: one of them must have signed the manifest; none = not looked at.
    """
    return next(_refusals(claim, found, expected, trusted), None)


def parsed(written: bytes, features: int) -> Manifest | Refusal:
    """A manifest for so many features, or why it is none."""
    if len(written) > (most := MANIFEST_BYTES + A_NAME * features):
        return Refusal("manifest", f"{len(written)} bytes", f"at most {most} bytes")
    try:
        return Manifest.model_validate_json(written)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return Refusal("manifest", f"{where}: {first['msg']}"[:MAX_WORDS], "a valid manifest")


def _refusals(
    claim: ModelTrained, found: Found, expected: Expected | None, trusted: Collection[str]
) -> Iterator[Refusal]:
    if not is_digest(claim.digest):
        yield Refusal("digest", repr(claim.digest)[:80], "a SHA-256, 64 hexadecimal digits")
    if expected is None:
        yield Refusal("pipeline", f"{claim.pipeline} is not applied", "an applied pipeline")
        return
    if not is_name(claim.trainer):
        found_name = f"trainer {claim.trainer!r}"[:80]
        yield Refusal("manifest", found_name, "a name of lower-case letters, digits and dashes")
    if claim.feature_digest != expected.feature_digest:
        yield Refusal("features", claim.feature_digest[:80], expected.feature_digest)
    yield from _of_size(claim, found.size_bytes, expected)
    if found.onnx is None or found.manifest is None:
        yield Refusal("presence", "no whole bundle", "model.onnx and manifest.json within bounds")
        return
    if (digest := hashlib.sha256(found.onnx).hexdigest()) != claim.digest:
        yield Refusal("digest", digest, claim.digest)
    if (digest := hashlib.sha256(found.manifest).hexdigest()) != claim.manifest_digest:
        yield Refusal("manifest-digest", digest, claim.manifest_digest[:80])
    if trusted:
        yield from _of_signature(found.manifest, found.signature, trusted)


def _of_size(claim: ModelTrained, size_bytes: int | None, expected: Expected) -> Iterator[Refusal]:
    if size_bytes is None:
        yield Refusal("presence", "no ONNX file", f"models/{claim.digest}/model.onnx in S3")
    elif size_bytes > expected.max_bytes:
        yield Refusal("size", f"{size_bytes} bytes", f"{expected.max_bytes} bytes")


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
        yield Refusal("signature", str(error)[:MAX_WORDS], limit)
