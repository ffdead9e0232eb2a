"""Signs that features know the label before it is due, in words. They refuse nothing.

One feature that separates a class from all others with an area under the ROC curve above 0.98 is
often the label in other clothes (on `elec2` a mean of the price over a day is its definition).
"""

from typing import Final, NamedTuple

import numpy as np

from flyball_proto.columns import F32, F64, Column
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.measures import Question

SUSPICIOUS_AUC: Final = 0.98
MAX_ROWS: Final = 5_000
"""Newest rows that are looked at: about 0.4 ms a feature and class, twice that with gaps."""
MIN_ROWS: Final = 20
"""A class with fewer rows says nothing, nor does one with fewer others."""


class Suspect(NamedTuple):
    """A feature that says too much alone; `auc` is 1 where it equals the label."""

    feature: str
    auc: float
    about: str


def suspects(rows: TrainingRows, names: tuple[str, ...], question: Question) -> list[Suspect]:
    """Features that separate too well or equal the label, worst first; missing counts as a value."""
    seen = rows.part(slice(-MAX_ROWS, None))
    found = [
        suspect
        for i, name in enumerate(names)
        if (suspect := _suspect(seen.feature[:, i], seen.label, name, question)) is not None
    ]
    return sorted(found, key=lambda s: (-s.auc, s.feature))


def warnings(rows: TrainingRows, held: TrainingRows, found: list[Suspect]) -> list[str]:
    """All signs in words: what `suspects` gave, and rows whose truth was known before they were."""
    said = [_sentence(suspect) for suspect in found]
    early = sum(int((part.known_ms < part.time_ms).sum()) for part in (rows, held))
    if early:
        said.append(
            f"{early} of {len(rows) + len(held)} rows have a label that was known before the row's "
            "own time: features may have seen it; check the clocks of who sends labels"
        )
    return said


def area(values: Column, positive: Column) -> float:
    """Area under the ROC curve of f64 (n,) for a mask (n,), the better of both directions."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    yes = int(positive.sum())
    no = len(positive) - yes
    found = (float(rank[place][positive].sum()) - yes * (yes + 1) / 2) / (yes * no)
    return max(found, 1 - found)


def _suspect(value: Column, label: Column, name: str, question: Question) -> Suspect | None:
    if len(label) >= MIN_ROWS and (value == label.astype(F32)).all() and np.ptp(label) > 0:
        return Suspect(name, 1.0, "the label")
    for number, of in list(enumerate(question.classes))[_needed(question) :]:
        positive = label == number
        if min(int(positive.sum()), int((~positive).sum())) < MIN_ROWS:
            continue
        best = max(_areas(value, positive))
        if best > SUSPICIOUS_AUC:
            return Suspect(name, best, f"class {of}")
    return None


def _needed(question: Question) -> int:
    """The first class to look at: of two, one tells all."""
    return 1 if question.task == "binary" else 0


def _areas(value: Column, positive: Column) -> list[float]:
    """With missing values below all others, and above."""
    missing = np.isnan(value)
    sides = (-np.inf, np.inf) if missing.any() else (0.0,)
    return [area(np.where(missing, side, value).astype(F64), positive) for side in sides]


def _sentence(suspect: Suspect) -> str:
    if suspect.about == "the label":
        return f"feature {suspect.feature} equals the label in every row: it may be made from it"
    return (
        f"feature {suspect.feature} alone tells {suspect.about} from the rest with an AUC of "
        f"{suspect.auc:.3f} (above {SUSPICIOUS_AUC:g}): it may know the label before it is due"
    )
