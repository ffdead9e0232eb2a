"""How far trainers say that they are."""

from datetime import UTC, datetime

import numpy as np
import pytest
from tests.broker import learning

from flyball_proto.columns import I64
from flyball_proto.events import ModelTrained
from flyball_proto.progress import TrainerProgress
from flyball_trainer.learning.contract import contract
from flyball_trainer.learning.pace import Pace
from flyball_trainer.learning.progress import RATE_POINTS, Delivered, Now, Rate, told
from flyball_trainer.learning.schedule import trained
from flyball_trainer.learning.steps import Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = learning.catalogue("p", learning.RECENT)
CONTRACT = contract(FOUND.pipelines["p"], FOUND.sources["p"])


def after(rows: int, pace: Pace, *, first_ms: int = 0) -> Pace:
    """One usable row a second; each is known a second later."""
    for time_ms in range(first_ms, first_ms + 1000 * rows, 1000):
        times = np.array([time_ms], I64)
        pace.know(times + learning.HORIZON_MS, times, np.ones(1, bool))
    return pace


def said(pace: Pace, delivered: Delivered | None = None, **steps: Step) -> TrainerProgress:
    delivered = delivered or Delivered()
    now = Now(NOW, pace.now_ms, pace.rate.rows_per_s, steps, {"recent": "too little"}, delivered)
    return told(CONTRACT, CONTRACT.trainers[0], pace.progress("recent"), now)


def test_a_trainer_that_never_trained_says_how_many_rows_over_which_time_it_needs() -> None:
    found = said(after(40, Pace({})))
    assert (found.state, found.rows, found.rows_needed) == ("gathering", 40, 100)
    assert (found.span_ms, found.span_needed_ms) == (39_000, 10_000)
    assert (found.rows_per_s, found.now_ms, found.due_ms) == (1.0, 40_000, 0)
    assert found.failed == "too little"


def test_a_trainer_that_has_trained_says_when_it_is_due_and_how_many_rows_are_new() -> None:
    pace = after(30, Pace({"recent": trained(100_000)}), first_ms=100_000)
    delivered = Delivered()
    for digest in ("d1", "d2"):
        delivered.note(
            ModelTrained(
                pipeline="p", at=NOW, digest=digest, manifest_digest="m", trainer="recent",
                feature_digest=CONTRACT.feature_digest, size_bytes=1,
            )
        )  # fmt: skip
    found = said(pace, delivered)
    assert (found.state, found.rows, found.rows_needed) == ("waiting", 30, 20)
    assert (found.trained_through_ms, found.due_ms) == (100_000, 200_000)
    assert (found.models, found.last_digest) == (2, "d2")


def test_a_training_that_cost_a_fit_and_failed_is_tried_again_after_the_cadence() -> None:
    pace = after(120, Pace({}))
    pace.begin("recent")
    pace.end("recent", "failed", pace.now_ms)
    found = said(pace)
    assert (found.state, found.due_ms) == ("gathering", 120_000 + 100_000)


@pytest.mark.parametrize("step", ["queued", "fitting", "publishing"])
def test_what_is_under_way_is_the_state(step: Step) -> None:
    assert said(after(120, Pace({})), recent=step).state == step


def test_the_pace_is_that_of_the_newest_instants_alone() -> None:
    rate = Rate()
    assert rate.rows_per_s == 0
    rate.know(1_000, 5)
    assert rate.rows_per_s == 0
    for second in range(2, 200):
        rate.know(1_000 * second, 4)
        rate.know(1_000 * second, 3)
    assert rate.rows_per_s == 7
    for second in range(200, 200 + RATE_POINTS):
        rate.know(1_000 * second, 0)
    assert rate.rows_per_s == 0
