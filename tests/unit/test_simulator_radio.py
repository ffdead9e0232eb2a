"""The simulated network: seeded, daily, faulty, and moved by actions."""

import dataclasses

import numpy as np
import pytest

from flyball_local import specfile
from flyball_local.demo import SPEC
from flyball_local.simulator import radio
from flyball_local.simulator.network import Network, lay_out
from flyball_local.simulator.radio import CellReport, State

LOAD = "RRU.PrbTotDl"
EVENING_MS = 20 * 3_600_000


def network(**options: object) -> Network:
    return lay_out(4, np.random.default_rng(3), midnight_ms=0, **options)  # type: ignore[arg-type]


def run(
    net: Network,
    seconds: int,
    *,
    begin_ms: int = EVENING_MS,
    actions: dict[int, list[tuple[int, str]]] | None = None,
    seed: int = 5,
    state: State | None = None,
) -> tuple[State, list[list[CellReport]]]:
    rng, found = np.random.default_rng(seed), []
    state = state or radio.start(net)
    for second in range(seconds):
        acted = (actions or {}).get(second, [])
        state, reports = radio.step(net, state, acted, begin_ms + 1000 * second, rng)
        found.append(reports)
    return state, found


def mean(reports: list[list[CellReport]], cell: int, metric: str = LOAD) -> float:
    return float(np.mean([second[cell].values[metric] for second in reports]))


def test_the_same_seed_gives_the_same_network_and_the_same_hour() -> None:
    assert network() == network()
    assert run(network(), 50)[1] == run(network(), 50)[1]
    assert run(network(), 50)[1] != run(network(), 50, seed=6)[1]


def test_reports_stay_within_what_the_ready_specification_allows() -> None:
    source = specfile.load(SPEC).sources["ran"]
    _, reports = run(network(), 600)
    for report in (r for second in reports for r in second):
        assert set(report.values) == {m.name for m in source.spec.metrics}
        assert set(report.cell.labels) == set(source.spec.labels)
        for metric in source.spec.metrics:
            assert metric.range is not None
            assert metric.range[0] <= report.values[metric.name] <= metric.range[1]


def test_residential_cells_are_busier_in_the_evening_than_at_night() -> None:
    _, evening = run(network(), 60)
    _, night = run(network(), 60, begin_ms=4 * 3_600_000)
    assert mean(evening, 0) > mean(night, 0) + 20


def test_offloading_lowers_the_load_of_a_cell_and_raises_that_of_its_neighbours() -> None:
    net = network()
    _, calm = run(net, 90)
    _, acted = run(net, 90, actions={30: [(0, radio.OFFLOAD)]})
    during = slice(31, 85)
    assert mean(acted[:30], 0) == mean(calm[:30], 0)
    assert mean(acted[during], 0) < mean(calm[during], 0) - 10
    for neighbour in net.cells[0].neighbours:
        assert mean(acted[during], neighbour) > mean(calm[during], neighbour)
    assert mean(acted[during], 0, "DRB.UEThpDl") > mean(calm[during], 0, "DRB.UEThpDl")


def test_users_come_back_when_offloading_is_over_and_are_handed_over_both_ways() -> None:
    net = network()
    _, calm = run(net, 120)
    _, acted = run(net, 120, actions={10: [(0, radio.OFFLOAD)]})
    assert mean(acted[75:], 0, "RRC.ConnMean") == pytest.approx(mean(calm[75:], 0, "RRC.ConnMean"))
    handovers = [second[0].values["MM.HoExeInterReq"] for second in acted]
    usual = np.median(handovers)
    assert handovers[10] > 3 * usual
    assert handovers[10 + radio.OFFLOAD_MS // 1000] > 3 * usual


def test_an_unknown_action_changes_nothing() -> None:
    net = network()
    assert run(net, 20, actions={5: [(0, "reboot")]})[1] == run(net, 20)[1]


def test_a_faulty_cell_is_overloaded_and_loses_connections_until_repaired() -> None:
    net = network()
    broken = dataclasses.replace(
        radio.start(net), faulty_until_ms=np.array([EVENING_MS + 30_000] + [0] * 11)
    )
    _, reports = run(net, 60, state=broken)
    assert mean(reports[:30], 0) > 99
    assert mean(reports[:30], 0, "RRC.ReEstabAtt") > 5
    assert mean(reports[30:], 0, "RRC.ReEstabAtt") < 5


def test_the_world_changes_at_its_time_for_residential_cells_alone() -> None:
    change_ms = EVENING_MS + 60_000
    _, before = run(network(), 120)
    _, after = run(network(change_ms=change_ms), 120)
    assert before[:60] == after[:60]
    users = "RRC.ConnMean"
    residential, business = 0, 3
    assert mean(after[60:], residential, users) == pytest.approx(
        1.35 * mean(before[60:], residential, users), rel=1e-3
    )
    assert mean(after[60:], business, users) == mean(before[60:], business, users)


def test_neighbours_are_mutual_and_never_the_cell_itself() -> None:
    cells = lay_out(9, np.random.default_rng(1), midnight_ms=0).cells
    for i, cell in enumerate(cells):
        assert i not in cell.neighbours
        assert all(i in cells[n].neighbours for n in cell.neighbours)
