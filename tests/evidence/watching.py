"""How soon a worse model is found out, beside how soon a better one wins; and false alarms."""

import math
from collections.abc import Sequence

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, quantile
from tests.evidence.streams import Array, noise
from tests.evidence.succession import ALPHA, EFFECTS, looks, won
from tests.unit.evidence_rows import BLOCK_MS, design

from flyball_registry.evidence import drift
from flyball_registry.evidence.evaluation import Design
from flyball_registry.evidence.watch import REFERENCE_BLOCKS, Watch

LOSS, SPREAD = 0.3, 0.05
PILOT = 20
A = 720.0
PROMISED = {0.2: 143, 0.5: 62, 1.0: 34, 2.0: 19}


def plan(a: float, tolerance: float = 0.0) -> Design:
    """Whose detectors' A is so many blocks."""
    days = a * BLOCK_MS / 86_400_000
    return design(not_worse_by=0.0, tolerance=tolerance, false_alarm_every_days=days)


def harm(losses: Array, under: Design) -> int | None:
    """Blocks until D1 speaks, from the end of its reference of 40 blocks on; None = never."""
    watch, one = Watch.begin(under), np.ones(20)
    for at, loss in enumerate(losses.tolist()):
        watch = watch.model_copy(update={"own": watch.own.add(one, one * loss)})
        watch, _ = watch.close_own((at + 1) * BLOCK_MS, under)
        if watch.tolerated is not None and watch.harm_evidence >= under.alarm_blocks:
            return at + 1 - REFERENCE_BLOCKS
    return None


def relative(worse_by: Array, under: Design) -> int | None:
    """Blocks until D2 speaks, behind its pilot."""
    watch, one = Watch.begin(under), np.ones(20)
    for at, value in enumerate(worse_by.tolist()):
        watch = watch.model_copy(update={"paired": watch.paired.add(one, one * value)})
        watch = watch.close_paired(under)
        if watch.relative_evidence >= under.alarm_blocks:
            return at + 1 - PILOT
    return None


def drifted(losses: Array) -> int | None:
    """Blocks until ADWIN reports a rise of the loss."""
    _, rises = drift.extend((), losses.tolist())
    return rises[0].index + 1 if rises else None


def mean_run(found: Sequence[int | None], most: int) -> tuple[float, str]:
    """The mean, at least, when those without an alarm are cut off."""
    cut = sum(v is None for v in found)
    mean = float(np.mean([most if v is None else v for v in found]))
    return mean, f"{'at least ' if cut else ''}{mean:,.0f}"


def runs(size: Size) -> Section:
    """Blocks to a false alarm."""
    streams, rows, claims = size.of(200, 80), list[list[str]](), list[Claim]()
    for a in (50.0, 100.0, 200.0) if size.full else (50.0,):
        blocks = int(size.of(20, 5) * a)
        still = noise("normal", 400, streams, blocks + REFERENCE_BLOCKS)
        told = plan(a, tolerance=0.25 * SPREAD)
        for name, detect, values in (
            ("D1, harm", harm, LOSS + SPREAD * still),
            ("D2, relative", relative, SPREAD * still),
        ):
            found = [detect(one, told) for one in values]
            mean, words = mean_run(found, blocks)
            error = float(np.std([blocks if v is None else v for v in found])) / math.sqrt(streams)
            rows.append([name, f"{a:g}", words])
            sentence = f"{name}: false alarms are at least {a:g} blocks apart"
            claims.append(Claim(sentence, f"{words} ± {error:.0f}", mean + 3 * error >= a))
    blocks = size.of(2_000, 500)
    still = LOSS + SPREAD * noise("normal", 401, size.of(60, 6), blocks)
    rows.append(
        [
            "ADWIN on block losses",
            "delta 0.002",
            mean_run([drifted(one) for one in still], blocks)[1],
        ]
    )
    return Section(
        "Blocks to a false alarm",
        f"{streams} streams of losses around {LOSS} with a spread of {SPREAD}, without any change. D1 "
        "tolerates a quarter of a spread more than the upper bound of its 40 reference blocks.",
        [Table("Mean blocks to a false alarm", ["detector", "A", "blocks"], rows)],
        claims,
    )


def delays(size: Size) -> Section:
    """Succession and rollback in one table."""
    streams, blocks = size.of(150, 24), size.of(1_500, 500)
    still, before = noise("normal", 410, streams, blocks), size.of(100, 60)
    rows, claims, told = list[list[str]](), list[Claim](), plan(A, tolerance=0.25 * SPREAD)
    for effect in EFFECTS:
        wins = [won(looks(values + effect), ALPHA) for values in still]
        at_once = [relative(SPREAD * (values + effect), told) for values in still]
        rise = np.where(np.arange(blocks) < PILOT, 0.0, effect)
        d2 = [relative(SPREAD * (values + rise), told) for values in still]
        rise = np.where(np.arange(blocks) < REFERENCE_BLOCKS, 0.0, effect)
        d1 = [harm(LOSS + SPREAD * (values + rise), told) for values in still]
        some, late = still[: size.of(60, 6)], np.where(np.arange(blocks) < before, 0.0, effect)
        adwin = [_after(drifted(LOSS + SPREAD * (values + late)), before) for values in some]
        promised = PROMISED.get(effect)
        rows.append([
            f"{effect:g}", *(f"{quantile(v, 0.5)} / {quantile(v, 0.9)}" for v in (wins, d1, d2, at_once, adwin)),
            str(promised or ""),
        ])  # fmt: skip
        if promised:
            median = float(np.median([v or blocks for v in d2]))
            near = abs(median - promised) <= (0.2 if size.full else 0.35) * promised
            claims.append(
                Claim(f"D2 needs about {promised} blocks at {effect:g}", f"median {median:g}", near)
            )
    head = [
        "effect / spread",
        "succession",
        "D1, harm",
        "D2, worse after its pilot",
        "D2, worse from the start",
        "ADWIN",
        "D2 as designed",
    ]
    return Section(
        "How soon a better one wins and a worse one is found out",
        f"Median and 90 % of {streams} streams of {blocks:,} blocks, level 0.05 and A = {A:g} blocks. The "
        "succession counts from the first block of a comparison, D1 from the end of its reference, D2 "
        f"from the end of its pilot of {PILOT} blocks: a model that is worse already then makes D2 take "
        "that for the usual spread, and is found out later. ADWIN counts "
        f"from a change after {before} blocks. D1 "
        "compares the loss as it is, and tolerates what is usual and a quarter of a spread more.",
        [Table("Base blocks, median / 90 %", head, rows)],
        claims,
    )


def _after(found: int | None, before: int) -> int | None:
    return None if found is None or found <= before else found - before
