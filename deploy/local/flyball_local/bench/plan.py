"""Which loads are run, and what is aimed at."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Run:
    """One load. `rate` in rows a second, 0 = as fast as the generator can."""

    name: str
    mode: str
    rate: float
    seconds: float
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be on two cores, the generator included."""

    what: str
    run: str
    figure: str
    at_most: float | None = None
    at_least: float | None = None


AIMS: Final = (
    Aim("p50 at 2 000 rows/s", "core 2000/s", "p50_ms", at_most=1.5),
    Aim("p99 at 10 000 rows/s", "core 10000/s", "p99_ms", at_most=6.0),
    Aim("acked, rows/s", "acked limit", "rows_per_s", at_least=20_000),
    Aim("core, rows/s", "core limit", "rows_per_s", at_least=40_000),
    Aim("reports of 20, rows/s", "reports of 20 limit", "rows_per_s", at_least=150_000),
    Aim("2x overload, share of the peak", "core 2x overload", "share_of_peak", at_least=0.8),
)

WARM_UP: Final = Run("warm-up", "core", 20_000, 3.0, samples=20)
"""Fills every element's windows: half-empty ones cost more to compute."""

RATES: Final = (2_000, 10_000, 30_000)
SINGLE_STEPS: Final = (20_000, 30_000, 40_000, 50_000, 60_000)
BATCH_STEPS: Final = (50_000, 100_000, 150_000, 200_000, 250_000)
KEPT_UP_RATIO: Final = 0.95
"""A load is kept up with when verdicts come at this share of the rate that was really offered."""


def fixed(seconds: float) -> list[Run]:
    """The loads at given rates, in both modes."""
    return [
        Run(f"{mode} {rate}/s", mode, rate, seconds) for mode in ("acked", "core") for rate in RATES
    ]


def climb(seconds: float, samples: int) -> list[Run]:
    """Rising rates in mode `core`, until the loop no longer keeps up.

    Unpaced `core` would measure how deep the backlog gets, not how much is carried.
    """
    name, steps = ("core", SINGLE_STEPS) if samples == 1 else ("reports of 20", BATCH_STEPS)
    return [Run(f"{name} step {rate}/s", "core", rate, seconds, samples) for rate in steps]
