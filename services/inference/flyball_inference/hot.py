"""The models of one pipeline that are loaded and warm, so that exchanging them needs nobody."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from flyball_inference.bundle import Bundle, ForeignBundleError, name_of
from flyball_inference.capabilities import ANYTHING, Capabilities
from flyball_inference.session import Session
from flyball_inference.store import Bundles
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.deployments import ActiveModel, Placed
from flyball_proto.events import Manifest
from flyball_proto.novelty import Novelty


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can answer at once."""

    manifest: Manifest
    session: Session
    novelty: Novelty | None = None


class Hot:
    """At most those that `shed` or `only` named last, and those that were loaded since.

    By `bundle.name_of`: two forms of a model are two.
    """

    def __init__(self, pipeline: str, bundles: Bundles, able: Capabilities = ANYTHING) -> None:
        self._pipeline, self._bundles, self._able = pipeline, bundles, able
        self._loaded: dict[str, Loaded] = {}
        self._unkept: list[Bundle] = []

    @property
    def names(self) -> frozenset[str]:
        """What is loaded; of a model itself the digest."""
        return frozenset(self._loaded)

    def find(self, placed: Placed) -> Loaded | None:
        """A model that is loaded already."""
        return self._loaded.get(name_of(placed))

    async def get(self, placed: Placed) -> Loaded:
        """A model, loaded now unless it was before.

        Raises:
            UnusableModelError: it cannot be loaded or run.
            BeyondRuntimeError: this runtime may not run it.
            ForeignBundleError, PermanentError, TransientError: see `Bundles.load`.
        """
        self._able.check_precision(placed)
        if (loaded := self._loaded.get(name_of(placed))) is not None:
            found = loaded.manifest.feature_digest
            if found != placed.feature_digest:
                raise ForeignBundleError(
                    placed,
                    f"feature digest is {found}, the deployment needs {placed.feature_digest}",
                )
            return loaded
        bundle = await self._bundles.load(self._pipeline, placed)
        manifest, onnx = bundle.manifest, bundle.parts.onnx
        self._able.check_size(placed, len(onnx))
        session = await asyncio.to_thread(
            Session,
            onnx,
            input_name=manifest.input_name,
            output_name=manifest.output_name,
            width=len(manifest.features),
            outputs=max(1, len(manifest.classes)),
            providers=self._able.providers,
        )
        loaded = self._loaded[bundle.name] = Loaded(manifest, session, bundle.novelty)
        self._unkept.append(bundle)
        return loaded

    async def attempt(self, placed: Placed, within_s: float) -> None:
        """Load a model if that goes and does not take longer; without it nothing stops."""
        with suppress(PermanentError, TransientError, TimeoutError):
            async with asyncio.timeout(within_s):
                await self.get(placed)

    def shed(self, used: Collection[str]) -> None:
        """Unload all others at once."""
        self._loaded = {name: loaded for name, loaded in self._loaded.items() if name in used}
        self._unkept = [bundle for bundle in self._unkept if bundle.name in used]

    async def only(self, used: Collection[str]) -> None:
        """Unload all others, and make the disk hold these too."""
        self.shed(used)
        await self._bundles.keep(self._pipeline, self._unkept, used)
        self._unkept.clear()


def fallback(pointer: ActiveModel) -> Placed | None:
    """Where a rollback of the active model leads: the anchor, else the baseline; None: nowhere."""
    for placed in (pointer.anchor, pointer.baseline):
        if placed is not None and placed.digest != pointer.digest:
            return placed
    return None
