"""DORA's measures from a history written by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flyball_gateway.dora import dora
from flyball_proto.deployments import DeploymentActivated, PersonAsked
from flyball_proto.events import Event, ModelTrained, PipelineApplied
from flyball_proto.judgements import Degraded, Refreshed, Superior

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR_MS = 3_600_000


def at(minutes: float) -> dict[str, Any]:
    return {"pipeline": "p", "at": NOON + timedelta(minutes=minutes)}


def applied(minutes: float, revision: int = 1) -> PipelineApplied:
    return PipelineApplied(
        **at(minutes), revision=revision, source="s", feature_digest="f", by="ann"
    )


def trained(
    minutes: float, digest: str, *, hour: int = 1, because: Any = "cadence"
) -> ModelTrained:
    return ModelTrained(
        **at(minutes),
        digest=digest,
        manifest_digest="m",
        trainer="baseline" if digest.startswith("b") else "recent",
        feature_digest="f",
        size_bytes=1,
        trained_through_ms=hour * HOUR_MS,
        because=because,
        fitted_at=NOON + timedelta(minutes=minutes, seconds=-10),
    )


def activated(
    minutes: float, digest: str, change: Any, *, judgement: int = 0, by: str = ""
) -> DeploymentActivated:
    return DeploymentActivated(
        **at(minutes),
        digest=digest,
        trainer="recent",
        epoch=2,
        reason="r",
        change=change,
        judgement=judgement,
        by=by,
    )


def superior(minutes: float, number: int, hour: int) -> Superior:
    return Superior(
        **at(minutes),
        number=number,
        event_ms=hour * HOUR_MS,
        trainer="recent",
        digest="a1",
        over="baseline",
        comparison=1,
        log_e=5,
        threshold=4,
        blocks=60,
        better_by=0.01,
    )


def refreshed(minutes: float, number: int, hour: int) -> Refreshed:
    return Refreshed(
        **at(minutes),
        number=number,
        event_ms=hour * HOUR_MS,
        trainer="recent",
        digest="a2",
        replaces="a1",
        anchor="a1",
        upper_bound=0.0,
        difference=0.0,
        rows=100,
    )


def degraded(minutes: float, number: int) -> Degraded:
    return Degraded(
        **at(minutes),
        number=number,
        event_ms=9 * HOUR_MS,
        digest="a2",
        anchor="a1",
        decision="roll-back",
        harm=900,
        relative=800,
        threshold=720,
        blocks=9,
    )


HISTORY: list[Event] = [
    applied(0),
    trained(0, "b1"),
    activated(0.5, "b1", "seat-zero"),
    trained(10, "a1", hour=1),
    superior(60, 1, hour=4),
    activated(60, "a1", "succession", judgement=1),
    trained(70, "a2", hour=5),
    refreshed(71, 2, hour=6),
    activated(71, "a2", "refresh", judgement=2),
    degraded(130, 3),
    activated(131, "a1", "rollback", judgement=3),
    trained(140, "a3", hour=9, because="drift"),
    PersonAsked(**at(150), digest="a1", epoch=5, reason="frozen"),
    activated(160, "a3", "promotion", by="ann"),
]


def test_the_measures_of_a_written_history_are_these() -> None:
    found = dora("p", HISTORY, now=NOON + timedelta(hours=12))
    assert found.deployments == 3
    assert found.by_change == {"succession": 1, "refresh": 1, "promotion": 1}
    assert found.per_day == pytest.approx(6)
    assert found.change_lead_s == 3600
    assert found.machine_lead_s == pytest.approx((50 * 60 + 10 + 70) / 2)
    assert found.data_lead_s == 2 * 3600
    assert (found.failed, found.change_fail_rate) == (1, pytest.approx(1 / 3))
    assert (found.recovery_s, found.alarm_to_recovery_s) == (3600, 60)
    assert found.rework_rate == pytest.approx(2 / 3)
    assert found.waited_for_people_s == 600
    assert found.promotion_yield == 1


def test_without_a_deployment_there_is_nothing_to_measure_by() -> None:
    found = dora("p", HISTORY[:3], now=NOON + timedelta(minutes=1))
    assert (found.deployments, found.failed, found.per_day) == (0, 0, 0)
    assert found.change_fail_rate is found.recovery_s is found.machine_lead_s is None
    assert dora("p", [], now=NOON).since is None


def test_a_model_that_its_next_refresh_replaces_did_not_fail() -> None:
    history = [*HISTORY[:9], activated(90, "a4", "refresh")]
    assert dora("p", history, now=NOON + timedelta(hours=2)).failed == 0


def test_a_person_who_overrides_a_fresh_deployment_says_that_it_failed() -> None:
    soon = [*HISTORY[:6], activated(90, "a9", "promotion", by="ann")]
    late = [*HISTORY[:6], activated(60 + 25 * 60, "a9", "promotion", by="ann")]
    assert [dora("p", h, now=NOON + timedelta(days=2)).failed for h in (soon, late)] == [1, 0]


def test_each_specification_counts_until_the_next_one() -> None:
    history = [applied(0), applied(30, 2), activated(60, "a1", "succession"), applied(90, 3)]
    assert dora("p", history, now=NOON + timedelta(hours=2)).change_lead_s == 30 * 60
