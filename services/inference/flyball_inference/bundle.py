"""A model's bundle: what was fetched is what the active pointer means, or it is refused."""

import hashlib
from dataclasses import dataclass

from pydantic import ValidationError

from flyball_kit.errors import PermanentError
from flyball_proto.bundles import encode_manifest
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Manifest


class ForeignBundleError(PermanentError):
    """The bundle is not the one that the active pointer names."""

    kind = "foreign-bundle"

    def __init__(self, pointer: ActiveModel, what: str, found: str, expected: str) -> None:
        super().__init__(
            f"bundle {pointer.digest[:12]} of {pointer.trainer}: {what} is {found}, the active "
            f"pointer (epoch {pointer.epoch}) needs {expected}; the model in force stays"
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; as large as its ONNX file."""

    manifest: Manifest
    onnx: bytes


def verify(pointer: ActiveModel, onnx: bytes, manifest: bytes) -> Bundle:
    """The bundle, if it is what `pointer` names.

    Raises:
        ForeignBundleError: naming what differs, what was found and what is needed.
    """
    try:
        read = Manifest.model_validate_json(manifest)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise ForeignBundleError(pointer, "manifest", "unreadable", problem) from None
    for what, found, expected in (
        ("SHA-256 of the ONNX file", hashlib.sha256(onnx).hexdigest(), pointer.digest),
        ("digest in the manifest", read.digest, pointer.digest),
        ("feature digest", read.feature_digest, pointer.feature_digest),
    ):
        if found != expected:
            raise ForeignBundleError(pointer, what, found, expected)
    return Bundle(read, onnx)


def pack(bundle: Bundle) -> bytes:
    """One file for the disk: the manifest's line, then the ONNX file."""
    return encode_manifest(bundle.manifest) + b"\n" + bundle.onnx


def unpack(pointer: ActiveModel, data: bytes) -> Bundle:
    """Read and verify what `pack` gave.

    Raises:
        ForeignBundleError: it is another bundle, or damaged.
    """
    manifest, _, onnx = data.partition(b"\n")
    return verify(pointer, onnx, manifest)
