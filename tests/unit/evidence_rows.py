"""Labelled rows, designs and seats for the tests of the registry's statistics."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flyball_registry.evidence.evaluation import Design, Finding, Scored, Seat, State, fold

BLOCK_MS = 1_000
HORIZON_MS = 250

Array = NDArray[Any]


def design(**given: Any) -> Design:
    """Binary, blocks of a second, no season, a margin of 0; what is given is otherwise."""
    plain: dict[str, Any] = {
        "task": "binary",
        "margin": 0.0,
        "alpha": 0.05,
        "block_ms": BLOCK_MS,
        "horizon_ms": HORIZON_MS,
        "season_ms": 0,
        "not_worse_by": 0.002,
        "gate_rows": 2_000,
        "tolerance": 0.02,
        "false_alarm_every_days": 0.01,
    }
    return Design(**{**plain, **given})


def seat(trainer: str = "baseline", **given: Any) -> Seat:
    """A seat whose active model is its anchor; what is given is otherwise."""
    plain: dict[str, Any] = {
        "epoch": 1,
        "trainer": trainer,
        "digest": f"{trainer}-1",
        "anchor_trainer": trainer,
        "anchor_digest": f"{trainer}-1",
    }
    return Seat(**{**plain, **given})


def scored(
    time_ms: Array,
    label: Array,
    score: Mapping[str, Array],
    *,
    weight: Array | None = None,
    censored: Array | None = None,
    known_ms: Array | None = None,
    slices: Mapping[str, Sequence[str]] | None = None,
) -> Scored:
    """Rows whose label is known a horizon later, of weight 1 and not censored."""
    n = len(time_ms)
    time_ms = time_ms.astype(np.int64)
    return Scored(
        time_ms=time_ms,
        known_ms=time_ms + HORIZON_MS if known_ms is None else known_ms,
        element=np.zeros(n, np.uint32),
        weight=np.ones(n) if weight is None else weight,
        censored=np.zeros(n, np.bool_) if censored is None else censored,
        label=label.astype(np.float64),
        score={name: column.astype(np.float64) for name, column in score.items()},
        slices=slices or {},
    )


def times(blocks: int, per_block: int, start_ms: int = 0) -> Array:
    """Decision times in the first half of each block, so that every label is known in time."""
    within = np.arange(per_block) * (BLOCK_MS // 2) // per_block
    return (start_ms + np.arange(blocks)[:, None] * BLOCK_MS + within).ravel()


def part(rows: Scored, at: slice) -> Scored:
    """Some of the rows."""
    taken = {f.name: getattr(rows, f.name) for f in dataclasses.fields(rows)}
    for name, column in taken.items():
        if name in ("score", "slices"):
            taken[name] = {key: values[at] for key, values in column.items()}
        else:
            taken[name] = column[at]
    return Scored(**taken)


def folded(
    rows: Scored,
    held: Seat | None = None,
    under: Design | None = None,
    state: State | None = None,
) -> tuple[State, tuple[Finding, ...]]:
    """All rows in one call, with a clock that closes the last block."""
    clock_ms = (int(rows.time_ms.max()) // BLOCK_MS + 1) * BLOCK_MS
    return fold(state or State(), rows, clock_ms, held or seat(), under or design())


def of_kind(findings: Sequence[Finding], *kinds: type[Any]) -> list[Any]:
    """Findings of these kinds, in order."""
    return [finding for finding in findings if isinstance(finding, kinds)]
