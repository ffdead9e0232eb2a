"""The command line: what it prints, what it refuses, and with which exit code."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.unit.cli_run import flyball
from tests.unit.test_audit_ledger import verdicts

from flyball_kit.errors import PermanentError, TransientError
from flyball_local.audit import Account
from flyball_local.cli import app
from flyball_local.embedded.access import NotRunningError
from flyball_local.exits import exit_code, sentence
from flyball_local.invalid import InvalidInputError
from flyball_local.publish import judged, parse_values
from flyball_local.reference.cli import cli_commands
from flyball_local.showing.describing import describe
from flyball_local.showing.listing import table
from flyball_local.showing.tail import Followed, stream_of, subject_of
from flyball_local.showing.words import account_lines
from flyball_proto.columns import SkipReason, Verdict, encode_verdicts
from flyball_proto.spec import SpecError

FLYBALL = str(Path(sys.executable).with_name("flyball"))
PIPELINES = Path(__file__).parents[2] / "pipelines"


def process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FLYBALL, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("spec", ["ran.yaml", "host.yaml", "itu5g_energy.yaml"])
def test_ready_specifications_are_valid(spec: str) -> None:
    found = flyball("validate", "-f", str(PIPELINES / spec))
    assert (found.returncode, found.stderr) == (0, "")
    assert "valid" in found.stdout


def test_explain_fills_in_every_default() -> None:
    found = flyball("validate", "-f", str(PIPELINES / "ran.yaml"), "--explain")
    assert found.returncode == 0
    assert "max_future: 1min" in found.stdout or "max_future: 60s" in found.stdout


def test_a_wrong_specification_ends_with_2_and_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text((PIPELINES / "ran.yaml").read_text().replace("interval:", "intervall:"))
    found = flyball("validate", "-f", str(path))
    assert found.returncode == 2
    assert f"{path}:7:" in found.stderr
    assert "did you mean interval?" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("audit",),
        ("audit", "verify"),
        ("audit", "export", "exported"),
        ("explain", "congestion.1.0"),
        ("tail",),
        ("publish", "ran", "cell-1", "load=1"),
        ("apply", "-f", str(PIPELINES / "ran.yaml")),
        ("models", "list"),
        ("models", "compare", "1a", "9f"),
        ("holds", "list"),
        ("holds", "approve", "congestion.1.0"),
        ("holds", "deny", "--all", "--label", "site=s1", "--expect", "2"),
        ("reviews", "list"),
        ("reviews", "answer", "congestion.1.0", "wrong"),
        ("reviews", "summary", "congestion"),
        ("stop", "congestion"),
        ("resume", "congestion"),
        ("breaker", "reset", "congestion", "--why", "so"),
        ("autonomy", "list"),
        ("quarantine", "list", "ran"),
        ("users", "invite", "ann"),
    ],
)
def test_without_a_stack_a_command_ends_with_3_and_names_what_starts_one(
    words: Sequence[str], tmp_path: Path
) -> None:
    found = flyball(*words, "--home", str(tmp_path / "none"))
    assert found.returncode == 3
    assert "flyball up" in found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("replay", "--csv", "x.csv"), "check the path"),
        (("replay", "--csv", "x.csv", "--spec", str(PIPELINES / "ran.yaml")), "x.csv"),
        (("replay", "--csv", "x.csv", "--spec", "none.yaml"), "none.yaml"),
        (("replay", "--csv", "x", "--spec", "y", "--speed", "fast"), "--speed fast"),
        (("nonsense",), "nonsense"),
        (("tail", "metrics.>"), "valid first words: actions"),
        (("tail", "quarantine.ran"), "flyball quarantine list SOURCE"),
        (("holds", "approve"), "name ids, or --all"),
        (("holds", "deny", "congestion.1.0", "--all"), "name ids, or --all"),
        (("holds", "deny", "congestion.1.0", "--action", "offload"), "name ids, or --all"),
        (("holds", "approve", "congestion.1.0", "--expect", "1"), "name ids, or --all"),
        (("simulate", "--speed", "20"), "--speed 20 without --seconds"),
        (("holds", "deny", "--all", "--label", "site"), "found no NAME=VALUE"),
        (("holds", "deny", "--all", "--older-than", "soon"), "--older-than: "),
        (("holds", "deny", "congestion.1.0", "--code", "boredom"), "wrong-prediction"),
        (("stop", "congestion", "--why", "x" * 501), "--why: found 501 characters"),
        (("resume", "congestion", "--as", ""), "--as ''"),
        (("breaker", "reset", "congestion"), "--why is missing"),
        (("autonomy", "accept", "congestion"), "--why is missing"),
        (("users", "invite", "x" * 65), "found 65 characters"),
        (("users", "token", "ann", "--role", "king"), "king"),
        (("models", "rollback", "congestion"), "--why is missing"),
        (("quarantine", "retry", "ran", "0"), "greater than or equal to 1"),
        (("new", "spec", "--csv", "none.csv", "--target", "x"), "none.csv"),
    ],
)
def test_input_that_cannot_be_used_ends_with_2(
    words: Sequence[str], says: str, tmp_path: Path
) -> None:
    found = flyball(*words, cwd=tmp_path)
    assert found.returncode == 2
    assert says in found.stderr
    assert "Traceback" not in found.stderr


def test_help_lists_commands_as_one_meets_them_and_the_exit_codes_without_boxes() -> None:
    found = process("--help")
    assert found.returncode == 0
    lines = found.stdout.splitlines()
    commands = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line.strip()]
    assert commands[:6] == ["up", "demo", "apply", "validate", "new", "publish"]
    said = " ".join(found.stdout.split())
    assert "0 done, 1 a problem was found, 2 the input cannot be used, 3 no stack" in said
    assert found.stdout.isascii()


def test_trying_a_policy_says_what_its_exit_code_4_means() -> None:
    words = " ".join(process("policy", "test", "--help").stdout.split())
    assert "Exit code 4 says that something would become looser" in words
    assert "4 a policy would be looser" in " ".join(process("--help").stdout.split())


def test_every_command_has_a_short_help_with_an_example() -> None:
    without = []
    for command in cli_commands(app).values():
        own = command.found.callback.__module__ if command.found.callback else ""
        if command.is_group or own.endswith((".playing", ".specs")):
            continue
        words = (command.found.help or "").split("Example: ")
        if len(words) != 2 or not words[1].startswith(command.words):
            without.append(command.words)
        assert len(words[0].splitlines()[0]) <= 66, command.words
    assert without == []


def test_the_version_is_the_distributions() -> None:
    assert flyball("--version").stdout == f"flyball {version('flyball-local')}\n"


def completed(words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    count = len(words.split(" ")) - 1
    variables = {"_FLYBALL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [FLYBALL], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def test_commands_and_specifications_complete_and_without_a_stack_names_silently_do_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "ran.yaml").touch()
    (tmp_path / "rows.csv").touch()
    assert completed("flyball sta", tmp_path).stdout.split() == ["status"]
    assert completed("flyball apply -f r", tmp_path).stdout.split() == ["ran.yaml"]
    found = completed("flyball holds approve ", tmp_path)
    assert (found.stdout.strip(), found.stderr) == ("", "")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, flyball_local.cli\n"
        "heavy = {'nats', 'numpy', 'pydantic', 'faststream', 'onnxruntime', 'psutil', 'minio'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError((), ["x"]), 2),
        (InvalidInputError("x"), 2),
        (NotRunningError("x"), 3),
        (PermanentError("x"), 1),
        (TransientError("x"), 1),
        (ExceptionGroup("group", [InvalidInputError("x")]), 2),
        (KeyError("x"), 1),
    ],
)
def test_exit_codes_follow_the_kind_of_error(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_our_errors_speak_for_themselves_and_foreign_ones_are_named() -> None:
    assert sentence(PermanentError("the words")) == "the words"
    assert sentence(KeyError("k")).startswith("KeyError: ")


def test_an_account_that_does_not_close_says_so() -> None:
    closed = Account("p", rows_in=3, decisions=2, late=1, verdicts={"clear": 2})
    assert account_lines(closed)[-1] == "the account closes"
    assert account_lines(closed)[0].startswith("rows in    3 = 2 decisions + 0 quarantined")
    open_ = Account("p", rows_in=3, decisions=2, lost=1, problems=("report 7: lost",))
    assert account_lines(open_)[-1] == "THE ACCOUNT DOES NOT CLOSE"
    assert any("report 7: lost" in line for line in account_lines(open_))


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert table(("a", "bb"), [("xxx", "y")]) == "a    bb\nxxx  y"


def test_values_are_numbers_nothing_or_what_was_written() -> None:
    assert parse_values(["a=1.5", "b=", "c=x", "d=a=b"]) == {
        "a": 1.5,
        "b": None,
        "c": "x",
        "d": "a=b",
    }
    for wrong in ("load", "=1"):
        with pytest.raises(InvalidInputError, match="metric=value"):
            parse_values([wrong])


def test_a_report_is_found_in_the_batch_that_judged_it() -> None:
    batch = verdicts([(5, 0), (6, 0), (6, 1)], action="offload", verdict=Verdict.NOTIFY)
    found = judged(batch, 6)
    assert found is not None
    assert found.values["verdict"] == "notify"
    assert "proposes offload: notify" in found.sentence
    assert judged(batch, 7) is None


def test_a_report_without_a_decision_says_why() -> None:
    batch = verdicts([(5, 0)], [(6, 1, SkipReason.QUARANTINED), (7, 1, SkipReason.LATE)])
    found, late = judged(batch, 6), judged(batch, 7)
    assert found is not None
    assert late is not None
    assert found.sentence == "quarantined (kept untouched in QUARANTINE)"
    assert late.values == {"outcome": "late", "reasons": []}


def test_a_batch_is_one_line_and_a_tick_none() -> None:
    def message(data: bytes) -> Followed:
        return Followed(1, "verdicts.p.0", {}, data)

    judged_rows = encode_verdicts(verdicts([(5, 0), (6, 0)], [(7, 1, SkipReason.LATE)]))
    line = describe(message(judged_rows))
    assert line == "verdicts.p.0  2 rows of 1 element(s): clear 2, 1 skipped (late)"
    assert describe(message(encode_verdicts(verdicts()))) is None
    assert describe(message(b"")) is None


def test_raw_payloads_are_not_for_reading() -> None:
    assert stream_of("verdicts.p.*").name == "VERDICTS"
    assert stream_of("risk.p.tripped").name == "EVENTS"
    assert (stream_of("events").name, subject_of("events")) == ("EVENTS", ">")
    assert subject_of("actions.p.c1") == "actions.p.c1"
    for subject in ("metrics.ran.c1", "quarantine.ran", "nonsense"):
        with pytest.raises(InvalidInputError, match="valid first words"):
            stream_of(subject)
