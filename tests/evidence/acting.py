"""A perfect model whose actions work: what evidence says with and without censoring."""

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, percent, share
from tests.unit.evidence_rows import BLOCK_MS, design, of_kind, scored, seat, times

from flyball_registry.evidence.evaluation import Degraded, Finding, Scored, State, Superior, fold

RATE, WORKS, CONTROL = 0.1, 0.8, 0.05
PER_BLOCK = 100


def rows_of(seed: int, blocks: int, *, censor: bool) -> Scored:
    """Rows of a perfect model that acts where it sees an event coming; a constant beside it.

    With censoring acted rows count nowhere, and those withheld from action stand for them.
    """
    rng, time_ms = np.random.default_rng(seed), times(blocks, PER_BLOCK)
    coming = rng.random(len(time_ms)) < RATE
    withheld = coming & (rng.random(len(time_ms)) < CONTROL)
    acted = coming & ~withheld if censor else coming
    averted = acted & (rng.random(len(time_ms)) < WORKS)
    label = (coming & ~averted) * 1.0
    perfect, constant = np.where(coming, 0.99, 0.01), np.full(len(time_ms), 0.1)
    return scored(
        time_ms, label, {"active": perfect, "constant": constant, "anchor": constant},
        censored=acted & censor,
        weight=np.where(withheld & censor, 1 / CONTROL, 1.0),
    )  # fmt: skip


def findings_of(seed: int, blocks: int, *, censor: bool) -> tuple[Finding, ...]:
    """The perfect model is a refresh of the seat whose anchor is a constant: it can be rolled back."""
    held = seat("perfect", digest="perfect-2", anchor_digest="perfect-1")
    plan = design(false_alarm_every_days=720 * BLOCK_MS / 86_400_000)
    rows = rows_of(seed, blocks, censor=censor)
    return fold(State(), rows, blocks * BLOCK_MS, held, plan)[1]


def section(size: Size) -> Section:
    """Both kinds of evidence."""
    runs, blocks, rows, claims = (
        size.of(200, 6),
        size.of(300, 150),
        list[list[str]](),
        list[Claim](),
    )
    for words, censor in (("censored, with control rows", True), ("naive", False)):
        found = [findings_of(seed, blocks, censor=censor) for seed in range(runs)]
        replaced = share(of_kind(f, Superior) for f in found)
        accused = share(
            [d for d in of_kind(f, Degraded) if d.decision in ("roll-back", "compare")]
            for f in found
        )
        rows.append([words, percent(replaced), percent(accused)])
        if censor:
            fine = replaced == accused == 0.0
            claims.append(
                Claim(
                    "the perfect model keeps the seat",
                    f"{runs} of {runs} runs" if fine else "no",
                    fine,
                )
            )
        else:
            claims.append(
                Claim(
                    "naive evidence replaces it by the constant", percent(replaced), replaced > 0.9
                )
            )
    return Section(
        "Actions that work",
        f"{runs} runs of {blocks} blocks of {PER_BLOCK} rows: events at a rate of {RATE}, an action that averts "
        f"{percent(WORKS)} of them, a control share of {CONTROL}. The constant says the rate.",
        [
            Table(
                "A perfect acting model",
                ["evidence", "replaced by the constant", "anchor called better"],
                rows,
            )
        ],
        claims,
    )
