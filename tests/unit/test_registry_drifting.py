"""Drift without labels: how rarely a still world alarms, how soon a changed one does, and why."""

import json

import numpy as np
import pytest
from tests.unit.drifting_rows import (
    BLOCK_MS,
    Array,
    block_of,
    observed,
    seen,
    still,
    surface,
)
from tests.unit.evidence_rows import design, folded, of_kind, scored, times

from flyball_registry.evidence import drifting, evaluation
from flyball_registry.evidence.drifting import Drifting, Observed, may_tell
from flyball_registry.evidence.moving import important, most_important

CHANGE = 100
AFTER = 60


def changed(kind: str, seed: int) -> Array:
    """A world whose feature f2 changes after a hundred blocks."""
    feature = still(CHANGE + AFTER, seed)
    own = feature[CHANGE:, :, 2]
    if kind == "mean":
        own += 1.0
    elif kind == "spread":
        own *= 2.5
    elif kind == "missing":
        own[np.random.default_rng(seed).uniform(size=own.shape) < 0.3] = np.nan
    return feature


def test_a_still_world_hardly_ever_drifts() -> None:
    told = [len(seen(still(500, seed))[1]) for seed in range(6)]
    assert sum(told) == 0, "3 000 blocks"


@pytest.mark.parametrize("kind", ["mean", "spread", "missing"])
def test_a_changed_feature_is_named_within_some_twenty_blocks(kind: str) -> None:
    delays = []
    for seed in range(5):
        _, noticed = seen(changed(kind, seed))
        first = noticed[0]
        assert (first.on, first.features[0]) == ("features", "f2")
        assert first.detail.startswith("rows are unlike those of before, most of all in f2 (")
        delays.append(block_of(first) - CHANGE)
    assert min(delays) > 0
    assert np.median(delays) <= 25


def test_the_most_changed_feature_is_named_first() -> None:
    feature = still(CHANGE + AFTER)
    feature[CHANGE:, :, 4] += 3.0
    feature[CHANGE:, :, 1] += 1.0
    first = seen(feature)[1][0]
    assert first.features == ("f4", "f1")


def test_a_feature_that_the_model_hardly_uses_is_no_reason_to_train() -> None:
    used = (0.5, 0.45, 0.0, 0.05, 0.0, 0.0)
    assert seen(changed("mean", 1), surface(importance=used))[1] == ()
    decisive = (0.05, 0.0, 0.9, 0.05, 0.0, 0.0)
    first = seen(changed("mean", 1), surface(importance=decisive))[1][0]
    assert first.features == ("f2",)


def test_after_a_drift_the_changed_world_is_the_usual_one() -> None:
    feature = np.concatenate([changed("mean", 3), still(200, 4) + 0.0])
    feature[CHANGE + AFTER :, :, 2] += 1.0
    assert len(seen(feature)[1]) == 1


def daily(blocks: int, season: int, seed: int) -> Array:
    """A world in which everything rises and falls within a season."""
    feature = still(blocks, seed, per_block=25)
    return feature + 1.5 * np.sin(2 * np.pi * np.arange(blocks) / season)[:, None, None]


def test_a_season_that_is_declared_does_not_alarm_and_one_that_is_not_does() -> None:
    season = 160
    feature = daily(8 * season, season, 5)
    assert seen(feature, surface(season=season))[1] == ()
    assert {one.on for one in seen(feature)[1]} == {"score", "features"}


def test_a_change_beyond_the_season_is_seen_once_the_reference_is_whole() -> None:
    season = 48
    feature = daily(8 * season, season, 6)
    feature[6 * season :, :, 2] += 2.0
    noticed = seen(feature, surface(season=season))[1]
    assert [(one.on, one.features) for one in noticed] == [("features", ("f2",))]
    assert 0 < block_of(noticed[0]) - 6 * season <= 30


def test_scores_that_move_are_told_apart_from_features() -> None:
    feature = still(CHANGE + AFTER)
    rows = observed(feature)
    moved = rows.score.copy()
    moved[rows.time_ms >= CHANGE * BLOCK_MS] += 0.2
    changed = Observed(rows.time_ms, rows.known_ms, moved, rows.feature)
    clock_ms = len(feature) * BLOCK_MS
    _, (noticed,) = drifting.fold(Drifting(), changed, clock_ms, surface())
    assert noticed.on == "score"
    assert "the mean score of a block went from 0." in noticed.detail
    assert 0 < block_of(noticed) - CHANGE <= 50


def test_another_model_s_scores_begin_anew() -> None:
    state, _ = seen(still(CHANGE))
    assert len(state.scores.values) == CHANGE
    state, noticed = seen(still(20), surface(digest="e"), state, CHANGE)
    assert (noticed, len(state.scores.values)) == ((), 20)


