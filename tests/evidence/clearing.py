"""What is cleared without a person: how often it is wrong, with the calibration that risk runs on."""

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from mapie.risk_control import BinaryClassificationController
from tests.evidence.section import Claim, Section, Size, Table, at_most, percent, quantile, share
from tests.evidence.streams import Array

from flyball_proto.calibrations import Calibration
from flyball_proto.columns import Column, Verdict
from flyball_risk.calibrating.bounds import CANDIDATES, cut_off
from flyball_risk.calibrating.labelled import ROW, Names, Terms, proposed
from flyball_risk.calibrating.learning import Learning
from flyball_risk.calibrating.suspicion import ALARM, NONE
from flyball_risk.scoring.probability import assess

MAX_ERROR, CONFIDENCE = 0.05, 0.95
RATES = (0.01, 0.05, 0.2)
"""Share of proposals that are wrong."""
AT = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK_MS, STEP_MS = 40_000, 1_000
FRESH = 40_000
"""New proposals on which a calibration's true error is measured."""


def terms() -> Terms:
    """Of a pipeline with one action."""
    return Terms(
        pipeline="p",
        feature_digest="d" * 64,
        is_probability=True,
        least={"act": 0.5},
        classes={},
        spell_ms={"act": BLOCK_MS // 4},
        block_ms=BLOCK_MS,
        control_share=0.05,
        control_key="key",
        baseline_acts=False,
        max_error=MAX_ERROR,
        confidence=CONFIDENCE,
    )


def learning() -> Learning:
    """That knows its action and its trainer and nothing else."""
    fold = Learning(terms())
    fold.names = Names(["act"], ["trees"])
    return fold


def offset(rate: float) -> float:
    """Log-odds that make so many of the proposals wrong on average."""
    spread = 2.0 * np.random.default_rng(0).standard_normal(20_000)
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if (1 / (1 + np.exp(-middle - spread))).mean() < rate else (low, middle)
        )
    return low


OFFSETS = {rate: offset(rate) for rate in RATES}


def rows(
    rng: np.random.Generator, n: int, odds: float, *, first: int = 0, drawn: float = 1.0
) -> tuple[Column, Array]:
    """Proposals, and how likely each is wrong. The score knows half of that, and claims too much.

    Novelty and disagreement know of the other half.
    """
    known, hidden = rng.standard_normal((2, n)) * np.sqrt(2.0)
    wrong = 1 / (1 + np.exp(-(odds + known + hidden)))
    found = np.zeros(n, ROW)
    found["time_ms"] = (first + np.arange(n)) * STEP_MS
    found["cell"] = first + np.arange(n)
    found["score"] = 1 - 1 / (1 + np.exp(-(odds - 0.5 + known)))
    found["novelty"] = 1 - 1 / (1 + np.exp(-(hidden - 1 + 0.5 * rng.standard_normal(n))))
    found["disagreement"] = 1 / (1 + np.exp(-(hidden + rng.standard_normal(n))))
    found["age_ms"], found["weight"] = np.nan, 1.0
    found["wrong"] = rng.random(n) < wrong
    found["drawn"] = rng.random(n) < drawn
    found["verdict"], found["seated"] = int(Verdict.ADVISE), True
    return found, wrong


@dataclass(frozen=True)
class Cleared:
    """What a calibration clears of new proposals: how much, and how much of that is wrong."""

    proven: bool
    share: float
    error: float


def cleared(calibration: Calibration, fresh: tuple[Column, Array]) -> Cleared:
    """By the probability of each new proposal, not by luck."""
    cut = calibration.cut_off
    assert cut is not None
    if cut.at is None:
        return Cleared(cut.proven, 0.0, 0.0)
    known = proposed(fresh[0], Names(["act"], ["trees"]))
    below = assess(known, calibration, is_probability=True).error <= cut.at
    return Cleared(True, float(below.mean()), float(fresh[1][below].mean()) if below.any() else 0.0)


def still(seed: int, labels: int, rate: float, fresh: tuple[Column, Array]) -> Cleared:
    """One run in which nothing changes."""
    fold = learning()
    fold.add(rows(np.random.default_rng(seed), labels, OFFSETS[rate])[0])
    return cleared(fold.fit(AT), fresh)


@dataclass(frozen=True)
class Shifted:
    """One run in which what the signals do not see makes proposals wrong more often.

    `delay` drawn rows from the change until it stepped back, None = never; of those `through` were
    cleared and `wrong` of them wrong. `before` says whether it stepped back without any change.
    `back` rows later a newer cut-off was proven.
    """

    before: bool
    delay: int | None
    through: int
    wrong: int
    back: int | None


