"""The demo tells the whole story on a stack of its own, and closes its account."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("demo")]
FLYBALL = str(Path(sys.executable).with_name("flyball"))


@pytest.fixture(scope="module")
def told() -> Iterator[subprocess.CompletedProcess[str]]:
    """Half an hour of the network: every part of the story but a succession."""
    before = {p.pid for p in psutil.process_iter() if _of_flyball(p)}
    found = subprocess.run(
        [FLYBALL, "demo", "--short", "--json"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    yield found
    left = [p for p in psutil.process_iter() if _of_flyball(p) and p.ppid() == 1]
    assert not [p for p in left if p.pid not in before]


def test_standard_output_is_the_object_of_a_replay_alone(
    told: subprocess.CompletedProcess[str],
) -> None:
    found = json.loads(told.stdout)
    assert found["closes"]
    assert found["rows_in"] == 18 * 1_800
    assert (found["lost"], found["duplicated"]) == (0, 0)


@pytest.mark.parametrize(
    "part",
    [
        "live page  http://127.0.0.1:",
        "baseline holds the seat",
        "long delivers a model of",
        "offload is cleared",
        "boundary protect-hospitals applies: waits for a person",
        "is high risk",
        "boundary keep-coverage applies: denied",
        "withheld at random",
        " acted on: ",
        "demo-operator approves the hold of",
        "demo-operator denies the hold of",
        "refused at admission: signature: found signed by",
        "refused at admission: digest: found",
        "THE WORLD CHANGES",
        "succession none yet: ",
        "recovery   Brier",
        "effect     ",
        "delivery   0 deployments",
    ],
)
def test_every_part_of_the_story_is_told_with_its_figure(
    told: subprocess.CompletedProcess[str], part: str
) -> None:
    assert part in told.stderr


def _of_flyball(process: psutil.Process) -> bool:
    try:
        return any("flyball" in word for word in process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
