"""The breaker of a partition: when it opens, how it finds its way back, what it never does."""

import json
from collections.abc import Iterable
from dataclasses import replace
from math import nan

import numpy as np
import pytest
from scipy.stats import betabinom
from tests.unit.risk_rows import BASELINE, Row, batch, judged, message, policy

from flyball_kit.clock import utc_now
from flyball_kit.fold import Input
from flyball_proto import sticky
from flyball_proto.breakers import BreakerOrder, BreakerRecord, BreakerTurned, gravest
from flyball_proto.columns import Breaker as State
from flyball_proto.columns import (
    Category,
    Result,
    Turned,
    Verdict,
    Verdicts,
    decode_verdicts,
    encode_verdicts,
)
from flyball_proto.headers import CHANGES
from flyball_proto.spec import BreakerRule
from flyball_risk.answering.turned import turned_route
from flyball_risk.breaking.binomial import chance_of_more
from flyball_risk.breaking.breaker import MAX_WAIT_MS, TRIED, Breaker
from flyball_risk.breaking.windows import KINDS, Reference, Window
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition

MINUTE_MS = 60_000
RULE = BreakerRule()
N = 100


class Drive:
    """One breaker, a window at a time."""

    def __init__(self, rule: BreakerRule = RULE) -> None:
        self.breaker, self.rule, self.now_ms = Breaker(), rule, MINUTE_MS

    def window(
        self, high: int = 5, n: int = N, *, denied: int = 0, failed: int = 0, labelled_ms: int = 0
    ) -> State:
        self.breaker.hear(labelled_ms)
        for i in range(n):
            self.breaker.advance(self.now_ms, 0, self.rule, "p")
            self.breaker.weigh(
                Verdict.DENY if i < denied else Verdict.CLEAR,
                Category.HIGH if i < high else Category.LOW,
                finite=i >= failed,
            )
        return self.after(self.rule.window_ms)

    def after(self, passed_ms: int) -> State:
        self.now_ms += passed_ms
        self.breaker.advance(self.now_ms, 0, self.rule, "p")
        return self.breaker.state

    def usual(self, windows: int = 8, high: int = 5) -> "Drive":
        for _ in range(windows):
            self.window(high)
        return self

    def opened(self) -> "Drive":
        assert self.usual().window(high=40) is State.OPEN
        return self

    @property
    def turns(self) -> list[tuple[State, str]]:
        return [(t.state, t.reason) for t in self.breaker.turned]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"high": 30}, "30% of 100 proposals are high-risk, 5.1% were"),
        ({"denied": 12}, "12% of 100 proposals are denied, 0.1% were"),
        ({"failed": 12}, "12% of 100 proposals are not a number, 0.1% were"),
    ],
)
def test_it_opens_when_a_share_jumps_and_says_the_figures(found, words):
    drive = Drive().usual()
    assert drive.window(**found) is State.OPEN
    assert drive.turns == [(State.OPEN, words)]
    assert drive.breaker.number == 1
    assert drive.breaker.turned[0].until_ms == drive.now_ms + RULE.retry_after_ms


@pytest.mark.parametrize(
    ("drive", "found"),
    [
        (Drive().usual(4), {"high": 90}),  # nothing to compare with yet
        (Drive().usual(), {"high": 9}),  # not twice
        (Drive().usual(), {"high": 11}),  # twice, and by chance
        (Drive().usual(), {"high": 40, "n": 49}),  # too few proposals
        (Drive(BreakerRule(enabled=False)).usual(), {"high": 90}),
    ],
)
def test_it_stays_closed_while_there_is_no_jump(drive, found):
    assert drive.window(**found) is State.CLOSED
    assert drive.turns == []


def test_a_share_that_is_high_already_opens_it_when_it_comes_nearer_to_all_by_half():
    assert Drive().usual(high=60).window(high=78) is State.CLOSED
    assert Drive().usual(high=60).window(high=85) is State.OPEN


def test_windows_with_too_few_proposals_are_looked_at_together():
    drive = Drive().usual()
    for _ in range(2):
        drive.window(high=20, n=24)
        assert drive.breaker.state is State.CLOSED
    assert drive.window(high=20, n=24) is State.OPEN


def test_while_it_is_open_nothing_goes_out_and_in_a_trial_the_same_tenth_of_the_elements():
    drive = Drive().opened()
    assert "the breaker is open, 40%" in drive.breaker.why_not("a")
    assert drive.after(RULE.retry_after_ms) is State.TRIAL
    names = [f"cell-{i}" for i in range(2000)]
    let = [name for name in names if not drive.breaker.why_not(name)]
    assert let == [n for n in names if sticky.fraction("breaker", "1", n) < TRIED]
    assert 0.08 < len(let) / len(names) < 0.12
    drive.window(n=10)
    assert let == [name for name in names if not drive.breaker.why_not(name)]


