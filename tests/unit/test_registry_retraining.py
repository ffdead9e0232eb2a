"""When the world changed under a model, its trainers are told."""

from datetime import UTC, datetime

import pytest

from flyball_registry.evidence import findings
from flyball_registry.judging.judging import Judging
from flyball_registry.scoring.timelines import Timelines

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def concluded(decision: findings.Decision) -> Judging:
    made = Judging("congestion", 4, NOW, 60_000, "m-1")
    degraded = findings.Degraded(50_000, "d1", "d0", decision, 20.0, 1.0, 14.4, 31)
    made.conclude([degraded], None, Timelines({}))
    return made


@pytest.mark.parametrize(
    ("decision", "judged", "told"),
    [("retrain", 1, 1), ("roll-back", 1, 0), ("compare", 1, 0), ("keep", 0, 0)],
)
def test_only_a_changed_world_is_a_reason_to_train(
    decision: findings.Decision, judged: int, told: int
) -> None:
    made = concluded(decision)
    assert (len(made.judgements), len(made.drifts)) == (judged, told)
    for drift in made.drifts:
        assert (drift.on, drift.event_ms, drift.mark) == ("harm", 50_000, "m-1")
        assert "harm 20" in drift.detail
