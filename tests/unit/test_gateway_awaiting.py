"""What a newcomer is told of what happens next: the table is the product."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.broker import chain

from flyball_gateway.awaited.awaiting import MAX_SENTENCES, awaited
from flyball_gateway.awaited.phrases import listed, span, thousands
from flyball_gateway.awaited.situation import Situation
from flyball_proto.breakers import BreakerRecord
from flyball_proto.deployments import ActiveModel, Canary, Pin
from flyball_proto.holds import Stop
from flyball_proto.progress import Comparison, Standings, TrainerProgress
from flyball_proto.spec import feature_digest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
TRAINERS = [
    {"name": "recent", "kind": "lightgbm", "retrain_on_drift": True},
    {"name": "linear", "kind": "logistic"},
]
FOUND = chain.catalogue("congestion", trainers=TRAINERS)
PIPELINE, SOURCE = FOUND.pipelines["congestion"], FOUND.sources["congestion"]
DIGEST = feature_digest(PIPELINE, SOURCE)


def learner(trainer: str = "recent", **given: Any) -> TrainerProgress:
    """A trainer that has 40 of 100 rows over 40 of 300 s; a row comes each second."""
    facts: dict[str, Any] = {
        "pipeline": "congestion",
        "trainer": trainer,
        "feature_digest": DIGEST,
        "at": NOW,
        "state": "gathering",
        "now_ms": NOW_MS,
        "rows": 40,
        "rows_needed": 100,
        "span_ms": 40_000,
        "span_needed_ms": 300_000,
        "due_ms": 0,
        "rows_per_s": 1.0,
    }
    return TrainerProgress(**facts | given)


def trained(trainer: str = "recent", **given: Any) -> TrainerProgress:
    """A trainer that has a model and trains again in nine minutes."""
    facts: dict[str, Any] = {
        "state": "waiting",
        "rows": 400,
        "rows_needed": 20,
        "span_needed_ms": 0,
        "due_ms": NOW_MS + 9 * MINUTE_MS,
        "models": 1,
    }
    return learner(trainer, **facts | given)


def against(trainer: str = "linear", **given: Any) -> Comparison:
    facts: dict[str, Any] = {
        "trainer": trainer,
        "over": "baseline",
        "comparison": 1,
        "log_e": 2.1,
        "threshold": 4.4,
        "blocks": 50,
        "better_by_at_least": -0.01,
        "expected_blocks": 14,
        "word": "continue",
        "detail": "better by -0.01 to +0.10 after 50 blocks",
    }
    return Comparison(**facts | given)


def stand(*comparisons: Comparison, **given: Any) -> Standings:
    facts: dict[str, Any] = {
        "pipeline": "congestion",
        "feature_digest": DIGEST,
        "at": NOW,
        "task": "binary",
        "metric": "brier",
        "now_ms": NOW_MS,
        "labelled": 1000,
        "block_ms": 5 * MINUTE_MS,
        "season_ms": 0,
        "comparisons": comparisons,
    }
    return Standings(**facts | given)


def seat(trainer: str = "baseline", **given: Any) -> ActiveModel:
    facts: dict[str, Any] = {
        "digest": "d",
        "trainer": trainer,
        "feature_digest": DIGEST,
        "epoch": 1,
        "since": NOW,
        "reason": "test",
    }
    return ActiveModel(**facts | given)


def now(*progress: TrainerProgress, **given: Any) -> Situation:
    facts: dict[str, Any] = {"deployment": seat(), "arrived": True, "progress": progress}
    return Situation(PIPELINE, SOURCE, DIGEST, NOW, **facts | given)


STOP = Stop(pipeline="congestion", stopped=True, by="ann", why="works", at=NOW)
BREAKER = BreakerRecord(
    pipeline="congestion",
    partition=0,
    state="open",
    number=1,
    reason="40% of 100 proposals are high-risk",
    clock_ms=1_000,
    until_ms=301_000,
    at=NOW,
)
PIN = Pin(by="ann", why="works", at=NOW)
CANARY = Canary(digest="c", trainer="recent", feature_digest=DIGEST, step=1, percent=25, since=NOW)
DAY = {"season_ms": 24 * HOUR_MS, "season_left_ms": 3 * HOUR_MS}
LONG_AGO = NOW_MS - 90 * 24 * HOUR_MS
SAID = (
    "better so far, but less than one season was compared: better by +0.01 to +0.1 after 60 blocks"
)


@pytest.mark.parametrize(
    ("situation", "sentences"),
    [
        (now(), []),
        (now(deployment=None), ["no model answers yet: baseline is the first"]),
        (now(stop=STOP), ["stopped by ann: nothing is sent until flyball resume congestion"]),
        (now(stop=STOP.model_copy(update={"stopped": False})), []),
        (
            now(breaker=BREAKER),
            [
                (
                    "the breaker is open, nothing is sent: 40% of 100 proposals are high-risk; a "
                    "trial begins after about 5 min more of data, or flyball breaker reset "
                    "congestion"
                )
            ],
        ),
        (
            now(breaker=BREAKER.model_copy(update={"state": "trial"})),
            ["the breaker is in a trial: a tenth of the elements are acted on"],
        ),
        (now(open_holds=1), ["1 decision waits for a person: flyball holds list"]),
        (now(open_holds=3), ["3 decisions wait for a person: flyball holds list"]),
        (
            now(deployment=seat(pinned=PIN)),
            ["pinned by ann: no model moves by itself until it is unpinned"],
        ),
        (
            now(deployment=seat(frozen=True)),
            ["frozen after a second rollback: no model moves by itself until a person decides"],
        ),
        (
            now(arrived=False),
            ["no metric has arrived yet: flyball publish congestion element-1 load=0.5"],
        ),
        (now(arrived=None), []),
        (
            now(learner(now_ms=0, rows=0, span_ms=0, rows_per_s=0), arrived=True),
            ["no row has a label yet: the truth is known 30 s after the row"],
        ),
        (
            now(learner(now_ms=0, rows=0, span_ms=0, rows_per_s=0), refused=1_200),
            [
                "1 200 reports were refused: flyball quarantine list congestion",
                "no row has a label yet: the truth is known 30 s after the row",
            ],
        ),
        (
            now(learner()),
            ["labelled rows: 40 of 100 for the first training of recent, in about 4 min"],
        ),
        (
            now(learner(rows=1240, rows_needed=5000, rows_per_s=10.4)),
            ["labelled rows: 1 240 of 5 000 for the first training of recent, in about 6 min"],
        ),
        (
            now(learner(), learner("linear")),
            ["labelled rows: 40 of 100 for the first training of recent and linear, in about 4 min"],
        ),
        (
            now(learner(rows=500)),
            ["labelled rows cover 40 s of 5 min for the first training of recent, in about 4 min"],
        ),
        (
            now(learner(rows_per_s=0)),
            ["labelled rows: 40 of 100 for the first training of recent"],
        ),
        (
            now(learner(rows=500, span_ms=HOUR_MS)),
            ["the first training of recent is due"],
        ),
        (
            now(learner(rows=500, failed="found label 0 in all 500 rows, needed both classes")),
            ["recent gave no model: found label 0 in all 500 rows, needed both classes"],
        ),
        (
            now(learner(failed="no model within 120 s", due_ms=NOW_MS + 15 * MINUTE_MS)),
            ["recent gave no model: no model within 120 s; it trains again in about 15 min"],
        ),
        (now(learner(state="fitting")), ["recent is being trained"]),
        (
            now(learner(state="fitting"), learner("linear", state="queued")),
            ["recent is being trained", "linear waits for a free worker to be trained"],
        ),
        (now(learner(state="publishing")), ["recent has a new model that is being published"]),
        (now(trained()), ["recent trains again in about 9 min, or on drift"]),
        (
            now(trained(), trained("linear", due_ms=NOW_MS + 2 * HOUR_MS)),
            [
                "recent trains again in about 9 min, or on drift",
                "linear trains again in about 2 h",
            ],
        ),
        (
            now(trained("linear", rows=8, due_ms=NOW_MS - 1)),
            ["linear trains again after 12 more labelled rows"],
        ),
        (now(trained("linear", due_ms=NOW_MS - 1)), ["linear trains again with the next rows"]),
        (
            now(trained("linear", rows=0, rows_per_s=0.01)),
            ["linear trains again in about 33 min"],
        ),
        (
            now(deployment=seat(canary=CANARY)),
            [
                ("recent answers for 25 % of the elements as a canary; it goes on when its guards "
                "pass")
            ],
        ),
        (
            now(standings=stand(against(), **DAY)),
            [
                ("first succession possible in about 3 h: a season of 24 h has to be compared, "
                "21 h are"),
                "linear against baseline: evidence 2.1 of 4.4, about 14 more blocks of 5 min",
            ],
        ),
        (
            now(trained(state="fitting"), standings=stand(**DAY | {"season_left_ms": 24 * HOUR_MS})),
            [
                "recent is being trained",
                ("first succession possible in about 24 h: a season of 24 h has to be compared, "
                "nothing is yet"),
            ],
        ),
        (now(standings=stand(**DAY)), []),
        (now(standings=stand(against(), **DAY), deployment=None), [
            "no model answers yet: baseline is the first"
        ]),
        (
            now(standings=stand(against(log_e=-0.3, expected_blocks=None))),
            ["linear against baseline: no evidence yet after 50 blocks of 5 min"],
        ),
        (
            now(
                standings=stand(
                    against("recent", log_e=0.0, expected_blocks=None, blocks=1),
                    against(log_e=-0.3, expected_blocks=None, blocks=3),
                    against("long"),
                )
            ),
            [
                "long against baseline: evidence 2.1 of 4.4, about 14 more blocks of 5 min",
                ("linear and recent against baseline: no evidence yet after at most 3 blocks of "
                "5 min"),
            ],
        ),
        (
            now(standings=stand(against(expected_blocks=None))),
            ["linear against baseline: evidence 2.1 of 4.4 after 50 blocks of 5 min"],
        ),
        (
            now(standings=stand(against(log_e=6.04, expected_blocks=0, detail=SAID))),
            [
                ("linear against baseline: evidence 6.0 of 4.4, better so far, but less than one "
                "season was compared")
            ],
        ),
        (
            now(standings=stand(against(log_e=9, expected_blocks=0, word="superior"))),
            ["linear against baseline: better, by evidence; its canary is next"],
        ),
        (
            now(standings=stand(against(word="inferior"))),
            ["linear against baseline: worse, by evidence"],
        ),
        (
            now(standings=stand(against(), against("recent", log_e=3.0, expected_blocks=1))),
            [
                "recent against baseline: evidence 3.0 of 4.4, about 1 more block of 5 min",
                "linear against baseline: evidence 2.1 of 4.4, about 14 more blocks of 5 min",
            ],
        ),
        # its canary runs, another seat was compared, nothing is compared yet
        (now(standings=stand(against("recent"), against(over="long"), against(blocks=0)),
             deployment=seat(canary=CANARY)),
         ["recent answers for 25 % of the elements as a canary; it goes on when its guards pass"]),
        # of other features, or a trainer that is not in the specification any more
        (now(learner(feature_digest="other"), learner("gone")), []),
        (now(standings=stand(against(), feature_digest="other")), []),
    ],
)  # fmt: skip
def test_what_is_awaited(situation: Situation, sentences: list[str]) -> None:
    assert list(awaited(situation)) == sentences


def test_when_rows_stop_coming_that_is_said_and_no_time_is_promised() -> None:
    still = now(learner(), trained("linear"), standings=stand(against(), **DAY))
    later = replace(still, at=NOW + timedelta(minutes=12))
    assert awaited(later) == (
        "no row with a label has come for about 12 min",
        "labelled rows: 40 of 100 for the first training of recent",
        "no first succession yet: a season of 24 h has to be compared, 21 h are",
        "linear against baseline: evidence 2.1 of 4.4, about 14 more blocks of 5 min",
    )
    assert "no row" not in awaited(replace(still, at=NOW + timedelta(minutes=1)))[0]


def test_of_history_that_is_played_over_times_are_told_as_so_much_data() -> None:
    told = now(
        learner(now_ms=LONG_AGO), trained("linear", now_ms=LONG_AGO, due_ms=LONG_AGO + HOUR_MS)
    )
    assert awaited(told) == (
        "labelled rows: 40 of 100 for the first training of recent, after about 4 min more of data",
        "linear trains again after about 60 min more of data",
    )


def test_a_feedback_target_says_where_the_truth_is_published() -> None:
    target = {"task": "binary", "kind": "feedback", "horizon": "1h"}
    found = chain.catalogue("fraud", target=target, trainers=TRAINERS)
    pipeline, source = found.pipelines["fraud"], found.sources["fraud"]
    digest = feature_digest(pipeline, source)
    waits = learner(pipeline="fraud", feature_digest=digest, now_ms=0, rows=0, rows_per_s=0)
    told = awaited(Situation(pipeline, source, digest, NOW, [waits], deployment=seat()))
    assert told == ("no truth has arrived yet: it is published on labels.fraud.<element>",)


def test_the_most_pressing_comes_first_and_never_more_than_six() -> None:
    crowd = now(
        trained(), trained("linear", due_ms=NOW_MS + HOUR_MS),
        standings=stand(against(), against("recent"), **DAY),
        deployment=seat(pinned=PIN, canary=CANARY), stop=STOP, open_holds=2,
    )  # fmt: skip
    told = awaited(crowd)
    assert len(told) == MAX_SENTENCES
    assert told[0].startswith("stopped by ann")
    assert told[1].startswith("2 decisions wait")
    assert all(sentence.isascii() for sentence in told)


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 s"), (500, "500 ms"), (1_000, "1 s"), (89_000, "89 s"), (90_000, "2 min"),
        (5 * MINUTE_MS, "5 min"), (89 * MINUTE_MS, "89 min"), (90 * MINUTE_MS, "2 h"),
        (24 * HOUR_MS, "24 h"), (47 * HOUR_MS, "47 h"), (48 * HOUR_MS, "2 days"),
        (365 * 24 * HOUR_MS, "365 days"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_told_as_a_person_would(ms: int, words: str) -> None:
    assert span(ms) == words


def test_numbers_and_lists_are_told_as_a_person_would() -> None:
    assert (thousands(999), thousands(1_234_567)) == ("999", "1 234 567")
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b and c")
