"""Whether the ONNX file answers as the fitted model does."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flyball_proto.columns import Column
from flyball_trainer.forms.boundaries import Probes, looked_at, probes
from flyball_trainer.forms.forest import Forest
from flyball_trainer.kinds.catalogue import FitError, Fitted
from flyball_trainer.training.running import UnrunnableError, scores

TOLERANCE: Final = 1e-5
"""Absolute for probabilities; for regression times the larger of the score and the median score."""
MAX_HOLDOUT_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the two are apart at one row: `difference` is relative to the tolerance's scale.

    That row is the worst one; but where the tolerance is exceeded, the first such row about a single
    feature, because rows of a node come before those below it. `row` counts within `group`: holdout,
    boundary, missing or extreme. `feature` is the one that the row is about, None = no single one;
    `output` is the class of several, else 0. `nodes` says how many of the `all_nodes` inner nodes of
    trees had boundary rows of their own; both are 0 for other models.
    """

    rows: int
    difference: float
    group: str
    row: int
    feature: str | None
    native: float
    converted: float
    output: int = 0
    nodes: int = 0
    all_nodes: int = 0

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= TOLERANCE

    @property
    def sentence(self) -> str:
        """The row for people."""
        about = f" about feature {self.feature}" if self.feature else ""
        about += f", class {self.output}" if self.output else ""
        return (
            f"{self.group} row {self.row}{about}: the fitted model says {self.native:.9g}, its ONNX "
            f"form {self.converted:.9g}, difference {self.difference:.3g} of at most {TOLERANCE:g}"
        )


@dataclass(frozen=True, slots=True)
class Unrunnable:
    """ONNX Runtime does not take the file."""

    sentence: str


def compare(
    fitted: Fitted, onnx: bytes, holdout: Column, *, task: str, names: tuple[str, ...]
) -> Parity | Unrunnable:
    """Both models' scores of holdout rows f32 (n, width), n > 0, and of the model's edge rows."""
    known = Probes(
        "holdout", holdout[-MAX_HOLDOUT_ROWS:], np.full(min(len(holdout), MAX_HOLDOUT_ROWS), -1)
    )
    form = fitted.form
    groups = (known, *probes(form, known.feature))
    rows = np.concatenate([group.feature for group in groups])
    try:
        converted, native = scores(onnx, rows), fitted.scores(rows)
    except (UnrunnableError, FitError) as error:
        return Unrunnable(str(error))
    right = (len(rows), form.outputs)
    if converted.shape != right:
        return Unrunnable(f"scores of shape {converted.shape}, {right} is right")
    found = _worst(groups, native, converted, _scale(native, len(known.about), task), names)
    return (
        replace(found, nodes=len(looked_at(form)), all_nodes=len(form.tree))
        if isinstance(form, Forest)
        else found
    )


def _worst(
    groups: tuple[Probes, ...],
    native: Column,
    converted: Column,
    scale: Column,
    names: tuple[str, ...],
) -> Parity:
    with np.errstate(invalid="ignore"):
        apart = np.abs(native - converted) / scale
    apart = np.where(np.isfinite(apart), apart, np.inf)
    output, apart = apart.argmax(axis=1), apart.max(axis=1)
    telling = (apart > TOLERANCE) & np.concatenate([group.about >= 0 for group in groups])
    worst = int(np.argmax(telling if telling.any() else apart))
    group, row = _place(groups, worst)
    about, column = int(group.about[row]), int(output[worst])
    return Parity(
        rows=len(apart),
        difference=float(apart[worst]),
        group=group.group,
        row=row,
        feature=names[about] if about >= 0 else None,
        native=float(native[worst, column]),
        converted=float(converted[worst, column]),
        output=column,
    )


def _place(groups: tuple[Probes, ...], row: int) -> tuple[Probes, int]:
    """The group of a row among all, and its number there."""
    for group in groups[:-1]:
        if row < len(group.about):
            return group, row
        row -= len(group.about)
    return groups[-1], row


def _scale(native: Column, known: int, task: str) -> Column:
    if task != "regression":
        return np.ones_like(native)
    usual = float(np.median(np.abs(native[:known])))
    return np.maximum(np.abs(native), max(usual, float(np.finfo(np.float32).tiny)))
