"""Clocks that jump: one element's, all elements', the machine's. Nothing may go out because of it."""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.risk_rows import Row, batch, message, policy

from flyball_proto.columns import Outcome, Verdict, Verdicts, decode_verdicts
from flyball_risk.fold import RiskFold
from flyball_risk.judging.clock import LEAP_MS, Clock
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition

V = Verdict
HOUR_MS = 3_600_000


class Judge:
    """A fold that judges one output after the other."""

    def __init__(self, **risk: Any) -> None:
        under = policy({"action": "offload", "score_at_least": 0.1, "cooldown": "60s"}, **risk)
        self.fold = RiskFold(lambda _: Frame(under))
        self.given = 0

    def judge(self, *rows: Row, tick_ms: int = 0) -> Verdicts:
        self.fold.step(message(batch(rows, self.given + 1, tick_ms=tick_ms), self.given + 1))
        self.given += len(rows) or 1
        output = self.fold.take()
        assert output is not None
        return decode_verdicts(output.data)

    def verdicts(self, *rows: Row) -> list[Verdict]:
        return [V(v) for v in self.judge(*rows).verdict]


def quiet(element: str, time_ms: int) -> Row:
    return Row(element, time_ms, 0.0, None)


def wrong(time_ms: int) -> Row:
    """An element whose clock is an hour ahead."""
    return quiet("wrong", time_ms + HOUR_MS)


def test_one_element_an_hour_ahead_does_not_fill_the_budgets_again() -> None:
    judge = Judge(budgets={"actions_per_minute": 2})
    assert judge.verdicts(*(Row(f"e{i}", 1000) for i in range(3))) == [V.CLEAR, V.CLEAR, V.CAP]
    judge.judge(wrong(2000))
    assert judge.verdicts(Row("e3", 3000)) == [V.CAP]
    judge.judge(wrong(4000))
    assert judge.verdicts(Row("e4", 5000), Row("e4", 70_000)) == [V.CAP, V.CLEAR]


def test_one_element_an_hour_ahead_ends_no_cool_down() -> None:
    judge = Judge()
    assert judge.verdicts(Row("a", 1000), wrong(2000), wrong(3000)) == [V.CLEAR] * 3
    assert judge.verdicts(Row("a", 4000), wrong(5000), Row("a", 6000)) == [V.CAP, V.CLEAR, V.CAP]


def test_one_element_an_hour_ahead_frees_no_share_of_a_group() -> None:
    judge = Judge(budgets={"elements_per_label": {"site": 0.2}, "window": "10min"})
    judge.judge(*(quiet(f"e{i}", 0) for i in range(10)))
    assert judge.verdicts(Row("e0", 1000), Row("e1", 1001)) == [V.CLEAR, V.CLEAR]
    assert judge.verdicts(wrong(2000), Row("e2", 3000), wrong(4000), Row("e3", 5000)) == [
        V.CLEAR,
        V.CAP,
        V.CLEAR,
        V.CAP,
    ]


def test_one_element_an_hour_ahead_keeps_the_others_from_nothing_for_that_hour() -> None:
    judge = Judge(budgets={"actions_per_minute": 1})
    found = []
    for minute in range(5):
        found += judge.verdicts(wrong(minute * 61_000), Row(f"e{minute}", minute * 61_000 + 1))
    assert [v for v in found if v is not V.CLEAR] == []


def test_one_element_an_hour_ahead_takes_no_time_from_people() -> None:
    judge = Judge(boundaries=[{"name": "ask", "verdict": "hold", "when": "element.name == 'a'"}])
    (hold,) = judge.judge(Row("a", 1000)).opened
    assert not judge.judge(wrong(2000), quiet("b", 3000), wrong(4000)).released
    (end,) = judge.judge(quiet("b", hold.expires_ms)).released
    assert end.outcome is Outcome.EXPIRED


def test_a_leap_that_another_element_confirms_is_the_time() -> None:
    judge = Judge(budgets={"actions_per_minute": 1})
    assert judge.verdicts(Row("a", 1000), Row("b", 1001)) == [V.CLEAR, V.CAP]
    after = (quiet("a", HOUR_MS), Row("b", HOUR_MS + 5000))
    assert judge.verdicts(*after) == [V.CLEAR, V.CLEAR]