def test_a_good_trial_closes_it_and_the_next_opening_waits_as_long_as_the_first():
    drive = Drive().opened()
    drive.after(RULE.retry_after_ms)
    assert drive.window() is State.CLOSED
    assert drive.turns[-1] == (State.CLOSED, "100 proposals of the trial are as usual")
    assert drive.window(high=40) is State.OPEN
    assert drive.breaker.turned[-1].until_ms == drive.now_ms + RULE.retry_after_ms


def test_a_trial_waits_until_enough_was_proposed():
    drive = Drive().opened()
    drive.after(RULE.retry_after_ms)
    assert drive.window(high=0, n=10) is State.TRIAL
    assert drive.window(high=2, n=40) is State.CLOSED


def test_a_bad_trial_opens_it_again_for_twice_as_long_up_to_a_day():
    drive, waits = Drive().opened(), []
    for _ in range(12):
        last = drive.breaker.turned[-1]
        waits.append(last.until_ms - last.clock_ms)
        assert drive.after(waits[-1]) is State.TRIAL
        assert drive.window(high=12) is State.OPEN  # a jump no more, but twice the usual
    assert waits[:4] == [RULE.retry_after_ms * 2**i for i in range(4)]
    assert waits[-1] == MAX_WAIT_MS == max(waits)
    assert drive.breaker.number == 13


def test_while_the_source_is_silent_ticks_bring_the_trial():
    breaker = Drive().opened().breaker
    far_ms = 1_700_000_000_000
    breaker.tick(far_ms, 0)
    breaker.tick(far_ms + RULE.retry_after_ms - 1, 0)
    assert breaker.state is State.OPEN
    breaker.tick(far_ms + RULE.retry_after_ms, 0)
    assert breaker.state is State.TRIAL


def test_labels_that_do_not_come_while_actions_go_out_open_it():
    drive = Drive(BreakerRule(labels_within="10min"))
    drive.usual(3)
    assert drive.after(20 * MINUTE_MS) is State.CLOSED  # no action, no label is missed
    drive.breaker.note(Verdict.CLEAR)
    drive.after(9 * MINUTE_MS)
    drive.window(labelled_ms=5)
    drive.breaker.note(Verdict.CLEAR)
    assert drive.after(10 * MINUTE_MS) is State.CLOSED
    assert drive.after(1) is State.OPEN
    assert drive.turns == [(State.OPEN, "no label came for 10min while actions went out")]
    drive.after(RULE.retry_after_ms)
    assert drive.window(labelled_ms=5) is State.OPEN
    drive.after(2 * RULE.retry_after_ms)
    assert drive.window(labelled_ms=6) is State.CLOSED


def test_labels_that_were_heard_while_nothing_was_proposed_keep_it_closed():
    under = policy(breaker={"labels_within": "10min"})
    heard_ms = [0]
    fold = RiskFold(lambda _: Frame(under, labelled_ms=heard_ms[-1]))

    def at(minute: int, action: str | None = None) -> Verdicts:
        rows = [replace(row, action=action) for row in rows_at(minute * MINUTE_MS, 0.99, 3)]
        return judged_by(fold, rows, 3 * minute)

    assert set(at(1, "offload").verdict.tolist()) == {Verdict.CLEAR}
    heard_ms.append(5 * MINUTE_MS)
    quiet = [at(minute) for minute in range(2, 20)]
    assert set(at(20, "offload").verdict.tolist()) == {Verdict.CLEAR}
    late = [at(minute) for minute in range(21, 33)]
    assert [len(found.turned) for found in quiet + late] == [0] * (len(quiet) + 10) + [1, 0]


def test_a_person_closes_it_and_what_is_usual_is_learnt_anew():
    drive = Drive().opened()
    order = BreakerOrder(state="closed", number=1, reason="new cells", by="ana")
    drive.breaker.obey(order, 3)
    assert drive.breaker.turned[-1] == Turned(
        State.CLOSED, "reset by ana: new cells", drive.now_ms, 0, 3, 1, "ana"
    )
    assert drive.window(high=40) is State.CLOSED
    assert drive.usual(8, high=40).breaker.state is State.CLOSED


def test_it_follows_another_partition_once_and_not_after_a_reset():
    drive = Drive().usual()
    order = BreakerOrder(
        state="open", number=1, reason="r", by="partition 2", clock_ms=9, wait_ms=5000
    )
    drive.breaker.obey(order, 0)
    assert drive.breaker.turned == [
        Turned(State.OPEN, "r", drive.now_ms, drive.now_ms + 5000, 0, 1, "partition 2")
    ]
    drive.breaker.obey(order, 0)
    drive.breaker.obey(BreakerOrder(state="closed", number=1, reason="", by="ana"), 0)
    drive.breaker.obey(order, 0)
    assert drive.breaker.state is State.CLOSED
    assert len(drive.breaker.turned) == 2