def shifted(seed: int, labels: int, rate: float, later: float, after: int) -> Shifted:
    """Labels come one by one; the change adds `later` to the log-odds of an error."""
    rng, fold = np.random.default_rng(seed), learning()
    first, _ = rows(rng, labels, OFFSETS[rate])
    second, wrong = rows(rng, after, OFFSETS[rate], first=labels)
    odds = np.log(wrong / (1 - wrong)) + later
    second["wrong"] = rng.random(after) < 1 / (1 + np.exp(-odds))
    stepped = [_step(fold, first[i : i + 1])[1] for i in range(labels)]
    through = failed = 0
    delay: int | None = None
    for i in range(after):
        row = second[i : i + 1]
        was_cleared, steps_back = _step(fold, row)
        if delay is None:
            through += was_cleared
            failed += was_cleared and bool(row["wrong"][0])
            delay = i + 1 if steps_back else None
        elif fold.watch.stepped_back is None:
            return Shifted(any(stepped), delay, through, failed, i + 1 - delay)
    return Shifted(any(stepped), delay, through, failed, None)


def _step(fold: Learning, row: Column) -> tuple[bool, bool]:
    """One label: whether its proposal was cleared, and whether the pipeline stepped back by it."""
    now, is_through, was_back = fold.calibration, False, fold.watch.stepped_back is not None
    if now is not None and now.stepped_back is None and now.cut_off is not None:
        error = assess(proposed(row, fold.names), now, is_probability=True).error
        is_through = now.cut_off.at is not None and bool(error[0] <= now.cut_off.at)
    fold.add(row)
    if fold.is_due:
        fold.fit(AT)
    return is_through, not was_back and fold.watch.stepped_back is not None


def alarms(seed: int, rows: int, error: float) -> list[int]:
    """Cleared rows from one beginning to each alarm, while so many of them are wrong."""
    wrong = np.random.default_rng(seed).random(rows) < error
    found, now, since = [], NONE, 0
    for i, is_wrong in enumerate(wrong.tolist()):
        now = now.saw(1, MAX_ERROR, wrong=is_wrong)
        if now.is_certain(MAX_ERROR):
            found.append(i + 1 - since)
            now, since = NONE, i + 1
    return found


