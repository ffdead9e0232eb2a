"""A model's bundle: what was fetched is what the deployment names and a trusted trainer signed, or it is refused."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from pydantic import ValidationError

from flyball_kit import signing
from flyball_kit.errors import PermanentError
from flyball_proto.deployments import Placed
from flyball_proto.events import Manifest, Precision, Signature
from flyball_proto.novelty import Novelty, NoveltyError, decode_novelty


class ForeignBundleError(PermanentError):
    """The bundle is not the one that the deployment names, or nobody trusted vouches for it."""

    kind = "foreign-bundle"

    def __init__(self, placed: Placed, what: str) -> None:
        super().__init__(
            f"bundle {placed.digest[:12]} of {placed.trainer}: {what}; the model in force stays"
        )


class Parts(NamedTuple):
    """The files of a bundle as they lie in S3; `onnx` is the model or the variant that was asked for.

    No signature = none was asked for; no novelty statistics = there are none.
    """

    onnx: bytes
    manifest: bytes
    signature: bytes = b""
    novelty: bytes = b""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; as large as its ONNX file. `name` is that of its file, see `name_of`.

    `novelty` is None, too, where the statistics are missing or damaged: a model answers without.
    """

    manifest: Manifest
    parts: Parts
    precision: Precision = "float32"
    novelty: Novelty | None = field(default=None, compare=False)

    @property
    def lacks_novelty(self) -> bool:
        """Whether its manifest names statistics that are not there."""
        return bool(self.manifest.novelty_digest) and self.novelty is None

    @property
    def name(self) -> str:
        """As `name_of` what was asked for."""
        return _name(self.manifest.digest, self.precision)


def name_of(placed: Placed) -> str:
    """A model's digest, with the precision behind a dot where that is not the model itself."""
    return _name(placed.digest, placed.precision)


def _name(digest: str, precision: Precision) -> str:
    return digest if precision == "float32" else f"{digest}.{precision}"


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
        ("digest in the manifest", read.digest, placed.digest),
        (
            "SHA-256 of the ONNX file",
            hashlib.sha256(parts.onnx).hexdigest(),
            _file_digest(placed, read),
        ),
        ("feature digest", read.feature_digest, placed.feature_digest),
    ):
        if found != expected:
            raise ForeignBundleError(placed, f"{what} is {found}, the deployment needs {expected}")
    return Bundle(read, parts, placed.precision, _novelty(parts.novelty, read))


def _novelty(written: bytes, manifest: Manifest) -> Novelty | None:
    if not written or hashlib.sha256(written).hexdigest() != manifest.novelty_digest:
        return None
    try:
        return decode_novelty(written, len(manifest.features))
    except NoveltyError:
        return None


def _file_digest(placed: Placed, manifest: Manifest) -> str:
    """The digest of the file that `placed` asks for: the model's own, or as its manifest says."""
    if placed.precision == "float32":
        return placed.digest
    known = {variant.precision: variant.digest for variant in manifest.variants}
    if placed.precision not in known:
        made = ", ".join(["float32", *known])
        raise ForeignBundleError(
            placed, f"its manifest names no {placed.precision} variant, only {made}"
        )
    return known[placed.precision]


def pack(parts: Parts) -> bytes:
    """One file for the disk: a line with three sizes, manifest, signature, novelty, ONNX file."""
    sizes = f"{len(parts.manifest)} {len(parts.signature)} {len(parts.novelty)}\n"
    files = (parts.manifest, parts.signature, parts.novelty, parts.onnx)
    return b"".join((sizes.encode(), *files))


def unpack(placed: Placed, data: bytes, trusted: Collection[str]) -> Bundle:
    """Read and verify what `pack` gave, also of a version that knew no novelty: two sizes.

    Raises:
        ForeignBundleError: it is another bundle, or damaged.
    """
    line, _, rest = data.partition(b"\n")
    sizes = line.split()
    if len(sizes) not in (2, 3) or not all(size.isdigit() for size in sizes):
        raise ForeignBundleError(placed, "the file on disk does not begin with its sizes")
    cuts = [0, *accumulate(map(int, sizes))]
    parts = [rest[a:b] for a, b in pairwise(cuts)]
    return verify(placed, Parts(rest[cuts[-1] :], *parts), trusted)


def _check_signature(placed: Placed, parts: Parts, trusted: Collection[str]) -> None:
    try:
        signing.verify(parts.manifest, Signature.model_validate_json(parts.signature), trusted)
    except ValidationError:
        raise ForeignBundleError(placed, "its signature is missing or unreadable") from None
    except signing.ForeignSignatureError as error:
        raise ForeignBundleError(placed, str(error)) from error
