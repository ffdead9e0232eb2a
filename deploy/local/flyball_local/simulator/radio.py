"""One second of the simulated network: (state, actions, now, rng) -> (state, reports). Pure.

Users follow a daily load by zone and wander a little; trains and a stadium bring crowds. What makes
congestion foreseeable is what makes it so in a real network:

* **Phones connect first and load later.** A session takes about half a minute to reach its rate
  (adaptive video climbs its ladder), so RRC.ConnMean and incoming handovers run ahead of the load.
* **Hardware fails slowly.** Before a cell loses most of its capacity, radio links fail and are tried
  again (RRC.ReEstabAtt) for `WARNING_MS`.
* **Full cells overflow.** Above `OVERFLOW_RATIO` a cell hands users over to its neighbours, where
  they arrive with their traffic running.

`offload` sends a third of a cell's users to its neighbours for a while: its load falls, theirs
rises. When the world changes, every second cell carries a new service that sends in bursts: quiet for
three quarters of a minute, then nearly half a cell for some seconds. No user comes or goes, so what
was learnt foresees none of it; who looks at the last half minute can, for bursts come in time.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flyball_local.simulator import crowds
from flyball_local.simulator.crowds import Train
from flyball_local.simulator.network import Cell, Network

OFFLOADED_SHARE = 0.35
OFFLOAD_MS = 60_000
RAMP_S = 25.0
"""Time constant in which the users who came reach their traffic."""
FAULT_PER_CELL_S = 1 / 9_000
WARNING_MS = 40_000
FAULT_MS = 90_000
FAULTY_CAPACITY_RATIO = 0.35
OVERFLOW_RATIO = 0.97
WANDER_RATIO = 0.04
MEMORY = 0.98
"""Share of its deviation that a cell keeps from one second to the next."""
HANDOVERS_PER_USER_S = 0.02
BURST_EVERY_S = 45
BURST_S = 4
BURST_RATIO = 0.45
"""What a burst of the new service takes of a cell."""
OFFLOAD = "offload"
NEVER_MS = -(1 << 62)

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class State:
    """One entry a cell, and the trains. `wander` is the relative deviation from the daily load.

    `active` users have reached their traffic, `users` are all that are served here.
    """

    wander: Floats
    offload_until_ms: Times
    breaks_ms: Times
    faulty_until_ms: Times
    users: Floats
    active: Floats
    trains: tuple[Train, ...] = ()


@dataclass(frozen=True, slots=True)
class CellReport:
    """What one cell measures in one second, by its TS 28.552 counter names."""

    cell: Cell
    time_ms: int
    values: dict[str, float]


def start(network: Network) -> State:
    """Nothing has happened yet; the first second fills the cells."""
    n = len(network.cells)
    never, nobody = np.full(n, NEVER_MS), np.full(n, -1.0)
    return State(np.zeros(n), never, never, never, nobody, nobody)


def step(
    network: Network,
    state: State,
    actions: Collection[tuple[int, str]],
    now_ms: int,
    rng: np.random.Generator,
) -> tuple[State, list[CellReport]]:
    """One second passes. `actions` are (cell, action) received since the last one."""
    state = _move(network, _act(state, actions, now_ms), now_ms, rng)
    faulty = state.faulty_until_ms > now_ms
    capacity = network.full_users * np.where(faulty, FAULTY_CAPACITY_RATIO, 1.0)
    wanted = _demand(network, now_ms) * (1 + state.wander)
    wanted += crowds.present(state.trains, network, now_ms)
    sent = np.where(state.offload_until_ms > now_ms, OFFLOADED_SHARE * wanted, 0.0)
    sent += 0.5 * np.maximum(0.0, wanted - sent - OVERFLOW_RATIO * capacity)
    received = sent @ network.shares
    users = wanted - sent + received
    began = state.users >= 0
    came = np.where(began, users - state.users, 0.0)
    active = np.where(began, state.active, users)
    active = np.minimum(users, active + (users - active) / RAMP_S)
    state = replace(state, users=users, active=active)
    moved = (np.maximum(0.0, came), np.maximum(0.0, -came))
    return state, _measure(network, state, capacity, moved, now_ms, rng)


def _act(state: State, actions: Collection[tuple[int, str]], now_ms: int) -> State:
    until = state.offload_until_ms.copy()
    for cell, action in actions:
        if action == OFFLOAD:
            until[cell] = now_ms + OFFLOAD_MS
    return replace(state, offload_until_ms=until)


def _move(network: Network, state: State, now_ms: int, rng: np.random.Generator) -> State:
    n = len(network.cells)
    noise = rng.normal(0.0, WANDER_RATIO * (1 - MEMORY**2) ** 0.5, n)
    whole = np.maximum(state.faulty_until_ms, state.breaks_ms + 1) <= now_ms
    worn = (rng.random(n) < FAULT_PER_CELL_S) & whole
    breaks = state.breaks_ms == now_ms
    return replace(
        state,
        wander=MEMORY * state.wander + noise,
        breaks_ms=np.where(worn, now_ms + WARNING_MS, state.breaks_ms),
        faulty_until_ms=np.where(breaks, now_ms + FAULT_MS, state.faulty_until_ms),
        trains=crowds.depart(state.trains, network, now_ms, rng),
    )


def _demand(network: Network, now_ms: int) -> Floats:
    """Users a cell would have without crowds and without any action."""
    hour = network.hour(now_ms)
    by_zone = {
        "residential": 0.85 + 0.1 * _wave(hour, 21),
        "business": 0.85 + 0.15 * _wave(hour, 9),
        "hospital": 0.9,
    }
    return np.array([cell.peak_users * by_zone[cell.zone] for cell in network.cells])


def _wave(hour: float, peak: float) -> float:
    """A smooth hill over the hours of a day: 1 at its peak, -1 half a day away."""
    return float(np.cos((hour - peak) / 24 * 2 * np.pi))


def _measure(
    network: Network,
    state: State,
    capacity: Floats,
    moved: tuple[Floats, Floats],
    now_ms: int,
    rng: np.random.Generator,
) -> list[CellReport]:
    users, active = state.users, state.active
    ratio = active / capacity + _bursts(network, now_ms)
    load = np.clip(100 * ratio + rng.normal(0, 0.8, len(users)), 0, 100)
    congestion = np.maximum(0.0, ratio - 0.7)
    peak_kbps = np.array([cell.peak_kbps for cell in network.cells])
    throughput = peak_kbps * capacity / network.full_users
    delay = np.minimum(8 + 400 * congestion**2 + rng.exponential(1.0, len(users)), 10_000)
    # Counts draw as often as they need: from a stream of their own, so that what an action changes
    # here does not change chance elsewhere.
    counting = np.random.default_rng(rng.integers(1 << 62))
    came, left = (users * HANDOVERS_PER_USER_S + count for count in moved)
    columns = {
        "RRU.PrbTotDl": load,
        "DRB.UEThpDl": throughput / (1 + active / 12) / (1 + 8 * congestion**2),
        "RRC.ConnMean": users,
        "DRB.AirIfDelayDl": delay,
        "MM.HoExeInterReq": counting.poisson(left),
        "MM.HoResAlloInterReq": counting.poisson(came),
        "RRC.ReEstabAtt": counting.poisson(_lost_links(state, ratio, now_ms)),
    }
    return [
        CellReport(cell, now_ms, {name: round(float(c[i]), 3) for name, c in columns.items()})
        for i, cell in enumerate(network.cells)
    ]


def _bursts(network: Network, now_ms: int) -> Floats:
    """What the new service takes of each cell in this second; each cell bursts at its own time."""
    cells = np.arange(len(network.cells))
    if network.change_ms is None or now_ms < network.change_ms:
        return np.zeros(len(cells))
    since = (now_ms // 1000 + 7 * cells) % BURST_EVERY_S
    return np.where((cells % 2 == 0) & (since < BURST_S), BURST_RATIO, 0.0)


def _lost_links(state: State, ratio: Floats, now_ms: int) -> Floats:
    """Radio links lost in this second, on average: in full cells, and where hardware fails."""
    warned = np.clip(1 - (state.breaks_ms - now_ms) / WARNING_MS, 0, 1)
    failing = np.where(state.breaks_ms > now_ms, warned, 0.0) + (state.faulty_until_ms > now_ms)
    full: Floats = 0.02 + 0.02 * state.users * np.maximum(0.0, ratio - 0.95) + 8 * failing
    return full
