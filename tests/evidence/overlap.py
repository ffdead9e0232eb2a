"""Labels that overlap: why a block is at least two horizons long, by rows through the whole fold."""

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, at_most, percent, share
from tests.evidence.streams import Array
from tests.evidence.succession import looks, won
from tests.unit.evidence_rows import design, of_kind, scored, seat

from flyball_registry.evidence.account import gamma
from flyball_registry.evidence.evaluation import Design, Scored, State, Superior, fold

STEP_MS = 1_000
ELEMENTS = 7
ALPHA = 0.05


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
        many, few, blocks = size.of(300, 20), size.of(300, 30), size.of(150, 80)
        right = share(
            wins(overlapping(s, blocks * 4 * horizon, horizon), kept) for s in range(many)
        )
        wrong = share(
            won(looks(shared(np.random.default_rng(s), 6_000, horizon)), ALPHA) for s in range(few)
        )
        rows.append([str(horizon), f"{percent(right)} of {many}", f"{percent(wrong)} of {few}"])
        claims.append(at_most(f"horizon of {horizon} steps, by the rule", right, ALPHA, many))
        if horizon == 20:
            sentence = f"horizon of {horizon} steps, blocks of one step: far beyond the level"
            claims.append(Claim(sentence, percent(wrong), wrong > 2 * ALPHA))
    return Section(
        "Labels that overlap",
        f"Rows of {ELEMENTS} elements whose labels span the horizon, so that neighbouring rows share "
        "most of their noise; no model is better. By the rule a block spans four horizons and leaves "
        "out rows whose label window crosses its end. Against it, 6,000 steps are blocks of their own: "
        "the design refuses that. Blocks double while they show correlation, but the first 80 base "
        "blocks show little of it when they are short against the horizon.",
        [
            Table(
                "False successions at level 0.05",
                ["horizon, steps", "by the rule", "against it"],
                rows,
            )
        ],
        claims,
    )
