"""Scores past rows with models that were not asked then. The only room here that runs ONNX."""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
import onnxruntime as ort

from flyball_kit.objects import Objects
from flyball_local.prequential.figures import (
    Candidate,
    Comparison,
    Evidence,
    Floats,
    first_model,
    learnt,
    reigns,
)
from flyball_proto.bundles import onnx_key
from flyball_proto.columns import F32, Column
from flyball_proto.spec import BASELINE

MAX_MODEL_BYTES: Final = 256 << 20
DECIMALS: Final = 6
ERRORS_ONLY: Final = 3
FETCHES: Final = 4


class Bundles:
    """Models by digest, from S3."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._at_once = asyncio.Semaphore(FETCHES)

    async def score(self, digest: str, features: Column) -> Floats:
        """Scores f64 (n,) of features f32 (n, width), as inference would have given them.

        Of several classes (n, classes).
        """
        if not len(features):
            return np.empty(0)
        async with self._at_once:
            onnx = await self._objects.get(onnx_key(digest), MAX_MODEL_BYTES, digest=digest)
        return await asyncio.to_thread(_run, onnx, features)


async def compare(
    rows: Evidence, candidates: Sequence[Candidate], bundles: Bundles, seat: str | None
) -> Comparison:
    """The figures of a replay.

    Args:
        rows: Decisions that were labelled.
        candidates: Every model that was admitted.
        bundles: Where their files are.
        seat: The learnt trainer in the seat at the end; None = the one that would have been best.
    """
    behind = rows.first_rows
    own = rows.score if rows.task != "multiclass" else await _decided(rows, bundles)
    baseline = first_model(candidates, BASELINE, 1 << 62)
    persistence = await bundles.score(baseline.digest, rows.feature) if baseline else None
    trainers = [seat] if seat else learnt(candidates)
    streams = {
        name: await _stream(rows, candidates, name, bundles, persistence) for name in trainers
    }
    losses = {
        name: found.value
        for name, scores in streams.items()
        if (found := rows.figures(scores, behind)) is not None
    }
    best = min(losses, key=lambda name: losses[name], default=None)
    first = None
    if best is not None and len(rows) and behind:
        chosen = first_model(candidates, best, int(rows.time_ms[behind - 1]))
        first = await bundles.score(chosen.digest, rows.feature) if chosen else None
    return Comparison(
        rows.task,
        len(rows) - behind,
        best,
        rows.figures(own, behind),
        rows.figures(own, 0),
        None if persistence is None else rows.figures(persistence, behind),
        None if first is None else rows.figures(first, behind),
        None if best is None else rows.figures(streams[best], behind),
    )


async def _decided(rows: Evidence, bundles: Bundles) -> Floats:
    """Every class's score by the models that decided; samples carry that of one class."""
    digests, which = np.unique(rows.model.astype(str), return_inverse=True)
    found = await asyncio.gather(
        *(bundles.score(name, rows.feature[which == i]) for i, name in enumerate(digests.tolist()))
    )
    scores = np.empty((len(rows), found[0].shape[1] if found else 0))
    for place, said in enumerate(found):
        scores[which == place] = said
    return scores


async def _stream(
    rows: Evidence,
    candidates: Sequence[Candidate],
    trainer: str,
    bundles: Bundles,
    before: Floats | None,
) -> Floats:
    """What a trainer's newest model would have said of every row; before the first, the baseline."""
    scores = np.full(len(rows), np.nan) if before is None else before.copy()
    which = reigns(candidates, trainer, rows)
    places = [place for place in np.unique(which).tolist() if place >= 0]
    found = await asyncio.gather(
        *(bundles.score(candidates[i].digest, rows.feature[which == i]) for i in places)
    )
    for place, said in zip(places, found, strict=True):
        scores[which == place] = said
    return scores


def _run(onnx: bytes, features: Column) -> Floats:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    session = ort.InferenceSession(onnx, options, ["CPUExecutionProvider"])
    rows = np.ascontiguousarray(features, F32)
    batch = rows if len(rows) > 1 else np.repeat(rows, 2, axis=0)
    raw = session.run(None, {session.get_inputs()[0].name: batch})[0]
    scores: Floats = np.round(np.asarray(raw, np.float64)[: len(rows)], DECIMALS)
    return scores[:, 0] if scores.shape[1] == 1 else scores
