"""Refreshes by the gate: equal ones pass, losses do not add up, a moving world is followed."""

from typing import Any

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, percent, quantile, share
from tests.unit.evidence_rows import BLOCK_MS, design, of_kind, scored, seat, times

from flyball_registry.evidence.evaluation import Degraded, State, fold
from flyball_registry.evidence.gate import GateRows, examine

ROWS, INSTANTS = 2_000, 100
NOT_WORSE_BY = 0.005
PLAN = design(not_worse_by=NOT_WORSE_BY)


def gate_rows(rng: np.random.Generator, apart: float, **worse_by: float) -> GateRows:
    """Rows of 100 instants; each model's loss is its mean and noise of its own, `apart` wide."""
    shared = rng.normal(0.3, 0.1, ROWS) + np.repeat(rng.normal(0, 0.02, INSTANTS), ROWS // INSTANTS)
    columns: dict[str, Any] = {
        name: np.sqrt(np.clip(shared + worse + rng.normal(0, apart, ROWS), 0, 1))
        for name, worse in worse_by.items()
    }
    return GateRows(
        time_ms=np.repeat(np.arange(INSTANTS), ROWS // INSTANTS), weight=np.ones(ROWS),
        censored=np.zeros(ROWS, np.bool_), label=np.zeros(ROWS), **columns,
    )  # fmt: skip


def accepted(rng: np.random.Generator, apart: float, **worse_by: float) -> bool:
    """Whether the new model may refresh the seat."""
    return examine(gate_rows(rng, apart, **worse_by), PLAN).outcome == "accepted"


def section(size: Size) -> Section:
    """All of the gate, and the watch behind it."""
    refreshes, rows, claims = size.of(500, 60), list[list[str]](), list[Claim]()
    for apart in (0.02, 0.05, 0.1):
        shares = [
            share(
                accepted(np.random.default_rng(s), apart, new=w, anchor=0.0, replaced=0.0)
                for s in range(refreshes)
            )
            for w in (-NOT_WORSE_BY, 0.0, NOT_WORSE_BY, 2 * NOT_WORSE_BY)
        ]
        rows.append([f"{apart:g}", *map(percent, shares)])
        if apart == 0.02:
            claims.append(Claim("equal models pass", percent(shares[1]), shares[1] > 0.95))
        if apart <= 0.05:
            bad = shares[2] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / refreshes)
            claims.append(
                Claim(
                    f"worse by all that is allowed, rows {apart:g} apart: at most 5 %",
                    percent(shares[2]),
                    bad,
                )
            )
    head = ["rows apart by", "better by 0.005", "equal", "worse by 0.005", "worse by 0.01"]
    passing = Table(f"Share accepted, {ROWS:,} rows, {NOT_WORSE_BY} allowed", head, rows)
    creeping, creep_claims = _creeping(size)
    poisoned, poison_claims = _poisoned(size)
    return Section(
        "Refreshes",
        f"{refreshes} refreshes each. The gate compares a new model with the seat's anchor and with the "
        "one it replaces, over rows that none of them was fitted to.",
        [passing, creeping, poisoned],
        [*claims, *creep_claims, *poison_claims],
    )


def _creeping(size: Size) -> tuple[Table, list[Claim]]:
    """Models of a trainer that gets a little worse each time; and a world that moves."""
    refreshes, worst, took, naive = size.of(500, 60), 0.0, 0, 0.0
    rng, now = np.random.default_rng(7), 0.0
    for _ in range(refreshes):
        new = now + float(rng.normal(0.0005, 0.001))
        if accepted(rng, 0.02, new=new, anchor=0.0, replaced=now):
            now, took = new, took + 1
        only_before = naive + float(rng.normal(0.0005, 0.001))
        if accepted(rng, 0.02, new=only_before, anchor=naive, replaced=naive):
            naive = only_before
        worst = max(worst, now)
    stale, lag, moved = 0.0, list[float](), 0
    current = 0.0
    for _ in range(refreshes):  # every step the world leaves each old model a little more behind
        stale, current = min(0.5, stale + 0.002), current + 0.002
        if accepted(rng, 0.02, new=0.0, anchor=stale, replaced=current):
            current, moved = 0.0, moved + 1
        lag.append(current)
    behind = float(np.mean(lag))
    table = Table(
        f"{refreshes} refreshes in a row",
        ["stream", "accepted", "loss beyond the anchor's or the oracle's"],
        [
            ["each new one worse by 0.0005 ± 0.001 than the active", percent(took / refreshes), f"{worst:.4f} at most"],
            ["the same, were the gate to ask the predecessor only", "", f"{naive:.4f} at the end"],
            ["a world that moves by 0.002 a refresh", percent(moved / refreshes), f"{behind:.4f} on average"],
        ],
    )  # fmt: skip
    return table, [
        Claim(
            "small losses do not add up: within the allowance and half of it, the error of 500 looks",
            f"{worst:.4f}",
            worst <= 1.5 * NOT_WORSE_BY,
        ),
        Claim("a moving world is followed", percent(moved / refreshes), moved >= 0.95 * refreshes),
    ]


def _poisoned(size: Size) -> tuple[Table, list[Claim]]:
    """A refreshed model that turns bad once active: its trainer loses the seat."""
    runs, calm = size.of(50, 6), 200
    found = list[int | None]()
    for seed in range(runs):
        rng, time_ms = np.random.default_rng(seed), times(calm + 300, 25)
        bad = time_ms >= calm * BLOCK_MS
        label = (rng.random(len(time_ms)) < 0.3) * 1.0
        good = np.clip(0.3 + 0.5 * (label - 0.3) + rng.normal(0, 0.05, len(label)), 0, 1)
        flipped = np.where(rng.random(len(label)) < 0.3, 1 - good, good)
        rows = scored(time_ms, label, {"active": np.where(bad, flipped, good), "anchor": good})
        held = seat("t", digest="t-2", anchor_digest="t-1")
        plan = design(false_alarm_every_days=720 * BLOCK_MS / 86_400_000)
        findings = fold(State(), rows, (calm + 300) * BLOCK_MS, held, plan)[1]
        back = [f for f in of_kind(findings, Degraded) if f.decision == "roll-back"]
        found.append(back[0].at_ms // BLOCK_MS - calm if back else None)
    on_time = share(v is not None and v > 0 for v in found)
    table = Table(
        "A model poisoned after 200 blocks, three scores in ten turned round",
        ["runs", "rolled back", "median blocks", "90 %"],
        [[str(runs), percent(on_time), quantile(found, 0.5), quantile(found, 0.9)]],
    )
    return table, [Claim("a poisoned trainer loses the seat", percent(on_time), on_time >= 0.95)]
