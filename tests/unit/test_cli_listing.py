"""What status, models, holds, quarantine and users print, and what they say to a wrong name."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from flyball_local.cli.people import RoleName
from flyball_local.invalid import InvalidInputError
from flyball_local.publish import Outcome
from flyball_local.showing.listing import (
    access_row,
    hold_lines,
    hold_row,
    named,
    one_hold,
    one_pipeline,
    part_row,
    pipeline_lines,
    report_row,
    span,
)
from flyball_local.showing.modellist import Models, model_lines, model_object, model_row, one_model
from flyball_local.showing.pulses import Part, part
from flyball_local.showing.refused import Retried, payload_of
from flyball_proto.commands import Access, PipelineStatus, Quarantined, Role
from flyball_proto.deployments import ActiveModel, Placed
from flyball_proto.events import ModelRecord, ModelRefused, Variant
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import (
    ColumnFigures,
    Comparison,
    Measures,
    Pulse,
    SliceMeasures,
    StagePulse,
    Standings,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(digest: str, trainer: str = "recent", minutes: int = 30, **other: Any) -> ModelRecord:
    found: dict[str, Any] = {
        "pipeline": "congestion",
        "digest": digest * 8,
        "manifest_digest": "m",
        "trainer": trainer,
        "feature_digest": "f" * 64,
        "stage": "challenger",
        "size_bytes": 1000,
        "admitted_at": NOW - timedelta(minutes=minutes),
        "kind": "lightgbm",
        "rows": 5000,
        "trained_through_ms": 1_000_000,
    }
    return ModelRecord(**(found | other))


def models(*records: ModelRecord, active: str = "") -> Models:
    standings = Standings(
        pipeline="congestion",
        feature_digest="f" * 64,
        at=NOW,
        task="binary",
        metric="brier",
        now_ms=1_060_000,
        labelled=4000,
        block_ms=300_000,
        season_ms=0,
        figures=(
            ColumnFigures(column="active", rows=900, loss=0.11, accuracy=0.9),
            ColumnFigures(column="linear", rows=800, loss=0.09),
        ),
        comparisons=(
            Comparison(
                trainer="linear",
                over="recent",
                comparison=1,
                log_e=2.1,
                threshold=4.4,
                blocks=12,
                better_by_at_least=-0.001,
                expected_blocks=14,
                word="undecided",
                detail="",
            ),
        ),
    )
    placed = Placed(digest=active, trainer="recent", feature_digest="f" * 64)
    seat = ActiveModel(**placed.model_dump(), epoch=2, since=NOW, reason="succession")
    refusal = ModelRefused(
        pipeline="congestion",
        at=NOW,
        digest="bad0" * 8,
        trainer="recent",
        check="signature",
        found="a stranger's",
        limit="one of the trainer's",
    )
    return Models(
        records, {"congestion": standings}, {"congestion": seat}, {refusal.digest: refusal}
    )


def hold(number: int = 1, **other: Any) -> Hold:
    found: dict[str, Any] = {
        "id": f"congestion.{number}.0",
        "pipeline": "congestion",
        "partition": 0,
        "element": "cell-1",
        "labels": {"zone": "hospital"},
        "action": "offload",
        "score": 0.91,
        "risk": 0.42,
        "category": "medium",
        "reason": "boundary protect-hospitals",
        "model": "1a2b3c4d5e6f",
        "trainer": "recent",
        "epoch": 3,
        "time_ms": 1_000_000,
        "expires_ms": 1_120_000,
        "opened_at": NOW - timedelta(seconds=20),
    }
    return Hold(**(found | other))


def test_a_model_shows_its_loss_its_evidence_and_why_it_was_refused() -> None:
    seat, rival = record("aaaa", minutes=90, stage="active"), record("cccc", "linear", 5)
    older, refused = record("dddd", "linear", 50), record("bad0", stage="refused")
    found = models(seat, rival, older, refused, active=seat.digest)
    assert model_row(seat, found, NOW)[6:] == ("2 h", "0.1100", "-", "")
    assert model_row(rival, found, NOW)[6:] == ("5 min", "0.0900", "2.10 of 4.40", "")
    assert model_row(older, found, NOW)[7:] == ("-", "-", "")
    assert model_row(refused, found, NOW)[9] == (
        "signature: found a stranger's, limit one of the trainer's"
    )
    shown = model_object(rival, found)
    assert (shown["loss"], shown["comparison"]["log_e"], shown["refusal"]) == (0.09, 2.1, None)
    lines = "\n".join(model_lines(rival, found, NOW))
    assert "log E 2.10 of 4.40 after 12 blocks, about 14 more expected" in lines
    assert "learnt up to 1 min before the newest label" in lines


def test_a_model_is_named_by_the_beginning_of_its_digest() -> None:
    first, second = record("aaab"), record("aaac", "linear")
    assert one_model([first, second], "AAAB") is first
    with pytest.raises(InvalidInputError, match=r"found 2 that begin so: aaabaaabaaab \(recent of"):
        one_model([first, second], "aa")
    with pytest.raises(InvalidInputError, match="flyball models list"):
        one_model([first, second], "b")


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    holds = [hold(1), hold(2, state="denied"), hold(3)]
    assert one_hold(holds, "congestion.2.0").state == "denied"
    with pytest.raises(
        InvalidInputError, match=r"open are congestion.1.0, congestion.3.0, see fly"
    ):
        one_hold(holds, "congestion.9.0")
    assert one_pipeline(["a", "b"], "b") == "b"
    with pytest.raises(InvalidInputError, match="found a, b applied"):
        one_pipeline(["a", "b"], "c")
    with pytest.raises(InvalidInputError, match=r"found none applied.*flyball apply"):
        one_pipeline([], "c")
    assert named(str(i) for i in range(10)) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_a_hold_says_what_is_proposed_why_a_person_is_asked_and_who_answered() -> None:
    assert hold_row(hold(), NOW)[3:] == (
        "0.910",
        "medium 0.42",
        "open",
        "20 s",
        "boundary protect-hospitals",
    )
    answered = hold(state="denied", answered_by="ann", answered_why="repair")
    assert hold_row(answered, NOW)[5] == "denied by ann"
    lines = "\n".join(hold_lines(answered, NOW))
    assert "2 min behind its decision" in lines
    assert "denied by ann: repair" in lines


def test_a_pipeline_says_who_answers_since_when_and_what_is_awaited() -> None:
    found = PipelineStatus(
        pipeline="congestion",
        source="ran",
        feature_digest="f",
        revision=2,
        model="1a2b3c4d5e",
        trainer="recent",
        epoch=3,
        anchor="99887766",
        since=NOW - timedelta(hours=3),
        reason="log E 4.6 over 4.4",
        stopped=Stop(pipeline="congestion", stopped=True, by="ann", why="repair", at=NOW),
        open_holds=2,
        awaited=("recent trains again in about 9 min", "linear against recent"),
    )
    assert pipeline_lines(found, NOW) == [
        "congestion, source ran, revision 2",
        "  seat     recent 1a2b3c4d, epoch 3, 3 h ago",
        "  why      log E 4.6 over 4.4",
        "  anchor   a rollback leads to 99887766",
        "  stopped  by ann, 0 s ago: repair",
        "  holds    2 open: flyball holds list",
        "  awaited  recent trains again in about 9 min",
        "           linear against recent",
    ]
    bare = PipelineStatus(pipeline="p", source="s", feature_digest="f", revision=1)
    assert pipeline_lines(bare, NOW) == ["p, source s, revision 1", "  seat     nobody answers yet"]


def pulse(second: int, rows: int, pid: int, *, ready: bool = True) -> Pulse:
    stages = [
        StagePulse(stage="verdicts.p.0", rows=rows, commits=1, lag=3, latency_ms={"p99": 2.0}),
        StagePulse(stage="verdicts.q.0", rows=rows, commits=1, lag=1, latency_ms={"p99": 5.0}),
        StagePulse(stage="actions.p.0", rows=rows, commits=1, lag=9, latency_ms={"p99": 99.0}),
    ]
    at = NOW + timedelta(seconds=second)
    reasons = {} if ready else {"nats": "not connected"}
    return Pulse(
        service="risk", at=at, pid=pid, live=True, ready=ready, reasons=reasons, stages=stages
    )


def test_a_part_shows_rows_lag_and_latency_of_what_every_row_passes() -> None:

    pid = os.getpid()
    found = part("risk", pid, (pulse(0, 100, pid), pulse(2, 400, pid)))
    assert part_row(found)[2:] == ("ready", "300", "4", "5.0", "")
    ill = part("risk", pid, (pulse(0, 100, pid, ready=False),))
    assert part_row(ill)[2:] == ("not ready", "-", "4", "5.0", "nats: not connected")
    assert part("nats", pid, ()).state == "runs"
    assert part("risk", pid, ()).state == "silent"
    assert part("risk", 2**22 + 1, ()).state == "gone"
    assert set(Part("x", 1, "runs", {}).as_json()) == {
        "pid",
        "state",
        "reasons",
        "rows_per_s",
        "lag",
        "p99_ms",
    }


def quarantined(**other: Any) -> Quarantined:
    found: dict[str, Any] = {"sequence": 7, "element": "c1", "at": NOW, "codes": ("not-json",)}
    return Quarantined(**(found | {"size_bytes": 3, "detail": "not-json"} | other))


@pytest.mark.parametrize(
    ("payload", "size", "expected"),
    [("abc", 3, b"abc"), ("/w==", 1, b"\xff"), ("YWJj", 4, b"YWJj"), ("é", 2, "é".encode())],
)
def test_a_payload_is_published_again_byte_for_byte(
    payload: str, size: int, expected: bytes
) -> None:
    assert payload_of(quarantined(payload=payload, size_bytes=size)) == expected


def test_a_report_that_was_retried_says_its_new_place_and_what_became_of_it() -> None:
    assert report_row(quarantined(element=""))[1:] == ("?", "2026-03-01 12:00:00", "3", "not-json")
    taken = Outcome("p", "score 0.9", {"outcome": "decided"})
    again = Outcome("p", "quarantined: not-json", {"outcome": "quarantined"})
    assert Retried(7, 12, "c1", [taken]).lines == ["7 of c1: published again as 12; p: score 0.9"]
    assert Retried(7, 12, "c1", [taken]).is_accepted
    assert not Retried(7, 12, "c1", [taken, again]).is_accepted


def test_access_is_listed_without_secrets() -> None:
    access = Access(name="ann", role="viewer", kind="token", since=NOW, expires_at=NOW)
    assert access_row(access) == (
        "ann",
        "viewer",
        "token",
        "2026-03-01 12:00",
        "2026-03-01 12:00 UTC",
    )


def test_roles_are_those_of_the_contract() -> None:
    assert [role.value for role in RoleName] == list(get_args(Role))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (90, "2 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_a_span_is_said_in_its_largest_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_model_shows_what_it_costs_its_variants_its_warnings_and_its_worst_slices() -> None:
    variant = Variant(
        precision="int8", digest="v" * 64, size_bytes=1200, difference=0.004, tolerance=0.02
    )
    model = record(
        "aaaa",
        stage="active",
        memory_bytes=2_500_000,
        latency_p99_ms=0.25,
        variants=(variant,),
        warnings=("feature load.last predicts too well alone: AUC 0.99",),
    )
    worst = Measures(rows=40, loss=0.4)
    figures = ColumnFigures(
        column="active",
        rows=500,
        loss=0.11,
        whole=Measures(rows=500, precision=0.8, recall=0.6, calibration_error=0.02),
        recent=Measures(rows=100, loss=0.2),
        slices=(
            SliceMeasures(label="zone", value="office", measures=Measures(rows=300, loss=0.1)),
            SliceMeasures(label="zone", value="hospital", measures=worst),
        ),
    )
    found = models(model, active=model.digest)
    standings = found.standings["congestion"].model_copy(update={"figures": (figures,)})
    lines = model_lines(model, replace(found, standings={"congestion": standings}), NOW)
    shown = "\n".join(lines)
    assert "2.5 MB loaded, p99 0.25 ms for 64 rows" in shown
    assert "precision 80.00%, recall 60.00%, calibration error 0.0200" in shown
    assert "lately 0.2000 over 100 rows" in shown
    places = [shown.index(words) for words in ("zone=hospital", "zone=office")]
    assert places == sorted(places)
    assert "int8: 1,200 bytes, scores at most 0.004 apart of 0.02 allowed" in shown
    assert "warning   feature load.last predicts too well alone" in shown
