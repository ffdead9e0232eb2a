"""Cool-downs, budgets and groups, and that no split and no restart changes a verdict."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.risk_rows import Row, batch, judged, message, policy, readable

from flyball_proto.columns import Verdict, decode_verdicts
from flyball_risk.fold import RiskFold
from flyball_risk.judging import recent as state
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.recent import Reach, Recent
from flyball_risk.judging.written import Names

V = Verdict


def verdicts(rows: list[Row], **risk: Any) -> list[V]:
    return [V(v) for v in judged(rows, policy(**risk)).verdict]


def test_the_same_action_reaches_an_element_again_only_after_its_cool_down() -> None:
    times_s = [0, 30, 59.999, 60, 61, 120]
    rows = [Row(time_ms=int(t * 1000)) for t in times_s]
    assert verdicts(rows) == [V.CLEAR, V.CAP, V.CAP, V.CLEAR, V.CAP, V.CLEAR]


def test_a_cool_down_is_the_element_s_own_and_the_action_s_own() -> None:
    decisions = [{"action": a, "score_at_least": 0.5} for a in ("offload", "reset")]
    rows = [Row("a"), Row("b"), Row("a", action="reset"), Row("a", time_ms=1)]
    found = judged(rows, policy(*decisions))
    assert [V(v) for v in found.verdict] == [V.CLEAR, V.CLEAR, V.CLEAR, V.CAP]
    assert found.reason[-1] == "offload: capped, within its cool-down of 60 s"


def test_a_capped_action_does_not_start_a_cool_down() -> None:
    rows = [Row("a"), Row("b", time_ms=1), Row("b", time_ms=61_001)]
    found = verdicts(rows, budgets={"actions_per_minute": 1})
    assert found == [V.CLEAR, V.CAP, V.CLEAR]


def test_the_budget_of_a_minute_counts_all_elements_in_event_time() -> None:
    rows = [Row(f"cell-{i}", time_ms=i * 1000) for i in range(5)]
    rows += [Row("late", time_ms=59_000), Row("next", time_ms=61_000)]
    found = verdicts(rows, budgets={"actions_per_minute": 3})
    assert found == [*[V.CLEAR] * 3, *[V.CAP] * 3, V.CLEAR]


def test_a_share_of_a_site_at_most_is_under_an_action_at_once() -> None:
    quiet = [Row(f"cell-{i}", action=None, site="s1") for i in range(10)]
    acting = [Row(f"cell-{i}", time_ms=1000 + i, site="s1") for i in range(4)]
    elsewhere = [Row("far", time_ms=2000, site="s2")]
    later = [Row(f"cell-{i}", time_ms=700_000, site="s1") for i in (8, 9)]  # two say that it is so
    found = judged(
        [*quiet, *acting, *elsewhere, *later],
        policy(budgets={"elements_per_label": {"site": 0.2}}),
    )
    assert [V(v) for v in found.verdict[10:15]] == [V.CLEAR, V.CLEAR, V.CAP, V.CAP, V.CLEAR]
    assert [V(v) for v in found.verdict[15:]] == [V.CAP, V.CLEAR]
    capped = "capped, 2 of 10 elements with site s1 are under an action, at most 0.2 of them may be"
    assert f"offload: {capped}" in found.reason


def test_a_site_under_action_makes_the_next_action_riskier() -> None:
    rows = [Row(f"cell-{i}", time_ms=i, score=0.9) for i in range(3)]
    risk = judged(rows, policy(budgets={"elements_per_label": {"site": 1.0}})).risk
    assert risk[0] < risk[1]


def test_elements_are_forgotten_after_their_cool_down_and_the_margin() -> None:
    recent = Recent()
    recent.advance(1_000)
    recent.record("a", "", "offload", 1_000, Reach(60_000))
    busy = len(str(recent.as_json(Names())))
    recent.advance(1_000 + 60_000 + state.MARGIN_MS)
    assert not recent.is_cooling("a", "offload", 1_500, 60_000)
    assert len(str(recent.as_json(Names()))) < busy


def test_at_the_bound_on_elements_further_actions_are_capped(monkeypatch: Any) -> None:
    monkeypatch.setattr(state, "MAX_ELEMENTS", 2)
    found = verdicts(
        [Row("a"), Row("b"), Row("c"), Row("d", time_ms=200_000), Row("e", time_ms=200_000)]
    )
    assert found == [V.CLEAR, V.CLEAR, V.CAP, V.CAP, V.CLEAR]


ROWS = st.lists(
    st.builds(
        Row,
        element=st.sampled_from([f"cell-{i}" for i in range(6)]),
        time_ms=st.integers(0, 200_000),
        score=st.sampled_from([0.2, 0.6, 0.9, 0.99]),
        action=st.sampled_from([None, "offload", "reset"]),
        quality=st.sampled_from([0, 2]),
    ),
    max_size=60,
)
STRICT = policy(
    {"action": "offload", "score_at_least": 0.1, "cooldown": "20s"},
    {"action": "reset", "score_at_least": 0.1, "cooldown": "5s", "severity": "high"},
    budgets={"actions_per_minute": 6, "elements_per_label": {"site": 0.5}, "window": "30s"},
)


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: r.time_ms)


def through(
    pieces: list[list[Row]], under: Policy, *, restart_after: set[int], commit_after: set[int]
) -> list[Any]:
    """Feed pieces; commit and restart from the dumped state where told."""
    fold, out, sequence = RiskFold(lambda _: Frame(under)), [], 1
    for i, piece in enumerate(pieces):
        fold.step(message(batch(piece, first=sequence)))
        sequence += len(piece)
        if i in restart_after or i in commit_after or i == len(pieces) - 1:
            output = fold.take()
            assert output is not None
            out += readable(decode_verdicts(output.data))
        if i in restart_after:
            saved = fold.dump()
            fold = RiskFold(lambda _: Frame(under))
            fold.load(saved)
            assert fold.dump() == saved
    return out


@settings(max_examples=60, deadline=None)
@given(
    ROWS,
    st.booleans(),
    st.lists(st.integers(0, 60), max_size=6),
    st.sets(st.integers(0, 7)),
    st.sets(st.integers(0, 7)),
)
def test_no_split_into_batches_and_no_restart_changes_a_verdict(
    rows: list[Row], ordered: bool, cuts: list[int], restarts: set[int], commits: set[int]
) -> None:
    rows = in_order(rows) if ordered else rows
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    pieces = [rows[a:b] for a, b in pairwise(edges)]
    whole = through([rows], STRICT, restart_after=set(), commit_after=set())
    assert through(pieces, STRICT, restart_after=restarts, commit_after=commits) == whole


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_no_minute_and_no_cool_down_is_ever_exceeded(rows: list[Row]) -> None:
    found = judged(in_order(rows), STRICT)
    dispatched = [r for r in readable(found) if r[5] in (V.CLEAR, V.NOTIFY) and r[3]]
    times = [r[2] for r in dispatched]
    assert all(sum(t <= other < t + 60_000 for other in times) <= 6 for t in times)
    cooldown_ms = {"offload": 20_000, "reset": 5_000}
    last: dict[tuple[str, str], int] = {}
    for element, _, time_ms, action, *_ in dispatched:
        before = last.get((element, action))
        assert before is None or time_ms >= before + cooldown_ms[action]
        last[element, action] = time_ms
