"""Budgets of actions, elements and groups; what partitions cede to each other of them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.lending import World
from tests.unit.risk_rows import Row, batch, judged, message, policy

from flyball_proto.columns import Verdict, Verdicts, decode_verdicts
from flyball_risk.capacity import leases
from flyball_risk.capacity.allowances import TOTAL, allowance_of, even_share
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.written import Names

V = Verdict
ALL_CLEAR = [V.CLEAR, V.NOTIFY]


def cleared(found: Verdicts) -> list[bool]:
    return [V(v) in ALL_CLEAR for v in found.verdict]


def offload(**more: Any) -> dict[str, Any]:
    return {"action": "offload", "score_at_least": 0.5, "cooldown": "1s", **more}


def in_partition(rows: list[Row], under: Policy, partition: int, partitions: int) -> Verdicts:
    allowance = allowance_of(under.risk.budgets, partition, partitions)
    fold = RiskFold(lambda _: Frame(under, allowance=allowance))
    fold.step(message(batch(rows)))
    output = fold.take()
    assert output is not None
    return decode_verdicts(output.data)


def test_each_action_has_a_budget_of_its_own() -> None:
    under = policy(offload(), offload(action="reset"), budgets={"per_action": {"offload": 2}})
    rows = [Row(f"c{i}", time_ms=i) for i in range(3)]
    rows += [Row(f"c{i}", time_ms=10 + i, action="reset") for i in range(3)]
    found = judged(rows, under)
    assert cleared(found) == [True, True, False, True, True, True]
    assert "offload: capped, the budget of 2 offload actions a minute is used up" in found.reason


def test_an_element_gets_so_many_actions_in_any_window() -> None:
    under = policy(offload(), budgets={"per_element": 2, "window": "30s"})
    times_s = [0, 10, 20, 29, 30, 41, 45]
    found = judged([Row(time_ms=t * 1000) for t in times_s] + [Row("other", 45_000)], under)
    assert cleared(found) == [True, True, False, False, True, True, False, True]
    assert "offload: capped, the element has had its 2 actions in 30 s" in found.reason


def test_budgets_of_elements_and_actions_survive_a_restart() -> None:
    budgets = {"per_element": 1, "window": "300s", "per_action": {"offload": 2}}
    under = policy(offload(parameter="tilt"), budgets=budgets)
    fold = RiskFold(lambda _: Frame(under))
    fold.step(message(batch([Row("a", 0), Row("b", 1000)])))
    fold.take()
    again = RiskFold(lambda _: Frame(under))
    again.load(fold.dump())
    assert again.dump() == fold.dump()
    again.step(message(batch([Row("c", 2000), Row("a", 100_000)])))
    output = again.take()
    assert output is not None
    found = decode_verdicts(output.data)
    assert cleared(found) == [False, False]
    assert ["offload actions a minute" in found.reason[0], "1 actions" in found.reason[1]] == [
        True,
        True,
    ]


def test_a_state_of_an_older_version_is_read() -> None:
    under = policy(offload())
    fold = RiskFold(lambda _: Frame(under))
    fold.step(message(batch([Row("a", 0)])))
    fold.take()
    partition = Partition.load(fold.dump())
    state = partition.recent.as_json(Names())
    for new in ("minutes", "lease", "acted", "members"):
        del state[new]
    state |= {"elements": {"a": [180_000, {"offload": 0}]}, "homes": {}}
    recent = type(partition.recent).from_json(state, [])
    assert recent.is_cooling("a", "offload", 500, 1000)
    assert recent.used(TOTAL) == 1


def test_even_shares_add_up_to_the_budget() -> None:
    for budget in range(12):
        for partitions in range(1, 9):
            parts = [even_share(budget, i, partitions) for i in range(partitions)]
            assert sum(parts) == budget
            assert max(parts) - min(parts) <= 1


def test_a_partition_without_a_share_says_so() -> None:
    under = policy(offload(), budgets={"actions_per_minute": 2})
    found = in_partition([Row()], under, partition=2, partitions=3)
    words = "the budget of 2 actions a minute, 0 of it here, in one of 3 partitions, is used up"
    assert found.reason == (f"offload: capped, {words}",)


@pytest.mark.parametrize("partitions", [1, 2, 4])
def test_groups_over_several_partitions_never_exceed_the_declared_share(partitions: int) -> None:
    under = policy(offload(), budgets={"elements_per_label": {"site": 0.3}})
    acted = 0
    for partition in range(partitions):
        mine = [f"c{i}" for i in range(20) if i % partitions == partition]
        quiet = [Row(e, action=None) for e in mine]
        acting = [Row(e, time_ms=1 + i) for i, e in enumerate(mine)]
        acted += sum(
            cleared(in_partition(quiet + acting, under, partition, partitions))[len(mine) :]
        )
    assert {1: 6, 2: 6, 4: 4}[partitions] == acted


def test_one_of_a_small_group_may_be_under_an_action_only_where_nobody_else_has_a_part_of_it() -> (
    None
):
    under = policy(offload(), budgets={"elements_per_label": {"site": 0.2}})
    assert cleared(in_partition([Row()], under, 0, 1)) == [True]
    found = in_partition([Row()], under, 0, 2)
    assert cleared(found) == [False]
    assert "in this one of 2 partitions" in found.reason[0]


@settings(max_examples=300)
@given(st.integers(0, 10**9), st.integers(2, 5), st.sampled_from([2, 7, 20, 60]))
def test_no_minute_of_event_time_exceeds_the_budget_whatever_happens(
    seed: int, partitions: int, budget: int
) -> None:
    world = World(seed, partitions, budget)
    world.run(400)
    assert world.most() <= budget


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"WINDOW_MS": 0}, id="the lender takes its share back at once"),
        pytest.param({"is_bound": lambda loan, clock_ms: False}, id="the lender cedes nothing"),
    ],
)
def test_the_property_finds_a_protocol_that_is_damaged(
    damage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in damage.items():
        monkeypatch.setattr(leases, name, value)

    def exceeds(seed: int) -> bool:
        world = World(seed, 3, 20)
        world.run(400)
        return world.most() > world.budget

    assert any(exceeds(seed) for seed in range(60))


def test_a_busy_partition_gets_what_an_idle_one_does_not_need_and_loses_it_again() -> None:
    world = World(1, 2, 40)
    busy, idle = world.parts
    busy.clock_ms = idle.clock_ms = 1_000_000
    sent = []
    for second in range(300):
        for part, proposals in ((busy, 5), (idle, 0 if second < 180 else 5)):
            part.clock_ms += 1000
            part.input.append((part.clock_ms, proposals))
            before = len(part.sent)
            part.output()
            sent.append((second, part.number, len(part.sent) - before))
            post = part.round(list(world.board.values()))
            if post is not None:
                world.board[part.number] = post

    def minute(number: int, begin: int) -> int:
        return sum(n for second, i, n in sent if i == number and begin <= second < begin + 60)

    assert minute(0, 0) >= 20
    assert minute(0, 100) == 35  # its 20, and 15 of the other's, who keeps a quarter
    assert minute(1, 239) == 20
    assert minute(0, 239) == 20
    assert world.most() <= 40
