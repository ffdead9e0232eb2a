"""A pipeline's evidence from rows to successions: how often a trainer takes the seat for nothing."""

from collections.abc import Mapping

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, percent, quantile, share
from tests.evidence.streams import Array
from tests.unit.evidence_rows import BLOCK_MS, design, of_kind, part, scored, seat, times

from flyball_registry.evidence.evaluation import State, Superior, fold

PER_BLOCK = 25
CHUNK = 40
ALPHA = 0.05
TRAINERS = ("a", "b", "c")


def world(
    seed: int, blocks: int, skill: Mapping[str, float]
) -> tuple[Array, Array, dict[str, Array]]:
    """Events at a rate of 0.3; a trainer of skill k says 0.3 + k (label - 0.3) with noise of its own."""
    rng, time_ms = np.random.default_rng(seed), times(blocks, PER_BLOCK)
    label = (rng.random(len(time_ms)) < 0.3) * 1.0
    score = {
        name: np.clip(0.3 + k * (label - 0.3) + rng.normal(0, 0.15, len(label)), 0, 1)
        for name, k in skill.items()
    }
    return time_ms, label, score


def successions(seed: int, blocks: int, skill: Mapping[str, float]) -> list[tuple[int, str]]:
    """Who took the seat and after how many blocks; the winner holds it from then on."""
    time_ms, label, score = world(seed, blocks, skill)
    state, holder, epoch, since, found = State(), "baseline", 1, 0, list[tuple[int, str]]()
    for start in range(0, blocks, CHUNK):
        rows = scored(time_ms, label, {**score, "active": score[holder]})
        at = slice(start * PER_BLOCK, (start + CHUNK) * PER_BLOCK)
        held = seat(holder, epoch=epoch, since_ms=since)
        clock_ms = min(blocks, start + CHUNK) * BLOCK_MS
        state, findings = fold(state, part(rows, at), clock_ms, held, design(alpha=ALPHA))
        if won := of_kind(findings, Superior):
            holder, epoch, since = won[0].trainer, epoch + 1, clock_ms
            found.append((won[0].at_ms // BLOCK_MS, holder))
    return found


def section(size: Size) -> Section:
    """Without any advantage, with one, and among equals that are all better than the baseline."""
    runs, blocks, rows, claims = (
        size.of(200, 8),
        size.of(400, 200),
        list[list[str]](),
        list[Claim](),
    )
    equal = dict.fromkeys((*TRAINERS, "baseline"), 0.2)
    for words, skill in (
        ("three trainers no better than the baseline", equal),
        ("one of three better by a tenth of the way to the label", {**equal, "a": 0.3}),
        ("three equal trainers, each far better than the baseline", {**equal, **dict.fromkeys(TRAINERS, 0.5)}),
    ):  # fmt: skip
        found = [successions(seed, blocks, skill) for seed in range(runs)]
        best = max(skill.values())
        first = [f[0][0] if f and skill[f[0][1]] == best else None for f in found]
        useless = [
            sum(
                skill[now] <= skill[before]
                for before, (_, now) in zip(_holders(f), f, strict=False)
            )
            for f in found
        ]
        rows.append([
            words, percent(share(found)), f"{np.mean([len(f) for f in found]):.2f}",
            f"{sum(useless)} in {sum(map(bool, useless))} runs",
            quantile(first, 0.5) if best > 0.2 else "",
        ])  # fmt: skip
        wasted = share(useless)
        limit = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
        claims.append(
            Claim(
                f"{words}: hardly a promotion without an effect", percent(wasted), wasted <= limit
            )
        )
        if best > 0.2:
            claims.append(
                Claim(f"{words}: the better one wins", percent(share(found)), share(found) > 0.9)
            )
    return Section(
        "A whole pipeline's evidence",
        f"{runs} runs of {blocks} blocks of {PER_BLOCK} rows through the fold, alpha {ALPHA}, margin 0. Whoever "
        "wins holds the seat from the next fold on, and is compared with all others anew.",
        [
            Table(
                "Successions",
                [
                    "world",
                    "runs with one",
                    "per run",
                    "without an effect",
                    "median blocks to the first",
                ],
                rows,
            )
        ],
        claims,
    )


def _holders(found: list[tuple[int, str]]) -> list[str]:
    return ["baseline", *(name for _, name in found)]
