"""The `flyball` command on a stack that runs, as an operator uses it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.loop.driving import write_history, write_spec

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("cli")]
FLYBALL = str(Path(sys.executable).with_name("flyball"))
ROOT = Path(__file__).parents[2]
SUMMARY = {
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
    "decisions_digest",
    "latency_ms",
    "wall_s",
    "closes",
    "cpu_s",
    "models",
    "prequential",
    "promotions",
    "rollbacks",
}


def flyball(*words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FLYBALL, *words], capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT
    )


@contextmanager
def up(home: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`flyball up` until the block ends; gives the process and what it said."""
    process = subprocess.Popen(
        [FLYBALL, "up", "--home", str(home)], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    said: list[str] = []
    assert process.stderr
    try:
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith(f"  {FLYBALL} apply"):
                break
        else:
            pytest.fail(f"up ended by itself: {said}")
        yield process, said
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    home = tmp_path_factory.mktemp("up") / "home"
    with up(home) as (_, said):
        yield home, said


@pytest.fixture
def home(stack: tuple[Path, list[str]]) -> str:
    return str(stack[0])


def test_the_line_that_up_prints_publishes_a_first_metric_and_shows_its_verdict(
    stack: tuple[Path, list[str]],
) -> None:
    _, said = stack
    line = said[-1].strip()
    assert line.startswith(f"{FLYBALL} apply")
    found = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.returncode == 0, found.stderr
    assert "Pipeline congestion: " in found.stdout
    assert "cell-1: score 0." in found.stdout
    said_of_it = ("clear", "withhold")  # one of twenty is left alone at random
    assert any(f"proposes offload: {verdict}" in found.stdout for verdict in said_of_it)


def test_a_report_says_what_became_of_it(stack: tuple[Path, list[str]], home: str) -> None:
    assert flyball("apply", "-f", "pipelines/ran.yaml", "--home", home).returncode == 0
    found = flyball("publish", "ran", "cell-9", "RRU.PrbTotDl=5", "--home", home)
    assert "warming up: decides from row 8 of an element on" in found.stdout
    found = flyball("publish", "ran", "cell-9", "RRU.PrbTotDl=500", "--home", home)
    assert "quarantined: out-of-range:RRU.PrbTotDl" in found.stdout
    found = flyball("publish", "ran", "cell-9", "RRU.Prb=5", "--home", home, "--json")
    outcome = json.loads(found.stdout)["congestion"]
    assert outcome["outcome"] == "quarantined"
    assert "unknown-metric" in outcome["reasons"][0]
    found = flyball("publish", "nobody", "cell-9", "load=5", "--home", home)
    assert found.returncode == 2
    assert "no applied pipeline that reads it" in found.stderr


def test_applying_twice_changes_nothing(home: str) -> None:
    flyball("apply", "-f", "pipelines/host.yaml", "--home", home)
    found = flyball("apply", "-f", "pipelines/host.yaml", "--home", home)
    assert found.returncode == 0
    assert found.stdout.count("unchanged") == 2


def test_this_machine_is_a_source(home: str) -> None:
    assert flyball("apply", "-f", "pipelines/host.yaml", "--home", home).returncode == 0
    found = flyball("watch-host", "--rounds", "2", "--home", home)
    assert found.returncode == 0, found.stderr
    assert int(found.stdout.split()[0]) > 1
    found = flyball("audit", "busy", "--json", "--patience", "20", "--home", home)
    account = json.loads(found.stdout)["busy"]
    assert found.returncode == 0, account
    assert account["rows_in"] > 1
    assert account["quarantined"] == 0


def test_a_history_is_replayed_on_a_running_stack_and_followed(tmp_path: Path, home: str) -> None:
    spec, history = write_spec(tmp_path, "played"), tmp_path / "history.csv"
    rows = write_history(history, elements=10, seconds=60)
    found = flyball("replay", "--spec", str(spec), "--csv", str(history), "--json", "--home", home)
    assert found.returncode == 0, found.stderr
    summary = json.loads(found.stdout)
    assert set(summary) == SUMMARY
    assert summary["rows_in"] == rows
    assert (summary["lost"], summary["duplicated"]) == (0, 0)
    assert summary["quarantined"] > 0
    assert summary["actions"] > 0
    found = flyball("tail", "actions.played.*", "--all", "--count", "1", "--home", home)
    assert '"action":"offload"' in found.stdout
    found = flyball("audit", "played", "--home", home)
    assert found.returncode == 0, found.stdout
    assert "the account closes" in found.stdout


def test_a_history_can_be_replayed_at_its_own_pace(tmp_path: Path, home: str) -> None:
    spec, history = write_spec(tmp_path, "paced"), tmp_path / "history.csv"
    rows = write_history(history, elements=5, seconds=20)
    words = ("--speed", "20", "--json", "--home", home)
    found = flyball("replay", "--spec", str(spec), "--csv", str(history), *words)
    assert found.returncode == 0, found.stderr
    summary = json.loads(found.stdout)
    assert summary["rows_in"] == rows
    assert summary["wall_s"] >= 0.9  # nineteen seconds of event time


def test_status_shows_parts_and_the_model_on_the_seat(home: str) -> None:
    flyball("apply", "-f", "pipelines/ran.yaml", "--home", home)
    flyball("publish", "ran", "cell-5", "RRU.PrbTotDl=5", "--home", home)
    found = json.loads(flyball("status", "--json", "--home", home).stdout)
    assert {"nats", "s3", "ingest", "inference", "risk"} <= set(found["parts"])
    (pipeline,) = [p for p in found["pipelines"] if p["pipeline"] == "congestion"]
    assert (pipeline["trainer"], pipeline["epoch"]) == ("baseline", 1)
    assert "congestion" in flyball("status", "--home", home).stdout


def test_a_second_up_on_the_same_home_says_who_runs_it(home: str) -> None:
    found = flyball("up", "--home", home)
    assert found.returncode == 1
    assert "already runs" in found.stderr
