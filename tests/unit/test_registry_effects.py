"""The effect of an action: Given labels of two arms, I expect their difference with a true interval."""

import numpy as np
import pytest

from flyball_registry.evidence.effects import LEAST_BLOCKS, Arm, Arms


def test_the_difference_is_that_of_the_means():
    arms = Arms(
        withheld=Arm().add(np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1])),
        acted=Arm().add(np.array([0.0, 1.0]), np.array([0, 1])),
    )
    assert arms.difference == pytest.approx(0.5 - 2 / 3)
    assert arms.interval is None, f"fewer than {LEAST_BLOCKS} blocks say nothing of the spread"


def test_an_empty_arm_gives_no_difference():
    assert Arms(acted=Arm().add(np.array([1.0]), np.array([0]))).difference is None


def test_how_labels_are_cut_into_messages_changes_nothing():
    rng = np.random.default_rng(5)
    label = rng.random(300).round(3)
    block = np.sort(rng.integers(0, 30, 300))
    whole = Arm().add(label, block)
    cut = Arm()
    for part in np.split(np.arange(300), [7, 8, 110, 111, 290]):
        cut = cut.add(label[part], block[part])
    assert cut.variance == pytest.approx(whole.variance)
    assert (cut.rows, cut.blocks, cut.block) == (whole.rows, whole.blocks, whole.block)


def test_a_late_label_counts_in_the_open_block():
    arm = Arm().add(np.array([1.0]), np.array([5])).add(np.array([0.0]), np.array([2]))
    assert (arm.block, arm.open_rows, arm.mean) == (5, 2, 0.5)


def test_the_state_survives_json():
    arms = Arms(acted=Arm().add(np.arange(9.0), np.arange(9)))
    assert Arms.model_validate_json(arms.model_dump_json()) == arms


@pytest.mark.parametrize("together", [0.0, 0.6], ids=["independent", "whole blocks move together"])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(together):
    """400 runs; rows of a block share a part of their chance, which an interval on rows would miss."""
    rng, covered, runs, truth = np.random.default_rng(7), 0, 400, -0.3
    for _ in range(runs):
        arms = {}
        for arm, mean in (("withheld", 0.6), ("acted", 0.6 + truth)):
            common = rng.choice([-1.0, 1.0], 60) * together * 0.25
            block = np.repeat(np.arange(60), rng.integers(1, 12, 60))
            label = (rng.random(len(block)) < mean + common[block]).astype(float)
            arms[arm] = Arm().add(label, block)
        low, high = Arms(**arms).interval
        covered += low <= truth <= high
    assert 0.92 <= covered / runs <= 0.98