def test_under_other_rules_other_shares_are_usual():
    drive = Drive().usual()
    for _ in range(N):
        drive.breaker.advance(drive.now_ms, 0, RULE, "q")
        drive.breaker.weigh(Verdict.DENY, Category.CRITICAL, finite=True)
    drive.breaker.advance(drive.now_ms + RULE.window_ms, 0, RULE, "q")
    assert drive.breaker.state is State.CLOSED


def test_switched_off_it_closes():
    drive = Drive().opened()
    drive.rule = BreakerRule(enabled=False)
    assert drive.after(1) is State.CLOSED


@pytest.mark.parametrize("at", [State.CLOSED, State.OPEN, State.TRIAL])
def test_what_is_kept_goes_on_as_if_nothing_had_happened(at):
    drive = Drive().usual()
    if at is not State.CLOSED:
        drive.window(high=40)
    if at is State.TRIAL:
        drive.after(RULE.retry_after_ms)
    plain = json.loads(json.dumps(drive.breaker.as_json()))
    again = Drive()
    again.breaker, again.now_ms = Breaker.from_json(plain), drive.now_ms
    drive.breaker.turned = []
    assert again.breaker.as_json() == plain
    for each in (drive, again):
        each.window(high=40)
        each.after(3 * RULE.retry_after_ms)
        each.window()
    assert again.breaker.turned == drive.breaker.turned
    assert again.breaker.as_json() == drive.breaker.as_json()


def test_a_state_from_before_there_were_breakers_is_closed():
    assert Breaker.from_json({}).state is State.CLOSED


def windows(rng: np.random.Generator, share: float, n: int, scatter: float) -> Iterable[Window]:
    """Windows without end; between them the share itself moves by `scatter` of it (its sd)."""
    size = (1 - share) / (share * scatter**2) - 1 if scatter else 0
    while True:
        moved = rng.beta(share * size, (1 - share) * size) if scatter else share
        yield Window(0, n, rng.binomial(n, [moved] * len(KINDS)).tolist())


@pytest.mark.parametrize("scatter", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.005, 0.05, 0.3])
def test_without_change_at_most_one_window_of_a_thousand_opens_it(share, scatter):
    rng, false_trips, looked_at = np.random.default_rng(7), 0, 0
    for n in (50, 200, 1000):
        reference = Reference()
        for window, _ in zip(windows(rng, share, n, scatter), range(10_000), strict=False):
            if reference.jumps(window):
                false_trips += 1
            else:
                reference.learn(window)
            looked_at += 1
    assert false_trips <= looked_at / 1000


@pytest.mark.parametrize(
    ("share", "n", "least"), [(0.1, 200, 0.99), (0.05, 400, 0.99), (0.1, 100, 0.9)]
)
def test_a_tripled_share_is_noticed_within_two_windows(share, n, least):
    rng, noticed, runs = np.random.default_rng(11), 0, 400
    for _ in range(runs):
        reference = Reference()
        for window, _ in zip(windows(rng, share, n, 0), range(20), strict=False):
            reference.learn(window)
        for window, _ in zip(windows(rng, 3 * share, n, 0), range(2), strict=False):
            if reference.jumps(window):
                noticed += 1
                break
            reference.learn(window)
    assert noticed >= least * runs


@pytest.mark.parametrize(
    ("hits", "rows", "a", "b"), [(9, 50, 3.2, 90), (4, 60, 0.5, 250), (70, 100, 40, 60)]
)
def test_the_tail_is_that_of_scipy(hits, rows, a, b):
    assert chance_of_more(hits, rows, a, b) == pytest.approx(betabinom.sf(hits - 1, rows, a, b))
    assert chance_of_more(0, rows, a, b) == 1
    assert chance_of_more(rows + 1, rows, a, b) == 0


def judged_by(fold: RiskFold, rows: list[Row], sequence: int = 1) -> Verdicts:
    fold.step(message(batch(rows, first=sequence), sequence))
    output = fold.take()
    assert output is not None
    fold.load(fold.dump())
    return decode_verdicts(output.data)


def rows_at(time_ms: int, score: float, n: int = 60) -> list[Row]:
    return [Row(f"cell-{i}", time_ms, score) for i in range(n)]


def trip() -> tuple[RiskFold, list[Verdicts]]:
    """A fold whose breaker opened in its last output."""
    under = policy(budgets={"actions_per_minute": 1_000_000})
    fold = RiskFold(lambda _: Frame(under))
    scores = [0.99] * 8 + [nan] * 2
    found = [
        judged_by(fold, rows_at(i * MINUTE_MS, score), 1 + 60 * i) for i, score in enumerate(scores)
    ]
    return fold, found


