"""Where bundles come from: those in use from disk, any from S3."""

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path

from flyball_inference.bundle import (
    Bundle,
    ForeignBundleError,
    Parts,
    name_of,
    pack,
    unpack,
    verify,
)
from flyball_kit.errors import TransientError
from flyball_kit.objects import ObjectMissingError, ObjectRefusedError, Objects
from flyball_proto.bundles import (
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    is_digest,
    manifest_key,
    novelty_key,
    onnx_key,
    signature_key,
    variant_key,
)
from flyball_proto.deployments import Placed
from flyball_proto.novelty import MAX_NOVELTY_BYTES

log = logging.getLogger("flyball.inference.store")


class Bundles:
    """Verified bundles. On disk one file each, replaced whole; only those that `keep` names last.

    `trusted` are the public keys one of which must have signed a bundle; none = not checked.
    """

    def __init__(
        self,
        objects: Objects,
        folder: Path | None,
        max_bytes: int,
        trusted: Collection[str] = frozenset(),
    ) -> None:
        self._objects, self._folder, self._max_bytes = objects, folder, max_bytes
        self._trusted = trusted
        self._writing: asyncio.Future[None] | None = None

    async def load(self, pipeline: str, placed: Placed) -> Bundle:
        """The bundle that `placed` names, from disk if it was kept, else from S3.

        Raises:
            ForeignBundleError: what lies in S3 is another, damaged, or not signed by a trusted key.
            PermanentError: there is none, or it is too large.
            TransientError: S3 does not answer.
        """
        if not is_digest(placed.digest):
            raise ForeignBundleError(placed, "its name is not a SHA-256 in lower-case hex")
        if self._folder is not None:
            path = _path(self._folder, pipeline, name_of(placed))
            if (kept := await asyncio.to_thread(self._read, path, placed)) is not None:
                return await self._completed(placed, kept) if kept.lacks_novelty else kept
        found = verify(placed, await self._fetch(placed), self._trusted)
        return _said_to_lack(found) if found.lacks_novelty else found

    async def keep(self, pipeline: str, bundles: Collection[Bundle], used: Collection[str]) -> None:
        """Put bundles that proved usable on disk, and delete those whose name is not `used`.

        One at a time, and whoever stops waiting does not stop it: what is deleted for an older
        deployment is gone before a newer one writes. A full disk is said and does no harm.
        """
        if self._folder is None:
            return
        while self._writing is not None and not self._writing.done():
            await asyncio.wait({self._writing})
        writing = _keep(self._folder, pipeline, tuple(bundles), frozenset(used))
        self._writing = asyncio.ensure_future(writing)
        await asyncio.shield(self._writing)

    async def _completed(self, placed: Placed, kept: Bundle) -> Bundle:
        """With the statistics that the disk does not have, if S3 has them."""
        try:
            written = await self._novelty(placed.digest)
        except TransientError:
            return _said_to_lack(kept)
        whole = verify(placed, kept.parts._replace(novelty=written), self._trusted)
        return _said_to_lack(kept) if whole.lacks_novelty else whole

    async def _novelty(self, digest: str) -> bytes:
        """The statistics; nothing where there are none within the bounds: a model answers without."""
        try:
            return await self._objects.get(novelty_key(digest), MAX_NOVELTY_BYTES)
        except (ObjectMissingError, ObjectRefusedError):
            return b""

    async def _fetch(self, placed: Placed) -> Parts:
        digest, precision = placed.digest, placed.precision
        onnx = onnx_key(digest) if precision == "float32" else variant_key(digest, precision)
        return Parts(
            *await asyncio.gather(
                self._objects.get(onnx, self._max_bytes),
                self._objects.get(manifest_key(digest), MAX_MANIFEST_BYTES),
                self._signature(digest),
                self._novelty(digest),
            )
        )

    async def _signature(self, digest: str) -> bytes:
        if not self._trusted:
            return b""
        return await self._objects.get(signature_key(digest), MAX_SIGNATURE_BYTES)

    def _read(self, path: Path, placed: Placed) -> Bundle | None:
        try:
            return unpack(placed, path.read_bytes(), self._trusted)
        except (OSError, ForeignBundleError):
            return None  # S3 has it


def _said_to_lack(bundle: Bundle) -> Bundle:
    log.warning(
        "model %s: novelty.bin is missing or damaged; how novel its rows are is not known",
        bundle.name,
    )
    return bundle


async def _keep(
    folder: Path, pipeline: str, bundles: Collection[Bundle], used: Collection[str]
) -> None:
    try:
        await asyncio.to_thread(_write, folder, pipeline, bundles, used)
    except OSError as error:
        log.warning("bundles of %s are not kept on disk: %s", pipeline, error)


def _path(folder: Path, pipeline: str, name: str) -> Path:
    """Names of pipelines have no dots; that of a variant has one."""
    return folder / f"{pipeline}.{name}.bundle"


def _write(folder: Path, pipeline: str, bundles: Collection[Bundle], used: Collection[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for bundle in bundles:
        path = _path(folder, pipeline, bundle.name)
        data = pack(bundle.parts)
        if path.exists() and path.read_bytes() == data:
            continue
        beside = path.with_suffix(".new")
        beside.write_bytes(data)
        beside.replace(path)
    for path in folder.glob(f"{pipeline}.*.bundle"):
        if path.name.removeprefix(f"{pipeline}.").removesuffix(".bundle") not in used:
            path.unlink(missing_ok=True)
