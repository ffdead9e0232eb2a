"""Whether a file answers as the fitted model did, and its smaller forms as it does. Pure but for sessions."""

from typing import Final

import numpy as np

from flyball_proto.bundles import Expected, ExpectedError, decode_expected
from flyball_proto.columns import F64, Column
from flyball_proto.events import Manifest, Variant
from flyball_registry.admission.claims import MAX_WORDS, Unfit
from flyball_registry.scoring.sessions import (
    Session,
    UnusableModelError,
    outputs_of,
)

TOLERANCE: Final = 1e-5
"""Absolute for probabilities; for regression times the larger of the score and the median score."""
MAX_TOLERANCE: Final = 0.1
"""A smaller form that may differ by more is another model, whatever its trainer allows."""


def decoded(written: bytes, manifest: Manifest) -> Expected | Unfit:
    """Rows and scores of a bundle, in the shapes of its manifest."""
    wanted = f"rows of {len(manifest.features)} features and {outputs_of(manifest)} scores"
    try:
        said = decode_expected(written)
    except ExpectedError as error:
        return Unfit("expected", str(error)[:MAX_WORDS], wanted)
    width, outputs = said.feature.shape[1], said.score.shape[1]
    if not len(said.score) or (width, outputs) != (len(manifest.features), outputs_of(manifest)):
        found = f"{len(said.score)} rows of {width} features and {outputs} scores"
        return Unfit("expected", found, wanted)
    return said


def converted(session: Session, said: Expected, task: str) -> Unfit | None:
    """The file's scores of the expected rows against the fitted model's own."""
    try:
        scores = _raw(session, said)
    except UnusableModelError as error:
        return Unfit("parity", str(error)[:MAX_WORDS], f"scores of all {len(said.feature)} rows")
    apart = _apart(said.score, scores, task)
    row, output = np.unravel_index(int(np.argmax(apart)), apart.shape)
    if (worst := float(apart[row, output])) <= TOLERANCE:
        return None
    native, own = said.score[row, output], scores[row, output]
    found = f"row {row}: the fitted model says {native:.9g}, its ONNX form {own:.9g}: {worst:.3g}"
    return Unfit("parity", found, f"at most {TOLERANCE:g} apart")


def smaller(variant: Variant, form: Session, said: Expected, task: str) -> Unfit | None:
    """A smaller form's scores against the fitted model's, within the manifest's tolerance."""
    if not 0 <= variant.tolerance <= MAX_TOLERANCE:
        found = f"{variant.precision}: a tolerance of {variant.tolerance:g}"
        return Unfit("variants", found, f"0 to {MAX_TOLERANCE:g}")
    try:
        apart = _apart(said.score, _raw(form, said), task)
    except UnusableModelError as error:
        return Unfit("variants", f"{variant.precision}: {error}"[:MAX_WORDS], "a form that runs")
    row = int(np.argmax(apart.max(axis=1)))
    if (worst := float(apart[row].max())) <= variant.tolerance:
        return None
    found = f"{variant.precision}: row {row} is {worst:.3g} from the model's score"
    return Unfit("variants", found, f"at most {variant.tolerance:g}")


def _raw(session: Session, said: Expected) -> Column:
    rows = said.feature
    batch = rows if len(rows) > 1 else np.concatenate((rows, rows))
    scores = np.asarray(session.run(batch), F64)
    if scores.shape != (shape := (len(batch), session.outputs)):
        raise UnusableModelError(f"scores of shape {scores.shape}, not {shape}")
    return scores[: len(rows)]


def _apart(truth: Column, other: Column, task: str) -> Column:
    """Distances f64 (n, outputs) in the tolerance's scale; infinity where there is no number."""
    scale = np.ones_like(truth)
    if task == "regression":
        usual = max(float(np.median(np.abs(truth))), float(np.finfo(np.float32).tiny))
        scale = np.maximum(np.abs(truth), usual)
    with np.errstate(invalid="ignore"):
        apart = np.abs(truth - other) / scale
    return np.where(np.isfinite(apart), apart, np.inf)
