"""A target of several classes goes through the whole loop, with every kind of trainer beside it."""

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.loop.test_lockstep import replayed

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("several-classes")]

SECONDS = 1_500
CLASSES = ("calm", "busy", "jam")
KINDS = ("lightgbm", "logistic", "histogram", "forest", "mlp")
SPEC = """\
apiVersion: flyball/v1
kind: Source
metadata: {name: road}
spec:
  interval: 1s
  max_lateness: 0s
  season: 0s
  metrics:
    - {name: cars, unit: "1", range: [0, 200]}
    - {name: speed, unit: km/h, range: [0, 200]}
  csv:
    truth: {column: state, codes: {calm: 0, busy: 1, jam: 2}}
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: road}
spec:
  source: road
  features:
    - {metric: "*", windows: [4], aggregates: [last, mean]}
  warm_up_rows: 1
  target: {task: multiclass, kind: feedback, horizon: 2s, classes: [calm, busy, jam]}
  trainers:
TRAINERS
  promotion:
    block: 10s
    refresh: {gate_rows: 200, not_worse_by: 0.02}
    canary: [100]
    budgets: {latency_p99_ms: 50}
  decisions:
    - {action: divert, label: jam, score_at_least: 0.7, cooldown: 5s}
  risk: {control_share: 0.5, budgets: {actions_per_minute: 1000}}
"""
PARAMETERS = {
    "lightgbm": "{n_estimators: 20}",
    "logistic": "{}",
    "histogram": "{max_iter: 20}",
    "forest": "{n_estimators: 20, max_depth: 6}",
    "mlp": "{hidden_units: 8, max_iter: 40}",
}


def write(path: Path) -> int:
    """Two lanes; what comes next follows from cars and speed, with some noise."""
    chance, at, rows = random.Random(7), datetime(2026, 1, 1, tzinfo=UTC), 0
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("timestamp", "element", "cars", "speed", "state"))
        for second in range(SECONDS):
            for lane in ("left", "right"):
                cars, speed = chance.uniform(0, 100), chance.uniform(20, 120)
                crowd = cars - 0.5 * speed + chance.gauss(0, 8)
                state = CLASSES[(crowd > -5) + (crowd > 30)]
                time = (at + timedelta(seconds=second)).isoformat()
                out.writerow((time, lane, f"{cars:.3f}", f"{speed:.3f}", state))
                rows += 1
    return rows


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("road")
    trainers = "\n".join(
        f"    - {{name: {kind}, kind: {kind}, window: 1h, max_rows: 5000, retrain_every: 5min, "
        f"parameters: {PARAMETERS[kind]}}}"
        for kind in KINDS
    )
    spec, data = folder / "road.yaml", folder / "road.csv"
    spec.write_text(SPEC.replace("TRAINERS", trainers))
    rows = write(data)
    played = replayed(spec, data, cores=2, delay_ms=0)
    assert played["rows_in"] == rows
    return played


def test_every_kind_of_trainer_delivers_models_that_are_admitted(found: dict[str, Any]) -> None:
    stages = {model["trainer"]: model["stage"] for model in found["models"]}
    assert set(stages) == {"baseline", *KINDS}
    assert "refused" not in {model["stage"] for model in found["models"]}


def test_a_learnt_model_takes_the_seat_by_evidence_and_is_better_than_the_guess(
    found: dict[str, Any],
) -> None:
    figures = found["prequential"]
    assert found["promotions"]["successions"] >= 1
    assert found["lost"] == found["duplicated"] == 0
    assert figures["metric"] == "brier"
    assert figures["value"] < figures["baseline"]["persistence"]["value"]
    assert figures["accuracy"] > 0.6


def test_the_rule_of_one_class_acts(found: dict[str, Any]) -> None:
    assert found["actions"] > 0
