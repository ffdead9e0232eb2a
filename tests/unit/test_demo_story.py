"""The demo's lines and losses, by value."""

from datetime import UTC, datetime

import pytest

from flyball_local.demo.losses import Losses
from flyball_local.demo.story import Telling, parse, short
from flyball_proto.events import ModelRefused
from flyball_proto.judgements import Superior

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def losses() -> Losses:
    return Losses(cells=2, begin_ms=0, seconds=100, horizon_s=3, threshold=90.0, acting_s=5)


def test_a_decision_is_judged_by_the_highest_load_within_its_horizon() -> None:
    found = losses()
    for second in range(8):
        found.second(1000 * second, [95.0 if second == 4 else 50.0, 50.0])
        found.scored(1000 * second, 0, 1.0)
        found.scored(1000 * second, 1, 0.0)
    brier = found.brier(0, 5_000)
    assert brier is not None
    assert brier[0] == pytest.approx(2 / 10)  # the first cell's at 0 s and at 4 s


def test_a_decision_whose_element_is_under_an_action_within_its_horizon_does_not_count() -> None:
    found = losses()
    for second in range(8):
        found.second(1000 * second, [50.0, 50.0])
        found.scored(1000 * second, 0, 1.0)
        found.scored(1000 * second, 1, 0.0)
    found.acted(0, 0)
    brier = found.brier(0, 4_000)
    assert brier is not None
    assert brier[0] == 0.0


def test_a_span_without_known_truth_has_no_loss() -> None:
    found = losses()
    found.second(0, [50.0, 50.0])
    assert found.brier(0, 1_000) is None


def test_the_first_of_a_kind_are_told_and_the_rest_are_counted() -> None:
    said: list[str] = []
    telling = Telling(said.append, lambda _: 30.5)
    for number in range(5):
        telling.some("holds", f"hold {number}", told=2)
    assert said == [
        "day 2 06:30  hold 0",
        "day 2 06:30  hold 1",
        "day 2 06:30  more holds follow; from here on they are counted",
    ]
    assert telling.counts["holds"] == 5


def test_evidence_is_told_with_its_figures() -> None:
    said: list[str] = []
    event = Superior(
        pipeline="congestion",
        at=NOW,
        number=1,
        event_ms=5,
        trainer="long",
        digest="0" * 64,
        over="baseline",
        comparison=2,
        log_e=5.18,
        threshold=5.03,
        blocks=63,
        better_by=0.0069,
    )
    telling = Telling(said.append, lambda _: 0.0)
    known = parse(event.subject, event.model_dump_json().encode())
    assert known == event
    telling.event(known)
    assert "log E 5.18 over its bound 5.03 after 63 blocks, by 0.0069 Brier at least" in said[0]


def test_what_nobody_tells_of_is_passed_over() -> None:
    assert parse("runtime.congestion.settled.trainer", b"{}") is None


def test_keys_and_digests_are_told_by_their_beginning() -> None:
    said: list[str] = []
    event = ModelRefused(
        pipeline="congestion",
        at=NOW,
        digest="a" * 64,
        trainer="long",
        check="digest",
        found="b" * 64,
        limit="a" * 64,
    )
    Telling(said.append, lambda _: 0.0).event(event)
    assert said[0].endswith("digest: found bbbbbbbb…, needed aaaaaaaa…")
    assert short("12 bytes, at most 8") == "12 bytes, at most 8"
