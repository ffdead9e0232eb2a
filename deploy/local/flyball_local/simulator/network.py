"""The layout of the simulated network: sites on a grid, cells by band, who neighbours whom. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BANDS: Final = ("n78", "n1", "n28")
"""3.5 GHz, 2.1 GHz and 700 MHz."""
_USERS: Final = {"n78": 240.0, "n1": 200.0, "n28": 160.0}
_PEAK_KBPS: Final = {"n78": 1_200_000.0, "n1": 300_000.0, "n28": 120_000.0}
_ZONES: Final = ("residential", "business", "residential", "hospital")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `full_users` load it to 100 %; `peak_users` live there at the busiest hour."""

    name: str
    site: str
    band: str
    zone: str
    full_users: float
    peak_users: float
    peak_kbps: float
    neighbours: tuple[int, ...]

    @property
    def labels(self) -> dict[str, str]:
        """As the cell's reports carry them."""
        return {"site": self.site, "band": self.band, "zone": self.zone}


@dataclass(frozen=True, slots=True)
class Network:
    """All cells, and the event time at which the world changes: `None` = never.

    A day lasts `day_s`, so that a short run can hold one. From `change_ms` on every
    second cell carries a service that sends in bursts, see `radio`. `line` is the railway: it
    passes every site once.
    """

    cells: tuple[Cell, ...]
    line: tuple[int, ...]
    midnight_ms: int
    day_s: float = 86_400.0
    change_ms: int | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """(cells, cells): what part of the users that a cell gives away each neighbour takes."""
        found = np.zeros((len(self.cells), len(self.cells)))
        for i, cell in enumerate(self.cells):
            found[i, list(cell.neighbours)] = 1 / max(1, len(cell.neighbours))
        return found

    @property
    def full_users(self) -> NDArray[np.float64]:
        """(cells,): how many users load each cell to 100 %."""
        return np.array([cell.full_users for cell in self.cells])

    def hour(self, now_ms: int) -> float:
        """The network's own time of day, from 0 up to 24."""
        return (now_ms - self.midnight_ms) / 1000 / self.day_s * 24 % 24


def lay_out(
    sites: int,
    rng: np.random.Generator,
    *,
    midnight_ms: int,
    day_s: float = 86_400.0,
    change_ms: int | None = None,
) -> Network:
    """A network of `sites` on a square grid with one cell a band each; every fourth a hospital."""
    width = max(1, round(sites**0.5))
    cells = []
    for site in range(sites):
        zone = _ZONES[site % len(_ZONES)]
        for b, band in enumerate(BANDS):
            full = _USERS[band] * rng.uniform(0.85, 1.15)
            cells.append(
                Cell(
                    f"cell-{site + 1:02d}-{band}",
                    f"site-{site + 1:02d}",
                    band,
                    zone,
                    full,
                    full * rng.uniform(0.62, 0.7),
                    _PEAK_KBPS[band],
                    _neighbours(site, b, sites, width),
                )
            )
    return Network(tuple(cells), _line(sites, width), midnight_ms, day_s, change_ms)


def _neighbours(site: int, band: int, sites: int, width: int) -> tuple[int, ...]:
    """The other bands of the same site, and the same band of the sites around it."""
    row, column = divmod(site, width)
    around = [
        r * width + c
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        if r >= 0 and 0 <= c < width and r * width + c < sites
    ]
    own = [site * len(BANDS) + other for other in range(len(BANDS)) if other != band]
    return (*own, *(other * len(BANDS) + band for other in around))


def _line(sites: int, width: int) -> tuple[int, ...]:
    """All sites row by row, there and back, so that one stop is a neighbour of the next."""
    rows = [list(range(start, min(start + width, sites))) for start in range(0, sites, width)]
    return tuple(site for r, row in enumerate(rows) for site in (row[::-1] if r % 2 else row))
