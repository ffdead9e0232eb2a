"""The models of one pipeline that are loaded and warm, so that exchanging them needs nobody."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from flyball_inference.bundle import Bundle, ForeignBundleError
from flyball_inference.session import Session
from flyball_inference.store import Bundles
from flyball_proto.deployments import ActiveModel, Placed
from flyball_proto.events import Manifest


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can answer at once."""

    manifest: Manifest
    session: Session


class Hot:
    """At most those that `only` named last, and those that were loaded since."""

    def __init__(self, pipeline: str, bundles: Bundles) -> None:
        self._pipeline, self._bundles = pipeline, bundles
        self._loaded: dict[str, Loaded] = {}
        self._unkept: list[Bundle] = []

    @property
    def digests(self) -> frozenset[str]:
        """What is loaded."""
        return frozenset(self._loaded)

    async def get(self, placed: Placed) -> Loaded:
        """A model, loaded now unless it was before.

        Raises:
            UnusableModelError: it cannot be loaded or run.
            ForeignBundleError, PermanentError, TransientError: see `Bundles.load`.
        """
        if (loaded := self._loaded.get(placed.digest)) is not None:
            found = loaded.manifest.feature_digest
            if found != placed.feature_digest:
                raise ForeignBundleError(
                    placed,
                    f"feature digest is {found}, the deployment needs {placed.feature_digest}",
                )
            return loaded
        bundle = await self._bundles.load(self._pipeline, placed)
        manifest = bundle.manifest
        session = await asyncio.to_thread(
            Session,
            bundle.parts.onnx,
            input_name=manifest.input_name,
            output_name=manifest.output_name,
            width=len(manifest.features),
            outputs=max(1, len(manifest.classes)),
        )
        loaded = self._loaded[placed.digest] = Loaded(manifest, session)
        self._unkept.append(bundle)
        return loaded

    async def only(self, used: Collection[str]) -> None:
        """Unload all others, and make the disk hold these too."""
        self._loaded = {d: loaded for d, loaded in self._loaded.items() if d in used}
        bundles = [b for b in self._unkept if b.manifest.digest in used]
        await self._bundles.keep(self._pipeline, bundles, used)
        self._unkept.clear()


def fallback(pointer: ActiveModel) -> Placed | None:
    """Where a rollback of the active model leads: the anchor, else the baseline; None: nowhere."""
    for placed in (pointer.anchor, pointer.baseline):
        if placed is not None and placed.digest != pointer.digest:
            return placed
    return None
