"""Models that look good and must not be promoted, and why each was not."""

import numpy as np
from tests.evidence.siting import succession
from tests.evidence.streams import WEEK, Array, weekly
from tests.evidence.succession import ALPHA, looks, won
from tests.unit.evidence_rows import (
    BLOCK_MS,
    design,
    folded,
    of_kind,
    scored,
    seat,
    times,
)

from flyball_registry.evidence.account import gamma
from flyball_registry.evidence.betting import MIN_BLOCKS
from flyball_registry.evidence.comparison import PATIENCE
from flyball_registry.evidence.evaluation import Finding, Inferior, Scored, Superior, standing
from flyball_trainer.kinds import catalogue
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.leakage import area, suspects, warnings
from flyball_trainer.training.measures import Question

RUNS = 10
BLOCKS, PER_BLOCK = 150, 40
RATE = 0.1


def expit(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def superior(findings: tuple[Finding, ...]) -> list[str]:
    return [found.trainer for found in of_kind(findings, Superior)]


# --- a leaky feature -----------------------------------------------------------------------------

LEAK = 2


def measured(seed: int, n: int, *, live: bool) -> tuple[Array, Array]:
    """Two honest features and a leaky one: the label itself when trained, missing when decided."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.3) * 1.0
    feature = rng.normal(0, 1, (n, 3)).astype(np.float32)
    feature[:, 0] += label
    feature[:, LEAK] = np.nan if live else label + rng.normal(0, 0.01, n)
    return feature, label


def rows_of(feature: Array, label: Array) -> TrainingRows:
    n = len(label)
    time_ms = np.arange(n, dtype=np.int64) * 1_000
    return TrainingRows(
        element=("cell-1",),
        element_index=np.zeros(n, np.uint32),
        label_set=("{}",),
        label_index=np.zeros(n, np.uint32),
        sequence=np.arange(1, n + 1, dtype=np.uint64),
        sample=np.zeros(n, np.uint16),
        time_ms=time_ms,
        known_ms=time_ms + 1_000,
        feature=feature,
        label=label,
        weight=np.ones(n),
    )


def fitted(feature: Array, label: Array) -> catalogue.Fitted:
    return catalogue.fit("logistic", rows_of(feature, label), "binary", {}, seed=1)


def leaked(seed: int) -> tuple[Finding, ...]:
    feature, label = measured(seed, 2_000, live=False)
    honest = fitted(np.where(np.arange(3) == LEAK, 0, feature).astype(np.float32), label)
    leaky = fitted(feature, label)
    assert area(leaky.scores(feature)[:, 0], label > 0) > 0.99, "in training it looks perfect"
    now, truth = measured(seed + 1_000, BLOCKS * PER_BLOCK, live=True)
    without = np.where(np.arange(3) == LEAK, 0, now).astype(np.float32)
    score = {"active": honest.scores(without)[:, 0], "leaky": leaky.scores(now)[:, 0]}
    return folded(scored(times(BLOCKS, PER_BLOCK), truth, score))[1]


def test_a_leaky_feature_shines_in_training_and_evidence_refuses_it() -> None:
    for seed in range(3):
        findings = leaked(seed)
        assert superior(findings) == []
        assert [found.trainer for found in of_kind(findings, Inferior)] == ["leaky"]


def test_a_leaky_feature_is_warned_of_by_name() -> None:
    rows = rows_of(*measured(1, 2_000, live=False))
    question = Question(task="binary", classes=("no", "yes"))
    found = suspects(rows, ("load", "noise", "outcome"), question)
    said = warnings(rows, rows.part(slice(0, 0)), found)
    assert len(said) == 1
    assert "outcome" in said[0]


# --- good figures --------------------------------------------------------------------------------


def ranked(seed: int) -> Scored:
    """The active model is calibrated, with an AUC of 0.90; the other ranks better and never dares."""
    rng, time_ms = np.random.default_rng(seed), times(BLOCKS, PER_BLOCK)
    label = (rng.random(len(time_ms)) < RATE) * 1.0
    weak, strong = (rng.normal(apart * label, 1) for apart in (1.8, 2.09))
    odds = np.log(RATE / (1 - RATE))
    active = expit(odds + 1.8 * weak - 1.8**2 / 2)
    shy = 0.55 * expit(odds + 2.09 * strong - 2.09**2 / 2 - 2)
    return scored(time_ms, label, {"active": active, "shy": shy})


def test_an_auc_of_093_with_a_recall_of_005_is_no_advantage() -> None:
    rows = ranked(0)
    event = rows.label > 0
    assert 0.91 <= area(rows.score["shy"], event) <= 0.95
    assert area(rows.score["active"], event) < area(rows.score["shy"], event)
    assert float((rows.score["shy"][event] >= 0.5).mean()) <= 0.07
    for seed in range(RUNS):
        assert superior(folded(ranked(seed))[1]) == []


def lucky(seed: int) -> Scored:
    """Right in each of its first 600 rows and worth as much as the active model from then on."""
    rng, time_ms = np.random.default_rng(seed), times(BLOCKS, PER_BLOCK)
    label = (rng.random(len(time_ms)) < 0.3) * 1.0
    said = [np.clip(0.3 + rng.normal(0, 0.1, len(label)), 0, 1) for _ in range(2)]
    first = np.arange(len(label)) < 600
    return scored(time_ms, label, {"active": said[0], "lucky": np.where(first, label, said[1])})


def test_a_lucky_small_sample_is_a_few_correlated_blocks() -> None:
    for seed in range(RUNS):
        state, findings = folded(lucky(seed))
        assert superior(findings) == []
        bets = state.comparisons["lucky"].bets
        assert bets.factor > 1, "luck that ends is a step, and a step is correlation: blocks double"
        assert bets.blocks < MIN_BLOCKS


# --- better on the whole -------------------------------------------------------------------------


def test_better_on_the_whole_and_much_worse_at_one_of_ten_sites_stays_out() -> None:
    found = [succession(seed, 10, 0.05, -0.1, 100) for seed in range(4)]
    assert found == [None] * 4
    assert succession(0, 10, 0.05, 0.05, 100) is not None, "better everywhere it wins"


def test_a_slice_that_nobody_hears_of_any_more_does_not_hold_a_succession_for_good() -> None:
    rng, time_ms = np.random.default_rng(2), times(600, 50)
    n, block = len(time_ms), time_ms // BLOCK_MS
    site = np.where((np.arange(n) % 2 == 0) & (block < 12), "gone", "here")
    loss = np.clip(rng.normal(0.3, 0.05, n), 0, 1)
    less = np.where(site == "gone", -0.02, 0.05) + rng.normal(0, 0.02, 600)[block]
    score = {"active": np.sqrt(loss), "other": np.sqrt(np.clip(loss - less, 0, 1))}
    rows = scored(time_ms, np.zeros(n), score, slices={"site": site.tolist()})
    plan = design(slices=("site",))
    state, findings = folded(rows, under=plan)
    assert superior(findings) == ["other"]
    waited = of_kind(findings, Superior)[0].blocks
    assert waited == PATIENCE * state.comparisons["other"].reached


def test_a_weekly_pattern_is_judged_by_whole_weeks() -> None:
    found = [looks(values) for values in weekly(5, 30, 2 * WEEK + 100)]
    assert sum(won(one, ALPHA) is not None for one in found) >= 5
    assert sum(won(one, ALPHA, WEEK) is not None for one in found) == 0


def test_a_weekly_pattern_through_the_fold_waits_for_the_end_of_a_week() -> None:
    time_ms, week = times(200, 25), 60
    good = (time_ms // BLOCK_MS) % week < week * 5 // 7
    rng = np.random.default_rng(3)
    loss = np.clip(rng.normal(0.3, 0.05, len(time_ms)), 0, 1)
    less = np.where(good, 0.04, -0.1) + rng.normal(0, 0.01, len(time_ms))
    score = {"active": np.sqrt(loss), "workday": np.sqrt(np.clip(loss - less, 0, 1))}
    rows = scored(time_ms, np.zeros(len(time_ms)), score)
    plan = design(season_ms=week * BLOCK_MS)
    state, findings = folded(rows, under=plan)
    assert superior(findings) == []
    (now,) = standing(state, plan)
    assert now.trainer == "workday"


# --- the same again ------------------------------------------------------------------------------


def test_ten_names_of_the_active_model_win_nothing_and_share_one_alpha() -> None:
    rng, time_ms = np.random.default_rng(4), times(BLOCKS, PER_BLOCK)
    label = (rng.random(len(time_ms)) < RATE) * 1.0
    said = np.clip(RATE + rng.normal(0, 0.05, len(label)), 0, 1)
    names = {f"copy-{k}": said.copy() for k in range(10)}
    state, findings = folded(scored(time_ms, label, {"active": said, **names}), seat("original"))
    assert superior(findings) == []
    assert {now.log_e for now in standing(state, design())} == {0.0}
    spent = [entry.alpha for entry in state.account.entries]
    assert spent == [0.05 * gamma(k) for k in range(1, 11)]
    assert sum(spent) < 0.05