def test_of_several_classes_the_largest_probability_counts() -> None:
    rows = observed(still(2))
    several = np.stack([rows.score, 1 - rows.score, np.zeros(len(rows.score))], axis=1)
    clock_ms = 2 * BLOCK_MS
    state, _ = drifting.fold(
        Drifting(),
        Observed(rows.time_ms, rows.known_ms, several, rows.feature),
        clock_ms,
        surface(),
    )
    expected = np.maximum(rows.score, 1 - rows.score).reshape(2, -1).mean(axis=1)
    assert state.scores.values == pytest.approx(expected.tolist())


@pytest.mark.parametrize("season", [0, 12])
def test_rows_can_be_cut_and_the_state_stored_anywhere(season: int) -> None:
    under = surface(season=season)
    feature = changed("missing", 2)
    rows, clock_ms = observed(feature), len(feature) * BLOCK_MS
    whole, noticed = drifting.fold(Drifting(), rows, clock_ms, under)
    rng = np.random.default_rng(3)
    cuts = np.sort(rng.choice(len(rows.time_ms), 200, replace=False))
    state, found = Drifting(), []
    for at in np.split(np.arange(len(rows.time_ms)), cuts):
        part = Observed(rows.time_ms[at], rows.known_ms[at], rows.score[at], rows.feature[at])
        until = int(part.time_ms[-1]) if len(at) else state.open_ms
        stored = Drifting.model_validate_json(state.model_dump_json())
        state, told = drifting.fold(stored, part, until, under)
        found += told
    state, told = drifting.fold(state, drifting.nothing(feature.shape[2]), clock_ms, under)
    assert state == whole
    assert (*found, *told) == noticed
    assert season or noticed


@pytest.mark.parametrize("season", [0, 24])
def test_the_record_has_a_bound_however_many_features_there_are(season: int) -> None:
    under = surface(season=season, width=1_024)
    largest, state = 0, Drifting()
    feature = still(24 * 5, per_block=24, width=1_024)
    for start in range(0, len(feature), 4):
        state, _ = seen(feature[start : start + 4], under, state, start)
        largest = max(largest, len(state.model_dump_json()))
    assert state.features.is_whole
    assert largest < 80_000  # and nonconformities of 512 blocks, 10 kB, and as many scores


def test_the_watched_features_are_the_most_important_and_those_that_carry_most_count() -> None:
    assert most_important((0.1, 0.0, 0.6, 0.3), 4, 2) == (2, 3)
    assert most_important((), 4, 2) == (0, 1)
    assert important((0.05, 0.0, 0.6, 0.35), 4) == {2, 3}
    assert important((0.0, 0.0), 2) == important((), 2) == {0, 1}


def test_blocks_with_few_rows_are_one_with_what_follows() -> None:
    state, noticed = seen(still(400, per_block=7))
    assert noticed == ()
    assert len(state.scores.values) == 400 * 7 // 21


def test_rows_of_before_another_world_do_not_count_in_it() -> None:
    state, _ = seen(still(50))
    anew = state.again(60 * BLOCK_MS)
    assert (anew.open_ms, anew.features.watched) == (state.open_ms, ())
    after, _ = seen(still(20), surface(), anew, 50)
    assert len(after.scores.values) == 10
    assert json.loads(after.model_dump_json())["since_ms"] == 60 * BLOCK_MS


def test_a_layer_is_quiet_for_thirty_blocks_after_it_spoke() -> None:
    assert may_tell(None, 0, BLOCK_MS)
    assert not may_tell(5 * BLOCK_MS, 34 * BLOCK_MS, BLOCK_MS)
    assert may_tell(5 * BLOCK_MS, 35 * BLOCK_MS, BLOCK_MS)


def test_a_loss_that_rises_beyond_its_part_of_the_season_is_seen_soon() -> None:
    season, blocks = 48, 48 * 6
    rng = np.random.default_rng(7)
    loss = 0.2 + 0.08 * np.sin(2 * np.pi * np.arange(blocks) / season)
    loss += 0.01 * rng.standard_normal(blocks)
    loss[season * 4 :] += 0.05
    time_ms = times(blocks, 20)
    score = np.repeat(np.sqrt(loss), 20)
    rows = scored(time_ms, np.zeros(len(time_ms)), {"active": score})
    found = of_kind(folded(rows, under=design(season_ms=season * BLOCK_MS))[1], evaluation.Drifted)
    assert found[0].detail.startswith("the mean loss of a block, less what is usual then, rose")
    assert 0 < found[0].at_ms // BLOCK_MS - season * 4 <= 80
    assert len(found) == 1
