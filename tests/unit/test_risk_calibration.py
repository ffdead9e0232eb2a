"""Exact bounds, fits and p-values, against scipy, scikit-learn and MAPIE."""

import math

import numpy as np
import pytest
from scipy.stats import beta, kstest
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from tests.evidence.clearing import CONFIDENCE, MAX_ERROR, OFFSETS, alarms, mapie_share, rows

from flyball_proto.calibrations import Calibration, Conformal
from flyball_proto.columns import U8, Quality
from flyball_risk.calibrating.bounds import cut_off, lower_bound, needed, upper_bound
from flyball_risk.calibrating.fitting import fit, logistic, pooled
from flyball_risk.calibrating.suspicion import ALARM, NONE, Suspicion, capital
from flyball_risk.scoring.conformal import by_action, confidence, credibility, p_values
from flyball_risk.scoring.probability import assess, error_probability
from flyball_risk.scoring.signals import SIGNALS, Proposed

ALPHA = (1 - CONFIDENCE) / 20


def proposals(score: list[float], **columns: list[float]) -> Proposed:
    n = len(score)
    return Proposed(
        ("act",),
        np.ones(n, U8),
        np.array(score),
        np.array(columns.get("quality", [0] * n), U8),
        np.array(columns.get("canary", [0] * n), bool),
        np.array(columns.get("novelty", [])),
        np.array(columns.get("disagreement", [])),
        np.array(columns.get("age_ms", [])),
    )


def calibration(**more: object) -> Calibration:
    said = {"pipeline": "p", "feature_digest": "d", "at": "2026-01-01T00:00:00Z", "event_ms": 0}
    return Calibration.model_validate(said | more)


@pytest.mark.parametrize("rows_", [1, 7, 117, 2_000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 1.0])
def test_bounds_are_those_of_clopper_and_pearson(rows_: int, share: float) -> None:
    errors = round(share * rows_)
    high = beta.ppf(1 - ALPHA, errors + 1, rows_ - errors) if errors < rows_ else 1.0
    low = beta.ppf(ALPHA, errors, rows_ - errors + 1) if errors else 0.0
    assert upper_bound(errors, rows_, ALPHA) == pytest.approx(high, abs=1e-12)
    assert lower_bound(errors, rows_, ALPHA) == pytest.approx(low, abs=1e-12)


def test_five_percent_take_117_rows_without_an_error_and_more_with_some() -> None:
    assert needed(0, 0.05, ALPHA) == 117
    assert upper_bound(0, 117, ALPHA) <= 0.05 < upper_bound(0, 116, ALPHA)
    for errors in (1, 5, 40):
        least = needed(errors, 0.05, ALPHA)
        assert upper_bound(errors, least, ALPHA) <= 0.05 < upper_bound(errors, least - 1, ALPHA)


def test_too_few_rows_prove_nothing_and_say_how_many_it_takes() -> None:
    cut = cut_off(np.full(43, 0.1), np.zeros(43, bool), max_error=0.05, confidence=0.95)
    assert (cut.proven, cut.at, cut.rows, cut.needed) == (False, None, 43, 117)
    none = cut_off(np.empty(0), np.empty(0, bool), max_error=0.05, confidence=0.95)
    assert (none.proven, none.rows, none.needed) == (False, 0, 117)


def test_one_error_among_few_rows_is_no_proof_that_nothing_may_be_cleared() -> None:
    wrong = np.arange(120) == 60
    cut = cut_off(np.linspace(0, 1, 120), wrong, max_error=0.05, confidence=0.95)
    assert not cut.proven
    assert cut.needed > 120


def test_rows_that_are_wrong_at_every_probability_prove_that_nothing_may_be_cleared() -> None:
    wrong = np.random.default_rng(0).random(500) < 0.3
    cut = cut_off(np.linspace(0, 1, 500), wrong, max_error=0.05, confidence=0.95)
    assert cut.proven
    assert cut.at is None


def test_the_cut_off_takes_rows_of_one_probability_together() -> None:
    error = np.repeat([0.01, 0.4], [150, 50])
    wrong = np.arange(200) >= 150
    cut = cut_off(error, wrong, max_error=0.05, confidence=0.95)
    assert (cut.at, cut.below, cut.errors) == (0.01, 150, 0)


def test_no_cut_off_is_missed_that_mapie_finds() -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        error = rng.beta(0.5, 8.0, 400)
        wrong = rng.random(400) < error
        cut = cut_off(error, wrong, max_error=MAX_ERROR, confidence=CONFIDENCE)
        ours = cut.below / 400 if cut.at is not None else 0.0
        assert ours >= mapie_share(error, wrong) - 1e-9
        found += ours > 0
    assert found >= 15


def test_weights_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((600, 10))
    y = (rng.random(600) < 1 / (1 + np.exp(2 - 3 * x[:, 0]))).astype(float)
    weight = rng.choice([1.0, 20.0], 600)
    weights, intercept = logistic(x, y, weight, prior=np.zeros(10))
    oracle = LogisticRegression(C=1.0, tol=1e-10, max_iter=2_000).fit(x, y, weight)
    assert weights == pytest.approx(oracle.coef_[0], abs=1e-4)
    assert intercept == pytest.approx(oracle.intercept_[0], abs=1e-4)


def test_a_signal_that_labels_do_not_speak_of_keeps_its_cautious_weight() -> None:
    rng = np.random.default_rng(1)
    x = np.zeros((400, len(SIGNALS)))
    x[:, 1] = rng.random(400)
    y = (rng.random(400) < x[:, 1]).astype(float)
    found = fit(x, y, np.ones(400))
    assert found.weights[SIGNALS.index("drift")] == pytest.approx(0.7)
    assert found.weights[SIGNALS.index("doubt")] > 1


