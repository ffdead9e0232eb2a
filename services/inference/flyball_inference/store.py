"""Where bundles come from: the last one from disk, any from S3."""

import asyncio
import logging
from pathlib import Path

from flyball_inference.bundle import Bundle, ForeignBundleError, pack, unpack, verify
from flyball_kit.objects import Objects
from flyball_proto.bundles import MAX_MANIFEST_BYTES, manifest_key, onnx_key
from flyball_proto.deployments import ActiveModel

log = logging.getLogger("flyball.inference.store")


class Bundles:
    """Verified bundles. On disk one file a pipeline, replaced whole."""

    def __init__(self, objects: Objects, folder: Path | None, max_bytes: int) -> None:
        self._objects, self._folder, self._max_bytes = objects, folder, max_bytes

    async def load(self, pipeline: str, pointer: ActiveModel) -> Bundle:
        """The bundle that `pointer` names, from disk if it is the last one, else from S3.

        Raises:
            ForeignBundleError: what lies in S3 is another or damaged.
            PermanentError: there is none, or it is too large.
            TransientError: S3 does not answer.
        """
        kept = await asyncio.to_thread(self._kept, pipeline, pointer)
        if kept is not None:
            return kept
        onnx = await self._objects.get(onnx_key(pointer.digest), self._max_bytes)
        manifest = await self._objects.get(manifest_key(pointer.digest), MAX_MANIFEST_BYTES)
        return verify(pointer, onnx, manifest)

    async def keep(self, pipeline: str, bundle: Bundle) -> None:
        """Put a bundle that proved usable on disk. A full disk is said and does no harm."""
        try:
            await asyncio.to_thread(self._keep, pipeline, bundle)
        except OSError as error:
            log.warning("the bundle of %s is not kept on disk: %s", pipeline, error)

    def _kept(self, pipeline: str, pointer: ActiveModel) -> Bundle | None:
        if self._folder is None:
            return None
        try:
            return unpack(pointer, self._path(self._folder, pipeline).read_bytes())
        except (OSError, ForeignBundleError):
            return None  # S3 has it

    def _keep(self, pipeline: str, bundle: Bundle) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(self._folder, pipeline)
        beside = path.with_suffix(".new")
        beside.write_bytes(pack(bundle))
        beside.replace(path)

    @staticmethod
    def _path(folder: Path, pipeline: str) -> Path:
        return folder / f"{pipeline}.bundle"