def test_what_the_fold_judges_after_it_opened_is_recorded_only():
    fold, found = trip()
    assert [len(v.turned) for v in found] == [0] * 9 + [1]
    turned = found[-1].turned[0]
    assert turned.state is State.OPEN
    assert "100% of 60 proposals are not a number" in turned.reason
    assert turned.before == 0
    after = judged_by(fold, rows_at(10 * MINUTE_MS, 0.99), 601)
    assert set(after.verdict.tolist()) == {Verdict.ADVISE}
    assert "recorded only: the breaker is open, 100% of 60" in after.reason[0]


def test_what_may_not_go_out_anyway_is_not_weighed():
    advisory, baseline = Partition(), Partition()
    for name, rows, risk in [
        (advisory, rows_at(0, 0.9), {"autonomy": "advisory"}),
        (baseline, [Row(f"c-{i}", 0, nan, model=BASELINE) for i in range(60)], {}),
    ]:
        fold = RiskFold(lambda _, under=policy(**risk): Frame(under))
        fold._partition = name
        fold.step(message(batch(rows)))
        assert name.breaker.as_json()["window"][1] == 0


def turned_message(*turned: Turned) -> Input:
    data = encode_verdicts(replace(judged([Row()]), turned=turned))
    return Input(42, 1_000_000_000, "verdicts.congestion.1", {CHANGES: "1"}, data)


def test_an_opening_is_recorded_told_and_ordered_of_the_other_partitions():
    turned = Turned(State.OPEN, "r", 5000, 8000, 0, 3)
    found = turned_route(turned_message(turned), 3)
    assert [(d.subject, d.key, d.stream) for d in found] == [
        ("$KV.breakers.congestion.1", (42, 0), "KV_breakers"),
        ("risk.congestion.breaker-turned", (42, 0), "EVENTS"),
        ("decisions.congestion.0.answers", (42, 0), "DECISIONS"),
        ("decisions.congestion.2.answers", (42, 0), "DECISIONS"),
    ]
    record = BreakerRecord.model_validate_json(found[0].data)
    assert (record.state, record.number, record.until_ms) == ("open", 3, 8000)
    assert BreakerTurned.model_validate_json(found[1].data).breaker == record
    order = BreakerOrder.model_validate_json(found[2].data)
    assert (order.by, order.wait_ms, order.number) == ("partition 1", 3000, 3)


def test_who_follows_or_closes_orders_nothing():
    follows = Turned(State.OPEN, "r", 5000, 8000, 0, 3, "partition 0")
    closes = Turned(State.CLOSED, "r", 9000, 0, 0, 3, "ana")
    found = turned_route(turned_message(follows, closes), 3)
    assert [(d.subject, d.key) for d in found] == [
        ("$KV.breakers.congestion.1", (42, 0)),
        ("$KV.breakers.congestion.1", (42, 1)),
        ("risk.congestion.breaker-turned", (42, 1)),
    ]


def test_the_pipelines_breaker_is_the_gravest_of_its_partitions():
    def record(partition: int, state: str, by: str = "") -> BreakerRecord:
        return BreakerRecord(
            pipeline="p", partition=partition, state=state, number=1, reason="", by=by,
            clock_ms=0, until_ms=0, at=utc_now(),
        )  # fmt: skip

    follows, opens = record(0, "open", "partition 1"), record(1, "open")
    assert gravest([]) is None
    assert gravest([record(0, "closed")]) is None
    assert gravest([record(0, "closed"), record(1, "trial")]) is not None
    assert gravest([follows, opens, record(2, "trial")]) == opens


def test_an_order_between_the_decisions_opens_the_partition_and_is_answered():
    fold = RiskFold(lambda _: Frame(policy()))
    judged_by(fold, rows_at(0, 0.99, 3))
    order = BreakerOrder(state="open", number=1, reason="r", by="partition 0", wait_ms=1000)
    data = order.model_dump_json().encode()
    for sequence, result in ((2, Result.ENDED), (3, Result.NOTED)):
        fold.step(Input(sequence, 0, "decisions.congestion.1.answers", None, data))
        output = fold.take()
        assert output is not None
        found = decode_verdicts(output.data)
        assert [(a.sequence, a.result) for a in found.answered] == [(sequence, result)]
        assert len(found.turned) == (result is Result.ENDED)
    assert set(judged_by(fold, rows_at(500, 0.99), 4).verdict.tolist()) == {Verdict.ADVISE}


def test_an_output_ends_after_five_hundred_proposals_so_that_a_stop_is_heard_between():
    fold = RiskFold(lambda _: Frame(policy()))
    assert not fold.step(message(batch(rows_at(0, 0.99, 499))))
    assert fold.step(message(batch(rows_at(0, 0.99, 1), first=500), 2))
    assert fold.take() is not None
    assert not fold.step(message(batch(rows_at(0, 0.99, 1), first=501), 3))
