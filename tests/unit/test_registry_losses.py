"""Row losses, the scale of a regression, and what a design refuses."""

import dataclasses
import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from tests.unit.evidence_rows import design, scored

from flyball_registry.evidence.design import DesignError
from flyball_registry.evidence.losses import errors, saturate
from flyball_registry.evidence.scales import MAX_POOL, Scale

INF, NAN = math.inf, math.nan


def test_the_brier_loss_by_hand() -> None:
    label, score = np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 0.8, 0.5])
    assert saturate(errors("binary", label, score), 1.0) == pytest.approx([0, 1, 0.04, 0.25])


def test_the_brier_loss_of_several_classes_is_half_the_squared_distance_by_hand() -> None:
    label = np.array([0.0, 2, 1, 7])
    score = np.array([[1.0, 0, 0], [1, 0, 0], [0.2, 0.5, 0.3], [0, 0, 1]])
    loss = saturate(errors("multiclass", label, score), 1.0)
    assert loss == pytest.approx([0, 1, (0.04 + 0.25 + 0.09) / 2, 1])
    none, infinite = np.full((1, 3), NAN), np.full((1, 3), INF)
    assert math.isnan(errors("multiclass", label[:1], none)[0])
    assert saturate(errors("multiclass", label[:1], infinite), 1.0).tolist() == [1.0]


def test_the_absolute_error_is_scaled_and_saturates() -> None:
    label, score = np.array([0.0, 0, 0, 10]), np.array([1.0, 4, 9, 8])
    loss = saturate(errors("regression", label, score), 4.0)
    assert loss == pytest.approx([0.25, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_model_without_a_finite_number_has_the_largest_loss_and_an_absent_one_has_none(
    task: Any,
) -> None:
    loss = saturate(errors(task, np.array([1.0, 1, 1]), np.array([INF, -INF, NAN])), 2.0)
    assert loss[:2].tolist() == [1.0, 1.0]
    assert math.isnan(loss[2])


def test_a_scale_is_the_99th_percentile_of_the_errors_of_five_blocks() -> None:
    scale = Scale.of("regression")
    for block in range(5):
        assert scale.reference is None
        scale = scale.gather(np.arange(block, 250, 5) * 1.0, np.full(50, INF)).close()
    assert scale.reference == 247.0  # the errors were 0 to 249, and infinite ones do not count
    assert scale.pool == ()


def test_a_scale_waits_for_enough_errors() -> None:
    scale = Scale.of("regression")
    for _ in range(19):
        scale = scale.gather(np.ones(10)).close()
    assert scale.reference is None
    assert scale.gather(np.ones(10)).close().reference == 1.0


def test_the_pool_of_a_scale_is_bounded_and_does_not_depend_on_cuts() -> None:
    values = np.random.default_rng(1).exponential(size=5_000)
    whole = Scale.of("regression").gather(values)
    pieces = Scale.of("regression")
    for piece in np.array_split(values, 37):
        pieces = pieces.gather(piece)
    assert whole == pieces
    assert len(whole.pool) < MAX_POOL
    reference = np.quantile(whole.pool, 0.9)
    assert reference == pytest.approx(np.quantile(values, 0.9), rel=0.2)


REFUSED = [
    ({"task": "multiclass"}, "0 classes for multiclass"),
    ({"classes": 3}, "3 classes for binary"),
    ({"block_ms": 499}, "under two horizons; use 1000 ms"),
    ({"alpha": 0.0}, "alpha 0.0 is not between 0 and 1"),
    ({"margin": 1.0}, "margin 1.0 is not in"),
    ({"season_ms": -1}, "cannot be negative"),
    ({"false_alarm_every_days": 0.0}, "one false alarm in 0.0 days"),
    ({"min_block_rows": 0}, "at least one labelled row"),
    ({"max_comparisons": 17}, "1 to 16 are possible"),
    ({"slices": tuple("abcdefghi")}, "9 slice labels; at most 8"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED)
def test_a_design_that_cannot_be_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(DesignError, match=words):
        design(**given)


def test_a_design_that_was_frozen_before_there_were_classes_keeps_its_digest() -> None:
    before = dataclasses.asdict(design())
    del before["classes"]
    plain = json.dumps(before, sort_keys=True, separators=(",", ":"))
    assert design().digest() == hashlib.sha256(plain.encode()).hexdigest()
    plans = [design(task="multiclass", classes=k).digest() for k in (3, 4)]
    assert len({design().digest(), *plans}) == 3


def test_equal_designs_have_equal_digests_and_each_field_counts() -> None:
    assert design().digest() == design().digest()
    others = ({"margin": 0.1}, {"alpha": 0.1}, {"season_ms": 9}, {"slices": ("site",)})
    assert len({design(**given).digest() for given in ({}, *others)}) == 5


def test_columns_that_do_not_fit_are_refused_by_name() -> None:
    time_ms, label = np.arange(3), np.zeros(3)
    with pytest.raises(DesignError, match="score of a has 2 rows, time_ms has 3"):
        scored(time_ms, label, {"active": label, "a": label[:2]})
    with pytest.raises(DesignError, match="without 'active'"):
        scored(time_ms, label, {"a": label})
    with pytest.raises(DesignError, match="weight is not a number above 0"):
        scored(time_ms, label, {"active": label}, weight=np.array([1.0, 0, 1]))