def test_pooling_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    y, weight = rng.random(300), rng.random(300) + 0.01
    oracle = isotonic_regression(y, sample_weight=weight)
    assert pooled(y, weight) == pytest.approx(oracle, abs=1e-9)


def test_a_separable_sample_is_fitted_too() -> None:
    x = np.zeros((200, 10))
    x[100:, 0] = 1.0
    found = fit(x, (np.arange(200) >= 100).astype(float), np.ones(200))
    low, high = found.probability(x[[0, -1]])
    assert low < 0.1 < 0.9 < high


def test_fitted_probabilities_rise_with_what_the_weights_say() -> None:
    sample, _ = rows(np.random.default_rng(3), 1_000, OFFSETS[0.2])
    x = np.random.default_rng(3).random((1_000, 10))
    found = fit(x, sample["wrong"].astype(float), np.ones(1_000))
    assert np.all(np.diff(found.raw) > 0)
    assert np.all(np.diff(found.error) > 0)
    assert len(found.raw) <= 64


@pytest.mark.parametrize(("n_right", "n_wrong"), [(50, 50), (99, 9)])
def test_p_values_are_uniform_within_each_kind_however_rare_it_is(
    n_right: int, n_wrong: int
) -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(2_000):
        right, wrong = np.sort(rng.beta(8, 2, n_right)), np.sort(rng.beta(4, 3, n_wrong))
        fresh = np.array([rng.beta(8, 2), rng.beta(4, 3)])
        p_right, p_wrong = p_values(fresh, right, wrong)
        found.append((p_right[0], p_wrong[1]))
    for p, n in zip(zip(*found, strict=True), (n_right, n_wrong), strict=True):
        spread = 1 / (n + 1)
        assert kstest(p, "uniform").statistic < spread + 0.04


def test_without_a_labelled_row_of_a_kind_nothing_speaks_against_it() -> None:
    p_right, p_wrong = by_action(np.array([0.9]), ("act",), np.array([1]), {})
    assert (p_right[0], p_wrong[0]) == (1.0, 1.0)
    assert confidence(p_right, p_wrong)[0] == 0.0
    assert credibility(p_right, p_wrong)[0] == 1.0


def test_uncalibrated_the_score_is_believed_and_doubts_only_add() -> None:
    plain = assess(proposals([0.9, math.nan]), None, is_probability=True)
    assert plain.error == pytest.approx([0.1, 1.0])
    assert np.isnan(plain.confidence).all()
    for more in (
        {"novelty": [0.01]},
        {"disagreement": [0.5]},
        {"quality": [int(Quality.STALE)]},
    ):
        assert assess(proposals([0.9], **more), None, is_probability=True).error[0] > 0.1
    unknown = proposals([0.9], novelty=[math.nan], disagreement=[math.nan])
    assert assess(unknown, None, is_probability=True).error[0] == pytest.approx(0.1)
    assert assess(proposals([7.5]), None, is_probability=False).error[0] == 0.5
    assert error_probability(np.array([0.9]), np.array([4], U8), is_probability=True) == (
        pytest.approx([0.37])
    )


def test_calibrated_every_signal_counts_as_it_was_learnt() -> None:
    known = calibration(
        weights={"doubt": 2.0, "novelty": 3.0},
        intercept=-3.0,
        conformal={"act": Conformal(right=(0.8, 0.9), wrong=(0.5, 0.6, 0.7))},
    )
    found = proposals([0.95, 0.5, math.nan], novelty=[1.0, 1.0, 1.0])
    assessed = assess(found, known, is_probability=True)
    odds = -3.0 + 2.0 * np.array([0.25, 1.0])
    assert assessed.error == pytest.approx([*(1 / (1 + np.exp(-odds))), 1.0], abs=1e-6)
    assert assessed.credibility[0] == pytest.approx(1.0)
    strange = assess(proposals([0.95], novelty=[0.01]), known, is_probability=True)
    assert strange.error[0] > assessed.error[0]


def test_weights_of_a_later_version_are_not_needed() -> None:
    known = calibration(weights={"unheard-of": 9.0}, intercept=0.0)
    assert assess(proposals([0.9]), known, is_probability=True).error[0] == pytest.approx(0.5)


def test_the_bet_alarms_once_in_so_many_rows_at_most_and_soon_when_it_must() -> None:
    assert sum(len(alarms(seed, 4_000, MAX_ERROR)) for seed in range(5)) <= 10
    assert sum(len(alarms(seed, 4_000, 0.03)) for seed in range(5)) == 0
    assert all(alarms(seed, 200, 0.3)[0] < 120 for seed in range(20))


def test_a_long_good_time_is_no_credit() -> None:
    now = NONE
    for _ in range(5_000):
        now = now.saw(1, 0.05, wrong=False)
    assert now == NONE
    for count in range(1, 12):  # noqa: B007 - read behind the loop
        now = now.saw(1, 0.05, wrong=True)
        if now.is_certain(0.05):
            break
    assert count <= 6


def test_the_lower_bound_is_where_the_bet_would_alarm() -> None:
    found = Suspicion(rows=60, errors=15, since_ms=1)
    assert 0.05 < found.lower_bound < 0.25
    assert capital(15, 60, found.lower_bound) == pytest.approx(ALARM, rel=1e-3)
