"""One second of the simulated network: (state, actions, now, rng) -> (state, reports). Pure.

Users follow a daily load by zone and wander a little; load makes throughput fall and delay rise;
users move between neighbours; now and then a cell loses most of its capacity. `offload` sends a
third of a cell's users to its neighbours for a while: its load falls, theirs rises.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flyball_local.simulator.network import Cell, Network

OFFLOADED_SHARE = 0.35
OFFLOAD_MS = 60_000
FAULT_PER_CELL_S = 1 / 6_000
FAULT_MS = 90_000
FAULTY_CAPACITY_RATIO = 0.35
WANDER_RATIO = 0.06
MEMORY = 0.97
"""Share of its deviation that a cell keeps from one second to the next."""
HANDOVERS_PER_USER_S = 0.02
OFFLOAD = "offload"

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class State:
    """One entry a cell. `wander` is the relative deviation from the daily load."""

    wander: Floats
    offload_until_ms: Times
    faulty_until_ms: Times
    handed_over: Floats


@dataclass(frozen=True, slots=True)
class CellReport:
    """What one cell measures in one second, by its TS 28.552 counter names."""

    cell: Cell
    time_ms: int
    values: dict[str, float]


def start(network: Network) -> State:
    """Nothing has happened yet."""
    n = len(network.cells)
    return State(np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n))


def step(
    network: Network,
    state: State,
    actions: Collection[tuple[int, str]],
    now_ms: int,
    rng: np.random.Generator,
) -> tuple[State, list[CellReport]]:
    """One second passes. `actions` are (cell, action) received since the last one."""
    state = _move(network, _act(state, actions, now_ms), now_ms, rng)
    demand = _demand(network, now_ms) * (1 + state.wander)
    offloaded = np.where(state.offload_until_ms > now_ms, OFFLOADED_SHARE, 0.0) * demand
    users = demand - offloaded + offloaded @ network.shares
    moved = np.abs(offloaded - state.handed_over)
    state = replace(state, handed_over=offloaded)
    faulty = state.faulty_until_ms > now_ms
    return state, _measure(network, users, moved, faulty, now_ms, rng)


def _act(state: State, actions: Collection[tuple[int, str]], now_ms: int) -> State:
    until = state.offload_until_ms.copy()
    for cell, action in actions:
        if action == OFFLOAD:
            until[cell] = now_ms + OFFLOAD_MS
    return replace(state, offload_until_ms=until)


def _move(network: Network, state: State, now_ms: int, rng: np.random.Generator) -> State:
    n = len(network.cells)
    noise = rng.normal(0.0, WANDER_RATIO * (1 - MEMORY**2) ** 0.5, n)
    breaks = rng.random(n) < FAULT_PER_CELL_S
    return replace(
        state,
        wander=MEMORY * state.wander + noise,
        faulty_until_ms=np.where(breaks, now_ms + FAULT_MS, state.faulty_until_ms),
    )


def _demand(network: Network, now_ms: int) -> Floats:
    """Users a cell would have without any action."""
    hour = (now_ms - network.midnight_ms) / 1000 / network.day_s * 24 % 24
    evening, noon = _bump(hour, 20, 4), _bump(hour, 13, 4)
    by_zone = {
        "residential": 0.35 + 0.65 * max(evening, 0.5 * noon),
        "business": 0.25 + 0.75 * noon,
        "hospital": 0.8 + 0.25 * noon,
    }
    changed = network.change_ms is not None and now_ms >= network.change_ms
    return np.array(
        [
            cell.peak_users
            * by_zone[cell.zone]
            * (network.growth if changed and cell.zone == "residential" else 1.0)
            for cell in network.cells
        ]
    )


def _bump(hour: float, peak: float, width: float) -> float:
    """A smooth hill over the hours of a day, 1 at its peak."""
    away = min(abs(hour - peak), 24 - abs(hour - peak))
    return float(np.exp(-((away / width) ** 2)))


def _measure(
    network: Network,
    users: Floats,
    moved: Floats,
    faulty: NDArray[np.bool_],
    now_ms: int,
    rng: np.random.Generator,
) -> list[CellReport]:
    full = np.array([cell.full_users for cell in network.cells])
    peak_kbps = np.array([cell.peak_kbps for cell in network.cells])
    capacity = np.where(faulty, FAULTY_CAPACITY_RATIO, 1.0)
    ratio = users / (full * capacity)
    load = np.clip(100 * ratio + rng.normal(0, 0.8, len(users)), 0, 100)
    congestion = np.maximum(0.0, ratio - 0.7)
    throughput = peak_kbps * capacity / (1 + users / 12) / (1 + 8 * congestion**2)
    # Counts draw as often as they need: from a stream of their own, so that what an action changes
    # here does not change chance elsewhere.
    counting = np.random.default_rng(rng.integers(1 << 62))
    delay = np.minimum(8 + 400 * congestion**2 + rng.exponential(1.0, len(users)), 10_000)
    handovers = counting.poisson(users * HANDOVERS_PER_USER_S + moved)
    reestablished = counting.poisson(
        0.02 + 0.02 * users * np.maximum(0.0, ratio - 0.95) + 8 * faulty
    )
    columns = {
        "RRU.PrbTotDl": load,
        "DRB.UEThpDl": throughput,
        "RRC.ConnMean": users,
        "DRB.AirIfDelayDl": delay,
        "MM.HoExeInterReq": handovers,
        "RRC.ReEstabAtt": reestablished,
    }
    return [
        CellReport(cell, now_ms, {name: round(float(c[i]), 3) for name, c in columns.items()})
        for i, cell in enumerate(network.cells)
    ]
