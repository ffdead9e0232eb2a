"""A model's bundle: what was fetched is what the deployment names and a trusted trainer signed, or it is refused."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from flyball_kit import signing
from flyball_kit.errors import PermanentError
from flyball_proto.deployments import Placed
from flyball_proto.events import Manifest, Signature


class ForeignBundleError(PermanentError):
    """The bundle is not the one that the deployment names, or nobody trusted vouches for it."""

    kind = "foreign-bundle"

    def __init__(self, placed: Placed, what: str) -> None:
        super().__init__(
            f"bundle {placed.digest[:12]} of {placed.trainer}: {what}; the model in force stays"
        )


class Parts(NamedTuple):
    """The files of a bundle as they lie in S3; no signature = none was asked for."""

    onnx: bytes
    manifest: bytes
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; as large as its ONNX file."""

    manifest: Manifest
    parts: Parts


def verify(placed: Placed, parts: Parts, trusted: Collection[str]) -> Bundle:
    """The bundle, if it is what `placed` names and one of the `trusted` keys signed its manifest.

    With no trusted keys at all, signatures are not looked at. Nothing here parses the ONNX file.

    Raises:
        ForeignBundleError: naming what differs, what was found and what is needed.
    """
    if trusted:
        _check_signature(placed, parts, trusted)
    try:
        read = Manifest.model_validate_json(parts.manifest)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise ForeignBundleError(placed, f"manifest is unreadable: {problem}") from None
    for what, found, expected in (
        ("SHA-256 of the ONNX file", hashlib.sha256(parts.onnx).hexdigest(), placed.digest),
        ("digest in the manifest", read.digest, placed.digest),
        ("feature digest", read.feature_digest, placed.feature_digest),
    ):
        if found != expected:
            raise ForeignBundleError(placed, f"{what} is {found}, the deployment needs {expected}")
    return Bundle(read, parts)


def pack(parts: Parts) -> bytes:
    """One file for the disk: a line with two sizes, manifest, signature, ONNX file."""
    sizes = f"{len(parts.manifest)} {len(parts.signature)}\n"
    return b"".join((sizes.encode(), parts.manifest, parts.signature, parts.onnx))


def unpack(placed: Placed, data: bytes, trusted: Collection[str]) -> Bundle:
    """Read and verify what `pack` gave.

    Raises:
        ForeignBundleError: it is another bundle, or damaged.
    """
    line, _, rest = data.partition(b"\n")
    sizes = line.split()
    if len(sizes) != 2 or not all(size.isdigit() for size in sizes):
        raise ForeignBundleError(placed, "the file on disk does not begin with two sizes")
    manifest, signature = map(int, sizes)
    begin = manifest + signature
    return verify(placed, Parts(rest[begin:], rest[:manifest], rest[manifest:begin]), trusted)


def _check_signature(placed: Placed, parts: Parts, trusted: Collection[str]) -> None:
    try:
        signing.verify(parts.manifest, Signature.model_validate_json(parts.signature), trusted)
    except ValidationError:
        raise ForeignBundleError(placed, "its signature is missing or unreadable") from None
    except signing.ForeignSignatureError as error:
        raise ForeignBundleError(placed, str(error)) from error
