"""How likely it is that acting on a proposal is wrong: learnt from labels, or stated. Pure.

Without a calibration the score's own claim counts, raised by a stated chance for every flaw of the
inputs, for inputs unlike the training data, and for a fallback that says something else.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.calibrations import Calibration
from flyball_proto.columns import F64, Column
from flyball_risk.scoring.conformal import by_action, confidence, credibility
from flyball_risk.scoring.signals import DOUBT, SIGNALS, Proposed, claimed, known, signals

UNUSUAL: Final = 0.05
"""p-value of the inputs below which they count as unlike the training data."""
UNUSUAL_CHANCE: Final = 0.2
"""Chance that such inputs alone make the decision wrong, until it is calibrated."""
DISAGREEMENT_CHANCE: Final = 0.2
"""The same of a fallback whose score is 1 away; in proportion when it is nearer."""

_TRUST: Final = np.array(
    [np.prod([1.0 - DOUBT[flag] for flag in DOUBT if bits & flag]) for bits in range(256)]
)
"""By quality byte: chance that no flaw of the inputs spoils the decision."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """Of p proposals, f64 (p,) each; confidence and credibility NaN = not calibrated.

    `error` is rounded to 1e-6, as whatever is compared is.
    """

    error: Column
    confidence: Column
    credibility: Column


def error_probability(score: Column, quality: Column, *, is_probability: bool) -> Column:
    """Probability that acting is wrong as far as the score and flaws of the inputs say, f64 (p,)."""
    wrong = claimed(score, is_probability=is_probability)
    spoilt: Column = 1.0 - (1.0 - wrong) * _TRUST[quality]
    return spoilt.astype(F64)


def assess(found: Proposed, calibration: Calibration | None, *, is_probability: bool) -> Assessed:
    """Assess p proposals at once. A score that is no number errs with probability 1."""
    if calibration is None or not calibration.weights:
        unknown = np.full(len(found), np.nan)
        stated = _stated(found, is_probability=is_probability)
        return Assessed(np.round(stated, 6), unknown, unknown)
    p_right, p_wrong = by_action(
        found.score, found.actions, found.action_index, calibration.conformal
    )
    credible = credibility(p_right, p_wrong)
    weighed = signals(
        found, p_wrong, credible, drifted=calibration.drifted, is_probability=is_probability
    )
    error = np.where(np.isfinite(found.score), learnt(weighed, calibration), 1.0)
    return Assessed(np.round(error, 6), confidence(p_right, p_wrong), credible)


def learnt(weighed: Column, calibration: Calibration) -> Column:
    """Probability of an error by fitted weights, f64 (p,); of `signals`, f64 (p, 10)."""
    weights = np.array([calibration.weights.get(name, 0.0) for name in SIGNALS])
    odds = np.clip(weighed @ weights + calibration.intercept, -500.0, 500.0)
    raw: Column = 1.0 / (1.0 + np.exp(-odds))
    if not calibration.raw:
        return raw
    return np.asarray(np.interp(raw, calibration.raw, calibration.error), F64)


def _stated(found: Proposed, *, is_probability: bool) -> Column:
    n = len(found)
    error = error_probability(found.score, found.quality, is_probability=is_probability)
    strange, apart = known(found.novelty, n), known(found.disagreement, n)
    trust = np.where(strange < UNUSUAL, 1.0 - UNUSUAL_CHANCE, 1.0)
    trust = trust * (1.0 - DISAGREEMENT_CHANCE * np.clip(np.nan_to_num(apart), 0.0, 1.0))
    raised: Column = 1.0 - (1.0 - error) * trust
    return raised