def mapie_share(error: Array, wrong: Array) -> float:
    """What MAPIE would clear at the same candidates: precision by Hoeffding-Bentkus and Bonferroni."""
    ranked = np.sort(np.round(error, 6))
    candidates = np.unique([ranked[-(-len(error) * i // CANDIDATES) - 1] for i in range(1, 21)])
    controller = BinaryClassificationController(
        lambda x: np.column_stack([x[:, 0], 1 - x[:, 0]]),
        risk="precision",
        target_level=1 - MAX_ERROR,
        confidence_level=CONFIDENCE,
        list_predict_params=1 - candidates - 1e-9,
        fwer_method="bonferroni",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        controller.calibrate(np.round(error, 6)[:, None], (~wrong).astype(int))
    valid = controller.valid_predict_params
    if not len(valid):
        return 0.0
    return float((1 - np.round(error, 6) >= np.min(valid)).mean())


def guarantee(size: Size) -> Section:
    """While nothing changes: how often the true error of what is cleared is above the maximum."""
    runs, table, claims = size.of(300, 20), list[list[str]](), list[Claim]()
    every = list[Cleared]()
    for rate in RATES:
        fresh = rows(np.random.default_rng(1_000_000), size.of(FRESH, 10_000), OFFSETS[rate])
        for labels in (150, 400, 1_000) if size.full else (150, 400):
            found = [still(seed, labels, rate, fresh) for seed in range(runs)]
            every += found
            beyond = share(one.error > MAX_ERROR for one in found)
            told = (
                f"{percent(rate)} of proposals wrong, {labels} labels: beyond {percent(MAX_ERROR)}"
            )
            claims.append(at_most(told, beyond, 1 - CONFIDENCE, runs))
            proven = [one for one in found if one.share > 0]
            table.append(
                [
                    percent(rate),
                    str(labels),
                    percent(len(proven) / runs),
                    percent(float(np.mean([one.share for one in found]))),
                    percent(float(np.mean([one.error for one in proven]))) if proven else "-",
                    percent(beyond),
                ]
            )
    return Section(
        "What is cleared without a person",
        f"Proposals whose score knows half of what makes them wrong and claims too much; novelty and "
        f"disagreement know of the rest. Risk's own calibration learns from labelled rows and sets the "
        f"cut-off; the true error of what it clears is then measured on {size.of(FRESH, 10_000):,} "
        f"new proposals. `max_error` is {percent(MAX_ERROR)}, with confidence {percent(CONFIDENCE)}.",
        [
            Table(
                f"{runs} runs each",
                [
                    "wrong",
                    "labels",
                    "runs with a cut-off",
                    "cleared",
                    "of that wrong",
                    "runs beyond",
                ],
                table,
            ),
            Table(
                "Share cleared beside MAPIE's `BinaryClassificationController`, same candidates",
                ["labels", "Flyball (Clopper-Pearson)", "MAPIE (Hoeffding-Bentkus)"],
                _beside(size, claims),
            ),
        ],
        claims,
    )


def _beside(size: Size, claims: list[Claim]) -> list[list[str]]:
    table, more = list[list[str]](), True
    for labels in (200, 400, 1_000):
        ours, theirs = list[float](), list[float]()
        for seed in range(size.of(100, 5)):
            rng = np.random.default_rng(seed)
            error = rng.beta(0.5, 8.0, labels)
            wrong = rng.random(labels) < error
            cut = cut_off(error, wrong, max_error=MAX_ERROR, confidence=CONFIDENCE)
            ours.append(cut.below / labels if cut.at is not None else 0.0)
            theirs.append(mapie_share(error, wrong))
            more &= ours[-1] >= theirs[-1] - 1e-9
        table.append([str(labels), percent(float(np.mean(ours))), percent(float(np.mean(theirs)))])
    claims.append(Claim("never less is cleared than MAPIE allows", "exact bound", more))
    return table


def changes(size: Size) -> Section:
    """When what is cleared begins to err more: how soon the pipeline steps back to advisory."""
    runs, table, claims = size.of(200, 20), list[list[str]](), list[Claim]()
    for error in (0.1, 0.15, 0.2, 0.3):
        found = [alarms(seed, size.of(5_000, 1_500), error)[:1] for seed in range(runs)]
        first = [one[0] if one else None for one in found]
        known = [one for one in first if one is not None]
        excess = float(np.mean(known)) * (error - MAX_ERROR) if known else float("nan")
        table.append([percent(error), quantile(first, 0.5), quantile(first, 0.9), f"{excess:.1f}"])
        if error >= 0.2:
            claims.append(
                Claim(
                    f"{percent(error)} wrong: noticed in every run",
                    f"{len(known)} of {runs}",
                    len(known) == runs,
                )
            )
    total = size.of(100, 4) * 5_000
    false = sum(len(alarms(1_000 + seed, 5_000, MAX_ERROR)) for seed in range(total // 5_000))
    level = total / ALARM
    claims.append(
        Claim(
            f"exactly {percent(MAX_ERROR)} wrong: at most one alarm in {ALARM:,.0f} cleared rows",
            f"{false} in {total:,}",
            false <= level + 3 * np.sqrt(level),
        )
    )
    return Section(
        "Stepping back to advisory",
        "Above, what the signals say stays as true as it was. When it does not, no cut-off is valid; then "
        "the promise is to notice. After each cleared row whose truth the control share or the advisory "
        "stage lets us see, a bet against `max_error` goes on; at "
        f"{ALARM:,.0f} times its stake the pipeline steps back. Second table: the whole calibration, with "
        "1,000 labels before the change, refitted as it goes on, so that part of a change is met by a lower "
        "cut-off; the change adds to the log-odds of an error what no signal shows.",
        [
            Table(
                f"The bet alone, {runs} runs: cleared rows until it steps back",
                ["wrong of cleared", "median", "90 %", "wrong ones beyond the maximum"],
                table,
            ),
            _whole(size, claims),
        ],
        claims,
    )


def _whole(size: Size, claims: list[Claim]) -> Table:
    runs, table = size.of(20, 2), list[list[str]]()
    for rate, later in ((0.01, 3.0), (0.01, 4.0), (0.05, 2.0), (0.05, 3.0)):
        labels, after = size.of(1_000, 300), size.of(1_000, 200)
        found = [shifted(seed, labels, rate, later, after) for seed in range(runs)]
        through, wrong = sum(one.through for one in found), sum(one.wrong for one in found)
        late = [one.delay for one in found]
        table.append(
            [
                f"{percent(rate)}, +{later:g}",
                percent(share(one is not None for one in late)),
                quantile(late, 0.5),
                percent(wrong / max(1, through)),
                f"{(wrong - MAX_ERROR * through) / runs:.1f}",
                percent(share(one.back is not None for one in found)),
            ]
        )
        before = share(one.before for one in found)
        claims.append(
            at_most(f"{percent(rate)} wrong: stepped back before the change", before, 0, runs)
        )
    return Table(
        f"The whole calibration, {runs} runs: drawn rows after the change",
        [
            "wrong before, log-odds added",
            "stepped back",
            "median rows until then",
            "wrong of cleared until then",
            "beyond the maximum, a run",
            "proven again later",
        ],
        table,
    )
