"""Producer -> A -> B under every kind of death: nothing lost, nothing doubled, nothing reordered."""

from pathlib import Path

import pytest
from tests.chaos.foldlab.havoc import Havoc, Plan
from tests.chaos.foldlab.lab import UNFINISHED

pytestmark = pytest.mark.chaos

EXACT: dict[str, list[str]] = {"a": [], "b": []}


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    """How much larger than the small run that everybody waits for."""
    return 8 if request.config.getoption("--full-size", default=False) else 1


async def test_rows_stay_exact_whatever_is_killed(tmp_path: Path, size: int) -> None:
    plan = Plan(
        seed=1,
        stage_kills=14 * size,
        broker_kills=6 * size,
        redis_kills=2 * size,
        snapshot_deletions=2 * size,
        self_kill=0.01,
        least_rows=3000 * size,
    )
    findings = await Havoc(tmp_path, plan).run()
    assert findings.faults == EXACT, findings
    assert findings.unexpected_deaths == [], findings
    assert findings.done["kill_stage"] + findings.done["kill_broker"] >= 20


async def test_rows_stay_exact_when_acknowledgements_are_lost(tmp_path: Path, size: int) -> None:
    plan = Plan(seed=2, lost_acks=4 * size, stage_kills=2 * size, drop=0.002)
    findings = await Havoc(tmp_path, plan).run()
    assert findings.faults == EXACT, findings
    assert findings.unexpected_deaths == [], findings


@pytest.mark.parametrize(
    ("damage", "plan"),
    [
        ("no-compare-and-set", Plan(seed=3, lost_acks=4, settle_s=10)),
        ("adopt-new-expectation", Plan(seed=4, lost_acks=4, settle_s=10)),
        ("no-state", Plan(seed=5, stage_kills=4, settle_s=10)),
        ("untagged-snapshot", Plan(seed=6, self_kill=0.2, least_rows=9000, settle_s=10)),
        ("no-delivery-sequence", Plan(seed=7, drop=0.01, settle_s=5)),
    ],
)
async def test_a_damaged_runner_is_caught(tmp_path: Path, damage: str, plan: Plan) -> None:
    """The same judge must find fault, else its silence above would mean nothing."""
    findings = await Havoc(tmp_path, Plan(**{**plan.__dict__, "damage": damage})).run()
    faults = [fault for found in findings.faults.values() for fault in found]
    assert [fault for fault in faults if not fault.startswith(UNFINISHED)], findings
