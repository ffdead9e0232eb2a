"""The table of the rollout: a deployment, an event, and what becomes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_deployer.moves import Announcement, Stay, Transition, owed
from flyball_deployer.policy import ATTRIBUTION_MS, Policy, policy_of
from flyball_deployer.rollout import Event, Seat, completed, decide
from flyball_proto.deployments import (
    MAX_REMEMBERED,
    ActiveModel,
    Canary,
    CanaryMoved,
    DeploymentActivated,
    PersonAsked,
    Placed,
)
from flyball_proto.events import ModelRecord, ModelTripped
from flyball_proto.judgements import (
    AnyJudgement,
    CanaryJudged,
    Concluded,
    Degraded,
    Guard,
    Refreshed,
    RefreshRefused,
    Restarted,
    Superior,
)
from flyball_proto.spec import parse_documents

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
NUMBER = 8
HANDLED = 7
TRAINERS = {"b": "baseline", "a": "recent", "c": "long", "l": "linear"}
"""The first letter of a digest says who made it."""


def placed(digest: str) -> Placed:
    return Placed(digest=digest, trainer=TRAINERS[digest[0]], feature_digest="f")


def model(digest: str, *, minutes: int = 0, stage: Any = "challenger") -> ModelRecord:
    return ModelRecord(
        pipeline="p",
        digest=digest,
        manifest_digest="m",
        trainer=TRAINERS[digest[0]],
        feature_digest="f",
        stage=stage,
        size_bytes=1,
        admitted_at=NOW + timedelta(minutes=minutes),
    )


def deployment(digest: str, canary: Canary | None = None, **fields: Any) -> ActiveModel:
    return ActiveModel(
        **placed(digest).model_dump(),
        **{"epoch": 4, "since": NOW, "reason": "test", "canary": canary, "handled": HANDLED}
        | {"baseline": placed("b1")}
        | fields,
    )


def canary(digest: str, percent: int = 5, step: int = 0, epoch: int = 4) -> Canary:
    return Canary(**placed(digest).model_dump(), step=step, percent=percent, since=NOW, epoch=epoch)


def judgement(number: int, event_ms: int = DAY_MS) -> dict[str, Any]:
    return {"pipeline": "p", "at": NOW, "number": number, "event_ms": event_ms}


def superior(digest: str, over: str, number: int = NUMBER) -> Superior:
    return Superior(
        **judgement(number),
        trainer=TRAINERS[digest[0]],
        digest=digest,
        over=over,
        comparison=1,
        log_e=5.0,
        threshold=4.0,
        blocks=60,
        better_by=0.01,
    )


def refreshed(digest: str, replaces: str, number: int = NUMBER) -> Refreshed:
    return Refreshed(
        **judgement(number),
        trainer=TRAINERS[digest[0]],
        digest=digest,
        replaces=replaces,
        anchor=replaces,
        upper_bound=0.001,
        difference=0.0,
        rows=2000,
    )


def degraded(
    digest: str, decision: Any = "roll-back", number: int = NUMBER, event_ms: int = DAY_MS
) -> Degraded:
    return Degraded(
        **judgement(number, event_ms),
        digest=digest,
        anchor="a1",
        decision=decision,
        harm=900.0,
        relative=800.0,
        threshold=720.0,
        blocks=90,
    )


def looked(digest: str, outcome: Any, epoch: int = 4, number: int = NUMBER) -> CanaryJudged:
    guard = Guard(name="latency", outcome=outcome, found="p99 3 ms", limit="2 ms")
    return CanaryJudged(
        **judgement(number),
        digest=digest,
        epoch=epoch,
        outcome=outcome,
        guards=(guard,),
        rows=500,
    )


def trip(digest: str) -> ModelTripped:
    return ModelTripped(pipeline="p", at=NOW, digest=digest, epoch=4, detail="score is NaN")


REPORTS = (
    Concluded(
        **judgement(NUMBER),
        trainer="long",
        over="recent",
        comparison=1,
        outcome="undecided",
        blocks=400,
        detail="",
    ),
    RefreshRefused(
        **judgement(NUMBER), trainer="recent", digest="a9", outcome="worse", detail="by 0.1"
    ),
    Restarted(
        **judgement(NUMBER),
        upstream="load",
        upstream_digest="u1",
        upstream_epoch=4,
        closed=("recent",),
    ),
)


def rolled(digest: str, **fields: Any) -> ActiveModel:
    """A deployment that was rolled back at event time `DAY_MS`, not long ago."""
    return deployment(digest, rollback_ms=DAY_MS, **fields)


def told(announcements: tuple[Announcement, ...]) -> list[str]:
    """Announcements in short."""
    found = []
    for event in announcements:
        match event:
            case DeploymentActivated():
                found.append(f"{event.change} {event.digest} for {event.replaces or 'nobody'}")
            case CanaryMoved():
                found.append(f"canary {event.digest} {event.percent}")
            case PersonAsked():
                found.append(f"asked {event.digest}")
    return found


def after(
    seat: ActiveModel | Seat, event: Event, policy: Policy = Policy()
) -> tuple[str, int, list[str], str]:
    """Active model and canary, epoch, announcements, reason."""
    if isinstance(seat, ActiveModel):
        digest = getattr(event, "digest", None)
        named = model(digest) if digest is not None else None
        seat = Seat(seat, model("b1"), named)
    made = decide(seat, event, policy, now=NOW)
    record = made.record if isinstance(made, Transition) else seat.record
    said = told(made.announcements) if isinstance(made, Transition) else []
    if record is None:
        return "nobody", 0, said, made.reason
    who = f"{record.digest}+{record.canary.digest}" if record.canary else record.digest
    return who, record.epoch, said, made.reason


BOLD = Policy(steps=(100,))
A2 = deployment("a2", anchor=placed("a1"))


@pytest.mark.parametrize(
    ("before", "event", "who", "epoch", "announced", "reason"),
    [
        # The baseline: seat zero, and a changed one.
        (Seat(), model("b1"), "b1", 1, ["seat-zero b1 for nobody"], "empty"),
        (Seat(), model("b1", stage="refused"), "nobody", 0, [], "refused"),
        (Seat(), model("a1"), "nobody", 0, [], "by evidence"),
        (Seat(), superior("a1", "baseline"), "nobody", 0, [], "nobody holds"),
        (Seat(), trip("a1"), "nobody", 0, [], "nobody holds"),
        (deployment("b1"), model("b1"), "b1", 4, [], "baseline already"),
        (deployment("b1"), model("b2", minutes=1), "b2", 5, ["seat-zero b2 for b1"], "changed"),
        (deployment("b1"), model("b2"), "b1", 4, [], "admitted later"),
        (deployment("a1"), model("b2", minutes=1), "a1", 4, [], "belongs to recent"),
        (
            deployment("b1", canary("a1")),
            model("b2", minutes=1),
            "b2+a1",
            5,
            ["seat-zero b2 for b1"],
            "changed",
        ),
        # Succession.
        (deployment("b1"), superior("a1", "baseline"), "b1+a1", 5, ["canary a1 5"], "better"),
        (deployment("b1"), superior("a1", "long"), "b1", 4, [], "baseline holds the seat"),
        (deployment("a1"), superior("a2", "recent"), "a1", 4, [], "holds the seat already"),
        (deployment("a1"), superior("a1", "recent"), "a1", 4, [], "active already"),
        (
            deployment("a1", may_refresh=False),
            superior("a2", "recent"),
            "a1+a2",
            5,
            ["canary a2 5"],
            "better",
        ),
        (
            deployment("b1", rolled_back=("a1",)),
            superior("a1", "baseline"),
            "b1",
            4,
            [],
            "never returns",
        ),
        (deployment("b1", frozen=True), superior("a1", "baseline"), "b1", 4, [], "frozen"),
        (
            deployment("b1", canary("a1", 25)),
            superior("c1", "baseline"),
            "b1+a1",
            4,
            [],
            "goes first",
        ),
        (
            deployment("b1", canary("a1", 25)),
            superior("a1", "baseline"),
            "b1+a1",
            4,
            [],
            "canary already",
        ),
        (
            deployment("b1", canary("a1", 25)),
            superior("a2", "baseline"),
            "b1+a2",
            5,
            ["canary a2 5"],
            "better",
        ),
        (deployment("a1"), superior("b1", "recent"), "a1+b1", 5, ["canary b1 5"], "better"),
        # Canary steps.
        (deployment("b1", canary("a1")), looked("a1", "pass"), "b1+a1", 5, ["canary a1 25"], "pas"),
        (
            deployment("b1", canary("a1", 25, 1)),
            looked("a1", "pass"),
            "a1",
            5,
            ["succession a1 for b1"],
            "passed",
        ),
        (deployment("b1", canary("a1")), looked("a1", "fail"), "b1", 5, ["canary a1 0"], "p99 3"),
        (deployment("b1", canary("a1")), looked("a1", "error"), "b1", 5, ["canary a1 0"], "error"),
        (
            deployment("b1", canary("a1")),
            looked("a1", "inconclusive"),
            "b1+a1",
            4,
            ["asked a1"],
            "waits",
        ),
        (deployment("b1", canary("a1")), looked("c1", "pass"), "b1+a1", 4, [], "not the canary"),
        (deployment("b1"), looked("a1", "pass"), "b1", 4, [], "not the canary"),
        (deployment("b1", canary("a1", 25)), looked("a1", "pass", 3), "b1+a1", 4, [], "epoch 3"),
        # Refreshes.
        (deployment("a1"), refreshed("a2", "a1"), "a2", 5, ["refresh a2 for a1"], "newer model"),
        (
            deployment("a1", canary("c1")),
            refreshed("a2", "a1"),
            "a2+c1",
            5,
            ["refresh a2 for a1"],
            "newer model",
        ),
        (deployment("a1"), refreshed("a3", "a2"), "a1", 4, [], "a1 is active"),
        (deployment("a1"), refreshed("c2", "a1"), "a1", 4, [], "does not hold"),
        (deployment("a1", may_refresh=False), refreshed("a2", "a1"), "a1", 4, [], "win the seat"),
        (deployment("a1", frozen=True), refreshed("a2", "a1"), "a1", 4, [], "frozen"),
        (deployment("a1", rolled_back=("a2",)), refreshed("a2", "a1"), "a1", 4, [], "never"),
        # The watch.
        (A2, degraded("a2"), "a1", 5, ["rollback a1 for a2"], "harm"),
        (
            deployment("a2", canary("c1"), anchor=placed("a1")),
            degraded("a2"),
            "a1",
            5,
            ["rollback a1 for a2", "canary c1 0"],
            "harm",
        ),
        (deployment("a1"), degraded("a1"), "b1", 5, ["rollback b1 for a1"], "harm"),
        (A2, degraded("a1"), "a2", 4, [], "a2 is active"),
        (A2, degraded("a2", "retrain"), "a2", 4, [], "train again"),
        (A2, degraded("a2", "compare"), "a2", 4, [], "compare again"),
        (deployment("b1"), degraded("b1"), "b1", 4, ["asked b1"], "no fallback"),
        (rolled("a2"), degraded("a2"), "a2", 4, ["asked a2"], "frozen"),
        (
            rolled("a2", canary=canary("c1")),
            degraded("a2"),
            "a2",
            5,
            ["canary c1 0", "asked a2"],
            "frozen",
        ),
        (rolled("a2", frozen=True), degraded("a2"), "a2", 4, [], "until a person decides"),
        (
            rolled("a2"),
            degraded("a2", event_ms=DAY_MS + ATTRIBUTION_MS),
            "b1",
            5,
            ["rollback b1 for a2"],
            "harm",
        ),
        # Technical trips.
        (A2, trip("a2"), "a1", 5, ["rollback a1 for a2"], "NaN"),
        (deployment("a1"), trip("a1"), "b1", 5, ["rollback b1 for a1"], "NaN"),
        (deployment("a1", canary("c1")), trip("c1"), "a1", 5, ["canary c1 0"], "NaN"),
        (
            rolled("a1", heard_ms=DAY_MS + 1),
            trip("a1"),
            "b1",
            5,
            ["rollback b1 for a1", "asked b1"],
            "NaN",
        ),
        (A2, trip("a1"), "a2", 4, [], "NaN"),
        (deployment("a2", anchor=placed("b1")), trip("b1"), "a2", 4, ["asked b1"], "NaN"),
        (A2, trip("b1"), "a2", 4, ["asked b1"], "NaN"),
        (deployment("b1"), trip("b1"), "b1", 4, ["asked b1"], "NaN"),
        (A2, trip("c9"), "a2", 4, [], "no place"),
        *((A2, report, "a2", 4, [], "") for report in REPORTS),
    ],
)
def test_what_an_event_does(
    before: ActiveModel | Seat,
    event: Event,
    who: str,
    epoch: int,
    announced: list[str],
    reason: str,
) -> None:
    found = after(before, event)
    assert found[:3] == (who, epoch, announced)
    assert reason in found[3]


def made(seat: ActiveModel, event: Event, policy: Policy = Policy()) -> ActiveModel:
    digest = getattr(event, "digest", None)
    named = model(digest) if digest is not None else None
    found = decide(Seat(seat, model("b1"), named), event, policy, now=NOW)
    assert isinstance(found, Transition), found
    return found.record


def test_a_single_step_of_a_hundred_percent_takes_the_seat_at_once() -> None:
    record = made(deployment("b1"), superior("a1", "baseline"), BOLD)
    assert (record.digest, record.canary, record.epoch) == ("a1", None, 5)


def test_a_successor_is_its_own_anchor_may_refresh_and_forgets_the_seat_before() -> None:
    held = deployment("a2", canary("c1", 25), anchor=placed("a1"), may_refresh=False)
    record = made(held, looked("c1", "pass"))
    assert (record.anchor, record.anchored, record.canary) == (None, placed("c1"), None)
    assert record.may_refresh
    assert record.baseline == placed("b1")


def test_the_anchor_stays_through_refreshes() -> None:
    once = made(deployment("a1"), refreshed("a2", "a1"))
    twice = made(once, refreshed("a3", "a2", NUMBER + 1))
    assert (once.anchor, twice.anchor) == (placed("a1"), placed("a1"))
    assert (twice.digest, twice.epoch) == ("a3", 6)


def test_a_specification_without_refreshes_freezes_the_model_in_the_seat() -> None:
    who, epoch, _, reason = after(deployment("a1"), refreshed("a2", "a1"), Policy(refresh=False))
    assert (who, epoch) == ("a1", 4)
    assert "refresh: false" in reason


def test_steps_that_the_specification_changed_meanwhile_go_on_above_the_share_reached() -> None:
    policy = Policy(steps=(10, 20, 50, 100))
    record = made(deployment("b1", canary("a1", 25, 1)), looked("a1", "pass"), policy)
    assert record.canary is not None
    assert (record.canary.percent, record.canary.step, record.canary.epoch) == (50, 2, 5)


@pytest.mark.parametrize("named", [None, model("a1", stage="refused")])
def test_a_model_without_a_record_of_its_admission_goes_nowhere(named: ModelRecord | None) -> None:
    for record, event in (
        (deployment("b1"), superior("a1", "baseline")),
        (deployment("a0"), refreshed("a1", "a0")),
    ):
        found = after(Seat(record, model("b1"), named), event)
        assert found[:3] == (record.digest, 4, [])
        assert "no record" in found[3]


def test_a_rollback_is_remembered_and_leaves_a_seat_that_has_to_be_won_again() -> None:
    record = made(A2, degraded("a2"))
    assert (record.rolled_back, record.rollback_ms) == (("a2",), DAY_MS)
    assert not record.may_refresh
    assert record.anchor is None
    assert not record.frozen


def test_only_so_many_rolled_back_digests_are_remembered_and_the_oldest_go_first() -> None:
    full = tuple(f"x{i}" for i in range(MAX_REMEMBERED))
    record = made(deployment("a2", anchor=placed("a1"), rolled_back=full), degraded("a2"))
    assert record.rolled_back == (*full[1:], "a2")


def test_a_second_rollback_within_a_day_freezes_and_a_model_that_cannot_answer_leaves_too() -> None:
    frozen = made(rolled("a1"), degraded("a1"))
    assert (frozen.digest, frozen.frozen) == ("a1", True)
    gone = made(frozen, trip("a1"))
    assert (gone.digest, gone.frozen) == ("b1", True)
    assert made(rolled("a1", heard_ms=DAY_MS), trip("a1")).frozen


def test_an_anchor_that_cannot_answer_is_replaced_by_the_baseline() -> None:
    record = made(A2, trip("a1"))
    assert (record.anchor, record.rolled_back) == (placed("b1"), ("a1",))
    assert made(record, degraded("a2")).digest == "b1"


def test_a_person_is_asked_once_a_step() -> None:
    first = made(deployment("b1", canary("a1")), looked("a1", "inconclusive"))
    again = decide(Seat(first), looked("a1", "inconclusive", number=9), Policy(), now=NOW)
    assert isinstance(again, Transition)
    assert again.announcements == ()
    assert again.record.handled == 9
    next_step = made(first, looked("a1", "pass", number=9))
    asked = decide(
        Seat(next_step), looked("a1", "inconclusive", epoch=5, number=10), Policy(), now=NOW
    )
    assert isinstance(asked, Transition)
    assert told(asked.announcements) == ["asked a1"]


def test_a_judgement_of_a_step_counts_though_a_refresh_moved_the_epoch() -> None:
    beside = made(deployment("a1", canary("c1")), refreshed("a2", "a1"))
    passed = made(beside, looked("c1", "pass", epoch=4, number=9))
    assert passed.canary is not None
    assert passed.canary.percent == 25
    assert passed.digest == "a2"


@pytest.mark.parametrize(
    "event", [trip("a2"), trip("a1"), trip("b1"), model("b2", minutes=1)], ids=str
)
def test_an_event_without_a_number_that_comes_twice_moves_once(event: Event) -> None:
    record = made(A2, event)
    baseline = model(record.baseline.digest) if record.baseline else None
    again = decide(Seat(record, baseline), event, Policy(), now=NOW)
    assert isinstance(again, Stay)


def test_every_judgement_is_noted_with_its_outcome_in_words() -> None:
    record = made(A2, degraded("a2", "retrain"))
    assert (record.handled, record.heard_ms) == (NUMBER, DAY_MS)
    assert record.outcome.startswith("degraded: the world changed")
    assert record.reason == A2.reason


def test_a_record_of_an_earlier_version_learns_its_baseline() -> None:
    before = deployment("b1", baseline=None)
    assert completed(before).baseline == placed("b1")
    assert completed(deployment("a1", baseline=None)).baseline is None
    assert completed(A2) is A2


def test_the_policy_is_what_the_specification_says() -> None:
    documents = [
        {
            "apiVersion": "flyball/v1",
            "kind": "Pipeline",
            "metadata": {"name": "p"},
            "spec": {
                "source": {"interval": "1s", "metrics": ["load"]},
                "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
                "promotion": {"canary": [10, 100], "refresh": False},
            },
        }
    ]
    found = policy_of(parse_documents(documents).pipelines["p"])
    assert found == Policy(steps=(10, 100), refresh=False)


def _events() -> st.SearchStrategy[list[Any]]:
    digests = st.sampled_from(["a1", "a2", "c1", "c2", "l1", "b1", "b2"])
    trainers = st.sampled_from(sorted(TRAINERS.values()))
    outcomes = st.sampled_from(["pass", "fail", "inconclusive", "error"])
    decisions = st.sampled_from(["roll-back", "retrain", "compare"])
    event_ms = st.integers(1, 4 * DAY_MS)
    return st.lists(
        st.one_of(
            st.builds(superior, digests, trainers),
            st.builds(refreshed, digests, digests),
            st.builds(looked, digests, outcomes, st.integers(1, 30)),
            st.builds(lambda d, x, t: degraded(d, x, event_ms=t), digests, decisions, event_ms),
            st.builds(trip, digests),
            st.builds(lambda n: model(f"b{n}", minutes=n), st.integers(1, 3)),
        ),
        max_size=30,
    )


@given(_events())
def test_whatever_comes_the_invariants_of_a_deployment_hold(events: list[Any]) -> None:
    record: ActiveModel | None = None
    for event in (numbered(event, place) for place, event in enumerate(events, 1)):
        digest = getattr(event, "digest", None)
        baseline = record.baseline.digest if record and record.baseline else None
        seat = Seat(
            record,
            model(baseline, minutes=int(baseline[1])) if baseline else None,
            model(digest) if digest else None,
        )
        found = decide(seat, event, Policy(), now=NOW)
        assert decide(seat, event, Policy(), now=NOW) == found
        if isinstance(found, Transition):
            check(record, found, event)
            record = found.record


def numbered(event: Any, number: int) -> Any:
    if isinstance(event, (ModelRecord, ModelTripped)):
        return event
    return event.model_copy(update={"number": number})


def check(before: ActiveModel | None, found: Transition, event: Any) -> None:
    record = found.record
    assert ActiveModel.model_validate_json(record.model_dump_json()) == record
    epoch = before.epoch if before else 0
    moved = before is None or (before.active, before.canary) != (record.active, record.canary)
    assert record.epoch == epoch + moved
    kinds = [type(announcement) for announcement in found.announcements]
    assert len(set(kinds)) == len(kinds)
    assert set(found.announcements) <= set(owed(record))
    assert all(announcement.epoch == record.epoch for announcement in found.announcements)
    assert (DeploymentActivated in kinds) is (before is None or before.digest != record.digest)
    if record.canary is not None:
        assert record.canary.digest not in record.rolled_back
        assert record.canary.percent < 100
    if record.digest in record.rolled_back:
        assert record.trainer == "baseline"  # the last fallback answers for want of another
    if before is not None and before.frozen and before.digest != record.digest:
        assert isinstance(event, (ModelTripped, ModelRecord))
    again = decide(Seat(record, None, None), event, Policy(), now=NOW)
    if not isinstance(event, (ModelRecord, ModelTripped)):
        assert isinstance(again, Stay)


def test_the_judgements_of_the_table_are_all_that_there_are() -> None:
    kinds = {type(e) for e in (*REPORTS, superior("a1", "x"), refreshed("a1", "a0"))}
    kinds |= {Degraded, CanaryJudged}
    found: Any = AnyJudgement
    assert set(found.__origin__.__args__) == kinds
