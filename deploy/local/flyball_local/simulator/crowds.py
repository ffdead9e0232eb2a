"""Crowds that move: trains that carry theirs from site to site, and a stadium that fills. Pure.

What a cell cannot see of them until they come: the next cell's past. What it can: phones connect as
they arrive, and ask for their traffic later, see `radio`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyball_local.simulator.network import BANDS, Network

HEADWAY_S: Final = 90.0
"""From one train to the next, either way in turn; each is up to `DELAY_S` late."""
DELAY_S: Final = 30.0
MAX_TRAINS: Final = 16
"""On the line at once; no further one sets out."""
PASSENGERS_RATIO: Final = (0.0, 0.6)
"""Least and most passengers with a connection, as a share of what loads a site to 100 %; people get
on and off at every stop."""
STOP_S: Final = 45.0
"""From one site to the next, of which `CROSSING_S` at the border of both."""
CROSSING_S: Final = 10.0
STADIUM_HOURS: Final = (17.5, 19.0, 20.5, 21.5)
"""It begins to fill, is full, begins to empty, is empty."""
STADIUM_RATIO: Final = 0.15


@dataclass(frozen=True, slots=True)
class Train:
    """One train: how many it carries from each stop of its way, and when it came to the first."""

    passengers_ratio: tuple[float, ...]
    began_ms: int
    back: bool


def depart(
    trains: tuple[Train, ...], network: Network, now_ms: int, rng: np.random.Generator
) -> tuple[Train, ...]:
    """The trains on the line now; one sets out every `HEADWAY_S`."""
    trains = tuple(t for t in trains if _place(t, now_ms) < len(network.line))
    number, since_ms = divmod(now_ms, round(HEADWAY_S * 1000))
    if since_ms >= 1000 or len(trains) == MAX_TRAINS:
        return trains
    carried = tuple(map(float, rng.uniform(*PASSENGERS_RATIO, len(network.line))))
    late_ms = round(float(rng.uniform(0, DELAY_S))) * 1000
    return (*trains, Train(carried, now_ms + late_ms, bool(number % 2)))


def present(trains: tuple[Train, ...], network: Network, now_ms: int) -> NDArray[np.float64]:
    """(cells,): users of all crowds in each cell."""
    ratio = np.zeros(len(network.line))
    for train in trains:
        line = network.line[::-1] if train.back else network.line
        place = _place(train, now_ms)
        if place < 0:
            continue
        stop = int(place)
        gone = max(0.0, (place - stop - 1) * STOP_S / CROSSING_S + 1)
        if stop < len(line):
            ratio[line[stop]] += train.passengers_ratio[stop] * (1 - gone)
        if stop + 1 < len(line):
            ratio[line[stop + 1]] += train.passengers_ratio[stop + 1] * gone
    ratio[network.line[len(network.line) // 2]] += STADIUM_RATIO * _filled(network.hour(now_ms))
    return np.repeat(ratio, len(BANDS)) * network.full_users


def _place(train: Train, now_ms: int) -> float:
    """How many stops it has come; the crowd of a new one gets on within one crossing."""
    return (now_ms - train.began_ms) / 1000 / STOP_S


def _filled(hour: float) -> float:
    opens, full, ends, empty = STADIUM_HOURS
    return float(np.interp(hour, (opens, full, ends, empty), (0.0, 1.0, 1.0, 0.0)))
