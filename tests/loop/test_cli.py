"""The `flyball` command on a stack that runs, as an operator uses it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.loop.driving import write_history, write_spec
from tests.unit.cli_run import Ended
from tests.unit.cli_run import flyball as in_process

from flyball_local.embedded.stack import SERVICES

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("cli")]
FLYBALL = str(Path(sys.executable).with_name("flyball"))
ROOT = Path(__file__).parents[2]
HELD = """\
apiVersion: flyball/v1
kind: Source
metadata: {name: held}
spec:
  interval: 1s
  metrics: [{name: load, range: [0, 100]}]
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: held}
spec:
  source: held
  features: [{metric: load, windows: [4]}]
  warm_up_rows: 2
  target: {task: binary, expression: "max(load) > 90", horizon: 5s}
  decisions: [{action: shed, score_at_least: 0, cooldown: 60s}]
  risk:
    baseline_acts: true
    boundaries: [{name: ask, when: "true", verdict: hold}]
    hold: {expires: 1h}
"""
"""Every decision of this pipeline waits for a person."""
SUMMARY = {
    "rows_in",
    "refused",
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


def flyball(*words: str) -> Ended:
    return in_process(*words, cwd=ROOT)


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


@pytest.fixture(scope="module")
def refused(stack: tuple[Path, list[str]]) -> int:
    """The METRICS sequence of a report that was refused."""
    home = str(stack[0])
    flyball("apply", "-f", "pipelines/ran.yaml", "--home", home)
    flyball("publish", "ran", "cell-q", "RRU.PrbTotDl=500", "--home", home)
    words = ("quarantine", "list", "ran", "--limit", "1", "--json", "--home", home)
    sequence: int = json.loads(flyball(*words).stdout)["reports"][0]["sequence"]
    return sequence


def at(home: str) -> tuple[str, str]:
    return "--home", home


def complete(words: str) -> list[str]:
    """What the shell offers for the last word."""
    variables = {"_FLYBALL_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment = os.environ | variables | {"COMP_CWORD": str(len(words.split(" ")) - 1)}
    return subprocess.run(
        [FLYBALL], capture_output=True, text=True, env=environment, check=False
    ).stdout.split()


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
    said_of_it = (
        "notify",
        "withhold",
    )  # nothing is proven yet; one of twenty is left alone at random
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
    assert "offload on " in found.stdout
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


def test_status_shows_how_parts_are_who_answers_and_what_is_awaited(home: str) -> None:
    flyball("apply", "-f", "pipelines/ran.yaml", "--home", home)
    flyball("publish", "ran", "cell-5", "RRU.PrbTotDl=5", "--home", home)
    found = json.loads(flyball("status", "--json", "--home", home).stdout)
    assert set(found["parts"]) == {"nats", "redis", "s3", *SERVICES}
    for name in SERVICES:
        assert found["parts"][name]["state"] == "ready", found["parts"][name]
    for name in ("ingest", "inference", "risk"):
        assert found["parts"][name]["rows_per_s"] is not None
    (pipeline,) = [p for p in found["pipelines"] if p["pipeline"] == "congestion"]
    assert (pipeline["trainer"], pipeline["epoch"]) == ("baseline", 1)
    assert pipeline["awaited"]
    plain = flyball("status", "--home", home).stdout
    assert "seat     baseline" in plain
    assert "awaited  " in plain


def test_a_person_answers_holds_and_stops_and_resumes_a_pipeline(tmp_path: Path, home: str) -> None:
    spec = tmp_path / "held.yaml"
    spec.write_text(HELD)
    assert flyball("apply", "-f", str(spec), "--why", "a try", *at(home)).returncode == 0
    for element in ("a", "b", "c"):
        report = ("held", element, "load=99", "--rows", "4", "--home", home)
        assert ": hold" in flyball("publish", *report).stdout
    found = json.loads(flyball("holds", "list", "--pipeline", "held", "--json", *at(home)).stdout)
    ids = {hold["element"]: hold["id"] for hold in found["holds"]}
    assert set(ids) == {"a", "b", "c"}
    assert "shed on a" in flyball("holds", "show", ids["a"], *at(home)).stdout
    assert ids["a"] in complete(f"flyball holds approve --home {home} held.")

    said = flyball("holds", "approve", ids["a"], "--as", "ann", "--why", "a is hot", *at(home))
    assert (said.returncode, said.stdout) == (0, f"{ids['a']}: shed on a approved, sent\n"), said
    again = flyball("holds", "deny", ids["a"], *at(home))
    assert (again.returncode, "ann" in again.stderr) == (1, True)
    unasked = flyball("holds", "deny", "--all", "--element", "b", *at(home))
    assert (unasked.returncode, "say --yes" in unasked.stderr) == (2, True)
    denied = flyball("holds", "deny", "--all", "--element", "b", "--yes", *at(home))
    assert (denied.returncode, denied.stdout) == (0, f"{ids['b']}: shed on b denied, not sent\n")
    mixed = flyball("holds", "deny", "held.999999.0", ids["c"], *at(home))
    assert (mixed.returncode, "flyball holds list" in mixed.stderr) == (1, True)
    assert "shed on c denied" in mixed.stdout
    sent = flyball("tail", "actions.held.*", "--all", "--count", "1", *at(home)).stdout
    assert "shed on a: score" in sent
    assert "approved" in sent

    traced = flyball("lineage", ids["a"], *at(home)).stdout
    assert "hold      approved by ann: a is hot" in traced
    assert "action    shed was sent to a" in traced
    assert "active    seat-zero" in traced
    trail = json.loads(flyball("lineage", ids["a"], "--json", *at(home)).stdout)
    assert trail["manifest"]["digest"] == trail["decision"]["model"] == trail["model"]
    of_model = flyball("lineage", trail["model"][:8], *at(home)).stdout
    assert ("decision" not in of_model, "signed    by " in of_model) == (True, True)
    assert "lead time" in flyball("dora", "held", *at(home)).stdout

    story = flyball("explain", ids["a"], *at(home)).stdout
    assert "approved by ann" in story
    assert "chained   verdicts.held.0" in story
    checked = flyball("audit", "verify", "--json", *at(home))
    assert json.loads(checked.stdout)["problems"] == []
    exported = str(tmp_path / "exported")
    assert flyball("audit", "export", exported, *at(home)).returncode == 0
    assert flyball("audit", "verify", exported, *at(home)).stdout.endswith("the record holds\n")
    assert "approved by ann" in flyball("explain", ids["a"], "--from", exported).stdout

    stopped = flyball("stop", "held", "--as", "ann", "--why", "repair", *at(home))
    assert stopped.stdout.startswith("held is stopped, by ann")
    assert "as it was before" in flyball("stop", "held", *at(home)).stdout
    assert "stopped  by ann" in flyball("status", *at(home)).stdout
    report = flyball("publish", "held", "d", "load=99", "--rows", "4", *at(home))
    assert "stopped by ann: repair" in report.stdout
    assert flyball("resume", "held", *at(home)).stdout.startswith("held is running")
    words = ("tail", "audit", "events", "--all", "--count", "1", "--json")
    assert json.loads(flyball(*words, *at(home)).stdout)["words"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("stop nobody", 2, "pipeline 'nobody': found"),
        ("resume nobody", 2, "pipeline 'nobody': found"),
        ("models pin nobody --why x", 2, "pipeline 'nobody': found"),
        ("models list --pipeline nobody", 2, "pipeline 'nobody': found"),
        ("models show zz", 2, "flyball models list"),
        ("models promote zz --why x", 2, "flyball models list"),
        ("models rollback congestion --why x", 1, "flyball models promote"),
        ("holds list --pipeline nobody", 2, "pipeline 'nobody': found"),
        ("holds show nobody.1.0", 2, "flyball holds list"),
        ("quarantine list nobody", 2, "of these was: "),
        ("quarantine show ran 999999", 1, "flyball quarantine list ran"),
        ("audit nobody", 2, "pipeline 'nobody': found"),
        ("lineage nobody.1.0", 1, "flyball tail 'verdicts.nobody.>'"),
        ("reproduce zz", 2, "flyball models list"),
        ("models card zz", 2, "flyball models list"),
        ("lineage zz", 2, "flyball models list"),
        ("lineage abcdef", 1, "flyball models list"),
        ("dora nobody", 2, "pipeline 'nobody': found"),
    ],
)
def test_a_wrong_name_is_answered_in_one_sentence_with_the_next_step(
    home: str, refused: int, words: str, code: int, says: str
) -> None:
    found = flyball(*words.split(), *at(home))
    assert (found.returncode, says in found.stderr) == (code, True), found
    assert len(found.stderr.splitlines()) == 1
    assert "Traceback" not in found.stderr


def test_refused_reports_are_listed_shown_and_published_again(home: str, refused: int) -> None:
    reports = json.loads(flyball("quarantine", "list", "ran", "--json", *at(home)).stdout)
    (report,) = [r for r in reports["reports"] if r["sequence"] == refused]
    assert (report["element"], report["codes"]) == ("cell-q", ["out-of-range"])
    shown = flyball("quarantine", "show", "ran", str(refused), *at(home))
    assert json.loads(shown.stdout)["element"] == "cell-q"
    assert "out-of-range:RRU.PrbTotDl" in shown.stderr
    again = flyball("quarantine", "retry", "ran", str(refused), *at(home))
    assert again.returncode == 1
    assert f"{refused} of cell-q: published again as " in again.stdout
    assert "quarantined: out-of-range:RRU.PrbTotDl" in again.stdout


def test_models_are_listed_shown_and_pinned(home: str, refused: int) -> None:
    words = ("models", "list", "--pipeline", "congestion")
    (model,) = json.loads(flyball(*words, "--json", *at(home)).stdout)["models"]
    assert (model["trainer"], model["stage"]) == ("baseline", "active")
    shown = flyball("models", "show", model["digest"][:6], *at(home)).stdout
    assert f"model     {model['digest']}" in shown
    assert "passed admission" in shown
    twice = flyball("models", "compare", *[model["digest"][:6]] * 2, *at(home))
    assert "was given twice; give two models" in twice.stderr
    why = ("--why", "x", *at(home))
    assert ", pinned" in flyball("models", "pin", "congestion", *why).stdout
    assert ", pinned" not in flyball("models", "unpin", "congestion", *why).stdout
    assert "congestion" in complete(f"flyball stop --home {home} c")


def test_a_model_is_made_again_and_its_card_is_read(home: str, refused: int) -> None:
    words = ("models", "list", "--pipeline", "congestion")
    (model,) = json.loads(flyball(*words, "--json", *at(home)).stdout)["models"]
    again = flyball("reproduce", model["digest"][:8], *at(home))
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"holds: {model['digest'][:8]} written again is the same")
    found = flyball("reproduce", model["digest"][:8], "--json", *at(home))
    assert json.loads(found.stdout)["again"] == model["digest"]
    card = flyball("models", "card", model["digest"][:8], *at(home)).stdout
    assert card.startswith("# congestion / baseline")
    said = json.loads(flyball("models", "card", model["digest"][:8], "--json", *at(home)).stdout)
    assert said["model"]["digest"] == model["digest"]


def test_up_prints_a_login_that_works_once_and_people_are_let_in_and_out(
    stack: tuple[Path, list[str]], home: str
) -> None:
    (page,) = [line.split()[1] for line in stack[1] if line.startswith("page ")]
    with httpx.Client() as browser:
        assert browser.get(page).is_redirect
        assert "flyball_session" in browser.cookies
    assert httpx.get(page).is_client_error
    token = flyball("users", "token", "ann", "--role", "engineer", *at(home)).stdout.strip()
    address = page.split("/login", 1)[0] + "/v1/pipelines"
    entering = {"Authorization": f"Bearer {token}"}
    assert httpx.get(address, headers=entering).status_code == 200
    listed = flyball("users", "list", *at(home)).stdout
    assert "ann" in listed
    assert token not in listed
    assert flyball("users", "revoke", "ann", *at(home)).stdout == "ann: 1 ended\n"
    assert httpx.get(address, headers=entering).status_code == 401
    invited = flyball("users", "invite", "bob", "--role", "viewer", *at(home))
    assert invited.stdout.startswith(page.split("?", 1)[0])


def test_a_second_up_on_the_same_home_says_who_runs_it(home: str) -> None:
    found = flyball("up", "--home", home)
    assert found.returncode == 1
    assert "already runs" in found.stderr


def test_a_changed_policy_is_tried_on_what_was_decided(tmp_path: Path, home: str) -> None:
    spec, name = tmp_path / "tried.yaml", ("tried", "--home", home)
    text = HELD.replace("{name: held}", "{name: tried}").replace("source: held", "source: tried")
    spec.write_text(text)
    assert flyball("apply", "-f", str(spec), *at(home)).returncode == 0
    for element in ("a", "b"):
        flyball("publish", "tried", element, "load=99", "--rows", "3", *at(home))
    shown = flyball("policy", "show", *name)
    assert shown.returncode == 0, shown.stderr
    assert "boundary ask: hold when true" in shown.stdout
    same = flyball("policy", "test", "-f", str(spec), "--json", *at(home))
    assert same.returncode == 0, same.stderr
    counts = json.loads(same.stdout)
    assert (counts["changed"], counts["proposals"], counts["as_recorded"]) == (0, 4, 4)
    spec.write_text(text.replace("    boundaries: [", "    # boundaries: ["))
    looser = flyball("policy", "test", "-f", str(spec), *at(home))
    assert looser.returncode == 4
    assert "LOOSER" in looser.stdout
    assert looser.stdout.rstrip().endswith("something would become looser")
    spec.write_text(text.replace('"true"', "element.labels.site == 'x'"))
    refused = flyball("policy", "test", "-f", str(spec), *at(home))
    assert refused.returncode == 2
    assert "label 'site', which the source does not declare" in refused.stderr
    spec.write_text(text.replace("tried", "nobody"))
    assert (
        "pipeline 'nobody' is not applied"
        in flyball("policy", "test", "-f", str(spec), *at(home)).stderr
    )