def test_an_element_that_is_alone_confirms_its_own_leap() -> None:
    judge = Judge(budgets={"actions_per_minute": 1})
    assert judge.verdicts(Row("a", 1000)) == [V.CLEAR]
    times_ms = [HOUR_MS * n for n in (1, 2, 3)]
    assert judge.verdicts(*(Row("a", t) for t in times_ms)) == [V.CAP, V.CLEAR, V.CLEAR]


def test_where_others_were_before_an_element_needs_two_minutes_to_confirm_its_leap() -> None:
    clock = Clock()
    rows = [quiet("b", 1), *(wrong(s * 1000) for s in range(1, 200))]
    times = clock.along(batch(rows).rows, 0).tolist()
    leapt = next(n for n, time_ms in enumerate(times) if time_ms > 1)
    assert rows[leapt].time_ms - rows[1].time_ms == LEAP_MS
    assert times[leapt] == rows[1].time_ms
    assert times[-1] == rows[-1].time_ms


def test_the_first_row_sets_the_clock_and_it_never_goes_back() -> None:
    clock = Clock()
    times = clock.along(batch([Row("a", HOUR_MS), Row("b", 5), Row("a", HOUR_MS + 7)]).rows, 0)
    assert times.tolist() == [HOUR_MS, HOUR_MS, HOUR_MS + 7]
    assert clock.along(batch([]).rows, HOUR_MS).tolist() == []


ROWS = st.lists(
    st.builds(
        quiet,
        st.sampled_from(["a", "b", "c"]),
        st.one_of(st.integers(0, 3 * LEAP_MS), st.integers(0, 100 * LEAP_MS)),
    ),
    min_size=1,
    max_size=30,
)


@given(ROWS, st.lists(st.integers(0, 30), max_size=4))
def test_borders_of_batches_and_restarts_change_no_time(
    rows: list[Row], borders: list[int]
) -> None:
    whole = Clock().along(batch(rows).rows, 0).tolist()
    found: list[int] = []
    clock = Clock()
    places = sorted({0, len(rows), *(b for b in borders if b < len(rows))})
    for begin, end in pairwise(places):
        clock = Clock.from_json(clock.as_json())
        now_ms = found[-1] if found else 0
        found += clock.along(batch(rows[begin:end]).rows, now_ms).tolist()
    assert found == whole
    assert np.all(np.diff([0, *whole]) >= 0)
    assert whole[-1] <= max(row.time_ms for row in rows)


@given(ROWS)
def test_no_single_element_moves_the_clock_further_than_a_leap(rows: list[Row]) -> None:
    """`d` reports between all of them that an hour has not passed."""
    clock, now_ms = Clock(), 1
    for n, row in enumerate(rows):
        ahead = quiet("wrong", row.time_ms + HOUR_MS)
        times = clock.along(batch([quiet("d", 1 + n), ahead, quiet("d", 1 + n)]).rows, now_ms)
        now_ms = int(times[-1])
        assert now_ms <= 1 + len(rows) + LEAP_MS


def test_a_state_from_before_leaps_were_looked_at_is_read() -> None:
    assert Clock.from_json(None).leap is None
    partition = Partition()
    partition.clock.along(batch([quiet("a", 1), quiet("b", HOUR_MS)]).rows, 0)
    again = Partition.load(partition.dump())
    assert (again.clock.last, again.clock.leap) == ("b", partition.clock.leap)
    assert again.clock.leap is not None


def test_a_machine_whose_clock_jumps_an_hour_ends_holds_and_approves_nothing() -> None:
    judge = Judge(boundaries=[{"name": "ask", "verdict": "hold", "when": "true"}])
    found = judge.judge(Row("a", 1000), tick_ms=HOUR_MS)
    assert (len(found.opened), found.released) == (1, ())
    (end,) = judge.judge(tick_ms=2 * HOUR_MS).released
    assert end.outcome is Outcome.EXPIRED
    assert judge.verdicts(Row("a", 2000)) == [V.DENY]


def test_a_machine_whose_clock_goes_back_an_hour_lets_holds_wait_for_event_time() -> None:
    judge = Judge(boundaries=[{"name": "ask", "verdict": "hold", "when": "true"}])
    (hold,) = judge.judge(Row("a", 1000), tick_ms=2 * HOUR_MS).opened
    assert not judge.judge(tick_ms=HOUR_MS).released
    (end,) = judge.judge(quiet("a", hold.expires_ms)).released
    assert end.outcome is Outcome.EXPIRED
