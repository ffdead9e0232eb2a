"""What the Loop page says, by value."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from flyball_gateway.page import comparing, flowing, happening, seating, wording
from flyball_gateway.picturing.gathered import Gathered
from flyball_gateway.picturing.picture import MAX_HOLDS, MAX_LINES, Line, Loop, Part, Picture, Stage
from flyball_gateway.picturing.rates import SILENT_S, Pulses
from flyball_gateway.picturing.tallies import NOTHING, Tally
from flyball_gateway.picturing.telling import KINDS, _tell, line
from flyball_proto import columns, judgements
from flyball_proto.columns import Verdict
from flyball_proto.deployments import ActiveModel, DeploymentActivated
from flyball_proto.events import Event
from flyball_proto.holds import Hold, Stop, Stopped
from flyball_proto.progress import Comparison, Pulse, StagePulse, Standings
from flyball_proto.spec import parse_documents

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC = [
    {
        "apiVersion": "flyball/v1",
        "kind": "Pipeline",
        "metadata": {"name": "plant"},
        "spec": {
            "source": {"interval": "1s", "metrics": ["load"]},
            "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
            "trainers": [{"name": "trees", "kind": "lightgbm"}],
            "decisions": [{"action": "offload", "score_at_least": 0.6}],
        },
    }
]


def pulse(rows: int, *, pid: int = 1, ready: bool = True, lag: int = 0, **reasons: str) -> Pulse:
    stages = tuple(
        StagePulse(
            stage=f"decisions.plant.{p}",
            rows=rows,
            commits=1,
            lag=lag,
            latency_ms={"p50": 1.0 + p, "p99": 2.0 + p},
        )
        for p in (0, 1)
    )
    other = StagePulse(stage="decisions.plant-2.0", rows=10**9, commits=1, lag=0)
    return Pulse(
        service="inference",
        at=NOW,
        pid=pid,
        live=True,
        ready=ready,
        reasons=reasons,
        stages=(*stages, other),
    )


def stage(pulses: Pulses, at_s: float) -> Stage:
    (found,) = pulses.stages("plant", at_s)
    return found


def loop_of(gathered: Gathered) -> Loop:
    (found,) = gathered.picture(NOW, 0.0, ()).loops
    return found


def gathered() -> Gathered:
    made, catalogue = Gathered(0.0), parse_documents(SPEC)
    for source in catalogue.sources.values():
        made.source(source.name, source)
    for pipeline in catalogue.pipelines.values():
        made.pipeline(pipeline.name, pipeline)
    return made


def hold(number: int, **changed: object) -> Hold:
    values: dict[str, object] = {
        "id": f"plant.{number}.0",
        "pipeline": "plant",
        "partition": 0,
        "element": f"cell-{number}",
        "action": "offload",
        "score": 0.93,
        "risk": 0.2,
        "category": "high",
        "reason": "risk 0.20",
        "model": "a" * 64,
        "trainer": "trees",
        "epoch": 3,
        "time_ms": 1_000,
        "expires_ms": 121_000 + number,
        "opened_at": NOW,
    }
    return Hold.model_validate(values | changed)


def test_rates_are_taken_over_all_partitions_of_the_pipeline_and_no_other() -> None:
    pulses = Pulses(0.0)
    pulses.hear(pulse(100), 10.0)
    pulses.hear(pulse(300, lag=4), 12.0)
    found = stage(pulses, 12.1)
    assert (found.rows, found.rows_per_s, found.lag) == (600, 200.0, 8)
    assert (found.p50_ms, found.p99_ms) == (2.0, 3.0)


def test_a_process_that_was_started_afresh_has_no_negative_rate() -> None:
    pulses = Pulses(0.0)
    pulses.hear(pulse(1_000), 10.0)
    pulses.hear(pulse(10, pid=2), 11.0)
    assert stage(pulses, 11.0).rows_per_s is None
    pulses.hear(pulse(20, pid=2), 12.0)
    assert stage(pulses, 12.0).rows_per_s == 20.0


def test_a_service_that_stops_pulsing_is_silent_and_one_that_says_why_keeps_its_reason() -> None:
    pulses = Pulses(0.0)
    pulses.hear(pulse(1, ready=False, nats="not connected"), 10.0)
    part = {p.service: p for p in pulses.parts(10.5)}["inference"]
    assert (part.health, part.reasons) == ("not ready", ("nats: not connected",))
    part = {p.service: p for p in pulses.parts(10.5 + SILENT_S)}["inference"]
    assert part.health == "silent"
    assert part.reasons[0].startswith("last heard")
    assert stage(pulses, 10.5 + SILENT_S).rows_per_s is None


def test_nobody_is_called_silent_before_there_was_time_to_be_heard() -> None:
    pulses = Pulses(100.0)
    assert {p.health for p in pulses.parts(100.0 + SILENT_S - 1)} == {"not heard yet"}
    assert {p.health for p in pulses.parts(100.0 + SILENT_S)} == {"silent"}


def verdicts(found: list[Verdict], proposed: list[int], time_ms: int = 5_000) -> columns.Verdicts:
    n = len(found)
    rows = columns.Rows(
        ("cell-1",),
        np.zeros(n, columns.U32),
        np.arange(n, dtype=columns.U64),
        np.zeros(n, columns.U16),
        np.full(n, time_ms, columns.I64),
        ("{}",),
        np.zeros(1, columns.U32),
    )
    return columns.Verdicts(
        "plant",
        "f",
        columns.Flow(),
        rows,
        (columns.Model("a", 1, "active", "trees"),),
        np.zeros(n, columns.U8),
        np.zeros(n),
        ("offload",),
        np.array(proposed, columns.U8),
        np.zeros(n, columns.U8),
        np.array(found, columns.U8),
        np.zeros(n, columns.U8),
        np.zeros(n),
        ("",),
        np.zeros(n, columns.U16),
    )


def test_verdicts_are_counted_for_a_minute_and_rows_without_a_proposal_apart() -> None:
    tally = Tally()
    batch = verdicts([Verdict.CLEAR, Verdict.CLEAR, Verdict.HOLD], [0, 1, 1])
    tally.take(batch, 100.2, left_out=False)
    found = tally.verdicts(101.0)
    assert found.counts == {NOTHING: 1, "clear": 1, "hold": 1}
    assert (found.rows, found.sampled, tally.now_ms) == (3, False, 5_000)
    assert tally.verdicts(161.0).rows == 0


def test_counts_say_when_some_were_left_out() -> None:
    tally = Tally()
    tally.take(verdicts([Verdict.CLEAR], [1]), 100.2, left_out=False)
    tally.take(verdicts([Verdict.CLEAR], [1]), 100.4, left_out=True)
    assert tally.verdicts(101.0).sampled


def test_every_kind_of_event_that_is_told_has_words_of_its_own() -> None:
    for (domain, what), kind in KINDS.items():
        assert kind.pattern() == f"{domain}.*.{what}"
        assert _tell.dispatch(kind) is not _tell.dispatch(Event)


def test_a_succession_is_told_with_the_figures_behind_it() -> None:
    event = judgements.Superior(
        pipeline="plant",
        at=NOW,
        number=1,
        event_ms=0,
        trainer="trees",
        digest="a" * 64,
        over="baseline",
        comparison=1,
        log_e=3.84,
        threshold=3.69,
        blocks=61,
        better_by=0.0123,
    )
    found = line(event.subject, event.model_dump_json().encode())
    assert found is not None
    assert found[0] == "plant"
    assert found[1].text == (
        "trees is better than baseline: log E 3.84 crossed 3.69 after 61 blocks, better by at "
        "least 0.0123."
    )


def test_what_cannot_be_read_and_what_is_not_told_gives_no_line() -> None:
    assert line("risk.plant.stopped", b"{}") is None
    assert line("runtime.plant.settled.trainer", b"{}") is None
    assert line("unknown", b"") is None


def test_the_last_change_is_the_newest_event_that_moved_the_seat() -> None:
    made = gathered()
    moved = DeploymentActivated(
        pipeline="plant", at=NOW, digest="a" * 64, trainer="trees", epoch=2, reason="it won"
    )
    stopped = Stopped(pipeline="plant", at=NOW, by="ada", why="")
    for event in (moved, stopped):
        told = line(event.subject, event.model_dump_json().encode())
        assert told is not None
        made.line(*told)
    found = loop_of(made)
    assert found.lines[0].text == "ada stopped all actions."
    assert found.last_change is found.seat_taken is found.lines[1]
    for number in range(MAX_LINES):
        made.line("plant", Line(NOW, "risk", "plain", str(number)))
    assert loop_of(made).last_change == found.last_change


def test_a_change_that_is_only_on_record_is_shown_and_a_refresh_hides_no_succession() -> None:
    made = gathered()
    won = DeploymentActivated(
        pipeline="plant",
        at=NOW,
        digest="a" * 64,
        trainer="trees",
        epoch=2,
        reason="it won",
        change="succession",
    )
    later = NOW + timedelta(minutes=1)
    refreshed = won.model_copy(update={"at": later, "change": "refresh", "epoch": 3})
    told = line(won.subject, won.model_dump_json().encode())
    assert told is not None
    seat = ActiveModel(
        digest="b" * 64,
        trainer="trees",
        feature_digest="f",
        epoch=3,
        since=later,
        reason="newer",
        activated=refreshed,
    )
    made.deployment("plant", seat)
    made.line(*told)
    found = loop_of(made)
    assert found.last_change is not None
    assert (found.last_change.change, found.seat_taken) == ("refresh", told[1])
    shown = seating.seat(Picture(NOW), found)
    assert "How the seat was taken" in shown
    assert "Another trainer took the seat" in shown


def test_only_so_many_lines_and_holds_are_kept_and_all_holds_are_counted() -> None:
    made = gathered()
    for number in range(MAX_LINES + 5):
        made.line("plant", Line(NOW, "risk", "plain", str(number)))
    for number in range(MAX_HOLDS + 5):
        made.hold(f"plant.{number}.0", hold(number))
    found = loop_of(made)
    assert [len(found.lines), found.lines[0].text] == [MAX_LINES, str(MAX_LINES + 4)]
    assert [len(found.holds), found.open_holds] == [MAX_HOLDS, MAX_HOLDS + 5]
    assert found.holds[0].id == "plant.0.0"


def test_an_answered_hold_waits_no_more() -> None:
    made = gathered()
    made.hold("plant.1.0", hold(1))
    made.hold("plant.1.0", hold(1, state="approved", answered_by="ada"))
    assert loop_of(made).open_holds == 0


def test_the_picture_is_stale_since_the_first_answer_that_was_missing() -> None:
    made = gathered()
    made.heard(NOW, answered=False)
    made.heard(NOW + timedelta(seconds=5), answered=False)
    assert made.picture(NOW, 0.0, ()).stale_since == NOW
    made.heard(NOW, answered=True)
    assert made.picture(NOW, 0.0, ()).stale_since is None


def test_what_elements_and_people_wrote_is_never_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    made = gathered()
    made.stop("plant", Stop(pipeline="plant", stopped=True, by=evil, why=evil, at=NOW))
    made.line("plant", Line(NOW, "risk", "plain", evil))
    made.deployment(
        "plant",
        ActiveModel(digest=evil, trainer=evil, feature_digest="f", epoch=1, since=NOW, reason=evil),
    )
    found = loop_of(made)
    picture = Picture(NOW, parts=(Part("risk", "broken", (evil,)),), loops=(found,))
    waiting = hold(1, element=evil, reason=evil, labels={evil: evil}, action=evil)
    shown = [
        happening.alarms(picture, found),
        happening.events(picture, found),
        happening.hold(waiting, 0),
        seating.seat(picture, found),
        seating.headline(found),
        flowing.flow(picture, found),
    ]
    assert not [html for html in shown if "<img" in html]


def test_evidence_is_shown_against_its_bound_with_the_time_to_a_decision() -> None:
    made = gathered()
    made.standing("plant", standings(log_e=1.845, expected_blocks=20))
    shown = comparing.challengers(loop_of(made))
    assert "width:50.0%" in shown
    assert "log E <b>1.84</b> of 3.69" in shown or "log E <b>1.85</b> of 3.69" in shown
    assert "20 more blocks to a decision, 10\u00a0min" in shown


def test_evidence_that_leads_nowhere_says_so() -> None:
    made = gathered()
    made.standing("plant", standings(log_e=-2.0, expected_blocks=None))
    shown = comparing.challengers(loop_of(made))
    assert "width:0.0%" in shown
    assert "no decision is in sight" in shown


def standings(log_e: float, expected_blocks: int | None) -> Standings:
    comparison = Comparison(
        trainer="linear",
        over="trees",
        comparison=1,
        log_e=log_e,
        threshold=3.69,
        blocks=50,
        better_by_at_least=0.001,
        expected_blocks=expected_blocks,
        word="undecided",
        detail="",
    )
    return Standings(
        pipeline="plant",
        feature_digest="f",
        at=NOW,
        task="binary",
        metric="brier",
        now_ms=0,
        labelled=100,
        block_ms=30_000,
        season_ms=0,
        comparisons=(comparison,),
    )


@pytest.mark.parametrize(
    ("ms", "words"),
    [(-5, "0 s"), (999, "0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h"), (90_061_000, "1 d 1 h")],
)
def test_durations_are_told_in_two_units(ms: int, words: str) -> None:
    assert wording.duration(ms).replace("\u00a0", " ") == words


def test_numbers_have_units_and_unknown_ones_a_dash() -> None:
    assert wording.rate(1240.4).replace("\u202f", " ").replace("\u00a0", " ") == "1 240 rows/s"
    assert wording.rate(0.25).replace("\u00a0", " ") == "0.2 rows/s"
    assert wording.milliseconds(None) == wording.rate(None) == wording.figure(None) == wording.DASH
    assert wording.size(2_202_010).replace("\u00a0", " ") == "2.1 MiB"
