"""Admitted models that are ready to score, fetched when they are needed."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import ValidationError

from flyball_kit.errors import PermanentError
from flyball_kit.objects import Objects
from flyball_proto.bundles import MAX_MANIFEST_BYTES, manifest_key, onnx_key
from flyball_proto.columns import F64, Column
from flyball_proto.events import Manifest, ModelRecord
from flyball_registry.scoring.sessions import OutOfMemoryError, Session, UnusableModelError

MODELS_A_TRAINER: Final = 4
"""Kept loaded: as many as usually answered within the longest delay of a label. Others come again
from S3 when a row asks for them."""

log = logging.getLogger("flyball.registry.models")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that scores, and what its bundle says of it."""

    session: Session
    manifest: Manifest


class Models:
    """The models of one pipeline that were used last, at most `most`; older ones are closed."""

    def __init__(self, objects: Objects, max_bytes: int, most: int) -> None:
        self._objects, self._max_bytes, self._most = objects, max_bytes, most
        self._loaded: OrderedDict[str, Loaded | None] = OrderedDict()

    async def load(self, record: ModelRecord) -> Loaded | None:
        """A model; None when it cannot be used, which the log says once.

        It was examined when it was admitted, so only its digests are checked.

        Raises:
            TransientError: S3 does not answer.
        """
        digest = record.digest
        if digest not in self._loaded:
            try:
                self._loaded[digest] = await self._fetch(record)
            except (PermanentError, ValidationError) as error:
                self._say(record, error)
                self._loaded[digest] = None
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(digest)
        return self._loaded[digest]

    @staticmethod
    def _say(record: ModelRecord, error: Exception) -> None:
        log.warning("%s of %s counts for nothing: %s", record.digest[:12], record.trainer, error)

    async def _fetch(self, record: ModelRecord) -> Loaded:
        onnx, written = await asyncio.gather(
            self._objects.get(onnx_key(record.digest), self._max_bytes, digest=record.digest),
            self._objects.get(
                manifest_key(record.digest), MAX_MANIFEST_BYTES, digest=record.manifest_digest
            ),
        )
        manifest = Manifest.model_validate_json(written)
        return Loaded(await asyncio.to_thread(Session, onnx, manifest), manifest)


def scores(loaded: Loaded | None, features: Column) -> Column:
    """Scores f64 (n,), or (n, k) of k classes.

    One infinity a row where the model fails, one NaN a row of a model that cannot be used at all.
    """
    if loaded is None:
        return np.full(len(features), np.nan, F64)
    try:
        return loaded.session.scores(features)
    except (UnusableModelError, OutOfMemoryError) as error:
        log.warning("%s fails on %d rows: %s", loaded.manifest.digest[:12], len(features), error)
        return np.full(len(features), np.inf, F64)
