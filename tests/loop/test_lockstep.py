"""The loop closes in lockstep: models are trained, take the seat and are refreshed while a history
plays, and what is decided depends on nothing but the history."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.loop.driving import LEARNING, write_learnable

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("lockstep")]

SECONDS, CHANGE_S = 2_400, 1_500
TIMEOUT_S = 300
KEYS = {
    "rows_in",
    "quarantined",
    "doubles",
    "late",
    "warming_up",
    "decisions",
    "verdicts",
    "actions",
    "lost",
    "duplicated",
    "promotions",
    "rollbacks",
    "models",
    "prequential",
    "latency_ms",
    "decisions_digest",
    "wall_s",
}


def replayed(spec: Path, csv: Path, *, cores: int, delay_ms: int) -> dict[str, Any]:
    """The object of one replay on a stack of its own."""
    command = [str(Path(sys.executable).with_name("flyball")), "replay", "--speed", "max", "--json"]
    command += ["--spec", str(spec), "--csv", str(csv)]
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    pinned = ["taskset", "--cpu-list", ",".join(map(str, chosen)), *command]
    found = subprocess.run(
        pinned,
        env={**os.environ, "FLYBALL_TRAINER_DELAY_MS_MAX": str(delay_ms)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    assert found.stdout.count("\n") == 1, found.stdout
    value: dict[str, Any] = json.loads(found.stdout)
    return value


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    folder = tmp_path_factory.mktemp("history")
    spec, csv = folder / "plant.yaml", folder / "plant.csv"
    spec.write_text(LEARNING)
    return spec, csv, write_learnable(csv, seconds=SECONDS, change_s=CHANGE_S)


@pytest.fixture(scope="module")
def found(history: tuple[Path, Path, int]) -> list[dict[str, Any]]:
    """Twice the same, with other numbers of cores and with a trainer that dawdles."""
    spec, csv, _ = history
    ways = [{"cores": 2, "delay_ms": 0}, {"cores": 1, "delay_ms": 300}]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda way: replayed(spec, csv, **way), ways))


def test_what_is_decided_does_not_depend_on_cores_or_on_how_long_training_takes(found) -> None:
    assert len({f["decisions_digest"] for f in found}) == 1
    assert len({json.dumps(f["promotions"]) for f in found}) == 1
    models = [[(m["model"], m["stage"]) for m in f["models"]] for f in found]
    assert models[0] == models[1]


def test_the_object_says_everything(found, history) -> None:
    one = found[0]
    assert one.keys() >= KEYS
    assert one["rows_in"] == history[2]
    assert one["lost"] == one["duplicated"] == 0
    assert one["decisions"] + one["warming_up"] == one["rows_in"]
    assert one["prequential"]["metric"] == "brier"
    assert one["latency_ms"].keys() == {"p50", "p99"}


def test_a_learnt_model_takes_the_seat_and_is_refreshed(found) -> None:
    one = found[0]
    assert one["promotions"]["successions"] >= 1
    assert one["promotions"]["refreshes"] >= 1
    active = [m for m in one["models"] if m["stage"] == "active"]
    assert len(active) == 1
    assert active[0]["trainer"] in {"trees", "linear"}
    assert active[0]["trained_through"] > "2026-01-01T00:10"


def test_the_loop_is_better_than_its_own_first_model(found) -> None:
    prequential = found[0]["prequential"]
    assert prequential["value"] < prequential["baseline"]["first_model"]["value"]


def test_without_a_change_nothing_is_rolled_back(history, tmp_path: Path) -> None:
    csv = tmp_path / "still.csv"
    write_learnable(csv, seconds=1_200)
    found = replayed(history[0], csv, cores=2, delay_ms=0)
    assert found["rollbacks"] == 0
    assert found["promotions"]["successions"] == 1
