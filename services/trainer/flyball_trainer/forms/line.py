"""A fitted linear model as numbers; knows numpy alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import F64, Column
from flyball_trainer.forms.forest import Link

CLIP: Final = 10.0
"""Standard deviations from the mean beyond which a value says no more: scores stay finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """`intercept + sum(slope * z) + sum(absent * is missing)` over standardised, clipped values z.

    A missing value counts as the mean, z = 0, and adds the feature's `absent` instead.
    """

    link: Link
    intercept: Column  # f64 (outputs,)
    mean: Column  # f64 (width,)
    scale: Column  # f64 (width,), > 0
    slope: Column  # f64 (width, outputs)
    absent: Column  # f64 (width, outputs), 0 where nothing was learnt about being missing

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.mean)

    @property
    def outputs(self) -> int:
        """Numbers a row: 1, or one a class."""
        return len(self.intercept)


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """How raw features become the columns that a linear model is fitted to."""

    mean: Column  # f64 (width,)
    scale: Column  # f64 (width,)
    sometimes: Column  # i64 (k,): features that are missing in some rows

    def design(self, feature: Column) -> Column:
        """f64 (n, width + k): standardised values, then 1 where a feature is missing."""
        value = feature.astype(F64)
        missing = np.isnan(value)
        with np.errstate(over="ignore"):
            z = (np.where(missing, self.mean, value) - self.mean) / self.scale
        return np.hstack([np.clip(z, -CLIP, CLIP), missing[:, self.sometimes].astype(F64)])

    def spread(self, coefficient: Column) -> Column:
        """Coefficients (width + k, m) of a design as (2 * width, m): 0 for what is never missing."""
        width = len(self.mean)
        absent = np.zeros((width, coefficient.shape[1]), F64)
        absent[self.sometimes] = coefficient[width:]
        return np.vstack([coefficient[:width], absent])


def standard(feature: Column) -> Standard:
    """Mean and standard deviation of the finite values of each column; 0 and 1 where there is none."""
    value = feature.astype(F64)
    known = np.isfinite(value)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, value, 0.0).sum(axis=0) / count
    centred = np.where(known, value, mean) - mean
    deviation = np.sqrt((centred * centred).sum(axis=0) / count)
    missing = np.isnan(value).sum(axis=0)
    sometimes = np.flatnonzero((missing > 0) & (missing < len(value)))
    tiny = deviation <= np.finfo(F64).eps * np.maximum(np.abs(mean), 1e-300)
    return Standard(mean, np.where(tiny, 1.0, deviation), sometimes)
