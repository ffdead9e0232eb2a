"""Labels that overlap: why a block is at least two horizons long, by rows through the whole fold."""

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, at_most, percent, share
from tests.evidence.streams import Array
from tests.evidence.succession import ALPHA, FRESH, looks, won
from tests.unit.evidence_rows import design, of_kind, scored, seat

from flyball_registry.evidence.account import gamma
from flyball_registry.evidence.betting import KEPT_BLOCKS, Bets
from flyball_registry.evidence.evaluation import Design, Scored, State, Superior, fold

STEP_MS = 1_000
ELEMENTS = 7
PAST_CHECKS = Bets(margin=0.0, base_blocks=KEPT_BLOCKS)
"""A test that is past its looks at the correlation: its blocks never double."""


def shared(rng: np.random.Generator, steps: int, horizon: int) -> Array:
    """Noise of spread 1 (steps,): each step is the sum of what came in `horizon` of them."""
    fresh = rng.standard_normal(steps + horizon)
    return np.convolve(fresh, np.ones(horizon) / np.sqrt(horizon), "valid")[:steps]


def overlapping(seed: int, steps: int, horizon: int) -> Scored:
    """Two models whose losses share the noise of `horizon` steps, after which a label is known."""
    rng = np.random.default_rng(seed)
    time_ms = np.repeat(np.arange(steps) * STEP_MS, ELEMENTS)
    difference = 0.04 * np.repeat(shared(rng, steps, horizon), ELEMENTS) + rng.normal(
        0, 0.02, len(time_ms)
    )
    loss = {"active": 0.4 + difference / 2, "other": 0.4 - difference / 2}
    score = {name: np.sqrt(np.clip(values, 0, 1)) for name, values in loss.items()}
    return scored(time_ms, np.zeros(len(time_ms)), score, known_ms=time_ms + horizon * STEP_MS)


def wins(rows: Scored, plan: Design) -> bool:
    """Whether the other is called superior."""
    clock_ms = int(rows.time_ms[-1]) + STEP_MS
    return bool(of_kind(fold(State(), rows, clock_ms, seat(), plan)[1], Superior))


def section(size: Size) -> Section:
    """With the rule and without."""
    rows, claims = list[list[str]](), list[Claim]()
    alpha = ALPHA / gamma(1)  # the first comparison spends just 0.05
    for horizon in (5, 20):
        kept = design(
            alpha=alpha, block_ms=4 * horizon * STEP_MS, horizon_ms=horizon * STEP_MS
        )  # fmt: skip
        many, few, blocks = size.of(200, 20), size.of(200, 30), size.of(150, 80)
        right = share(
            wins(overlapping(s, blocks * 4 * horizon, horizon), kept) for s in range(many)
        )
        streams = [shared(np.random.default_rng(s), 6_000, horizon) for s in range(few)]
        doubling, never = (
            share(won(looks(one, begun), ALPHA) for one in streams)
            for begun in (FRESH, PAST_CHECKS)
        )
        found = ((right, many), (doubling, few), (never, few))
        rows.append([str(horizon), *(f"{percent(of)} of {runs}" for of, runs in found)])
        claims.append(at_most(f"horizon of {horizon} steps, by the rule", right, ALPHA, many))
        sentence = f"horizon of {horizon} steps, blocks of one step that never double: far beyond"
        claims.append(Claim(sentence, percent(never), never > 2 * ALPHA))
    return Section(
        "Labels that overlap",
        f"Rows of {ELEMENTS} elements whose labels span the horizon, so that neighbouring rows share "
        "most of their noise; no model is better. By the rule a block spans four horizons and leaves "
        "out rows whose label window crosses its end. Against it, 6,000 steps are blocks of their own: "
        "the design refuses that. That blocks double while they show correlation catches most of it, but "
        "not all; without that too, overlap alone makes winners.",
        [
            Table(
                "False successions at level 0.05",
                ["horizon, steps", "by the rule", "against it", "against it, blocks never double"],
                rows,
            )
        ],
        claims,
    )
