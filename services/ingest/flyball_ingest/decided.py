"""Decided rows: feature rows with what became of them. Pure."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from flyball_ingest.approvals import Approval
from flyball_ingest.sampling import APPLIED, Sampling
from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, U8, Column, Features, Model, Rows, Verdicts
from flyball_proto.spec import KEEP


class DisagreementError(PermanentError):
    """A verdict is not about the feature row that it stands beside."""

    kind = "verdicts-disagree"


class Said(NamedTuple):
    """What was proposed for a row, as the verdict tells it, and what was found about that."""

    action: str
    """Of the verdict: the fallback's, if that was sent instead. Empty = nothing was proposed."""
    category: int
    novelty: float
    """NaN = not known; so is `disagreement`."""
    disagreement: float


NOTHING: Final = Said("", 0, float("nan"), float("nan"))
"""One object for all rows that propose nothing: they are most of those that wait."""


@dataclass(slots=True, eq=False)
class Decided:
    """One decided row. `place` is its place among all: VERDICTS sequence, row of that message.

    `own` is its raw value of the target's metric, NaN = none; `acted` says whether an action was
    dispatched, `said` which was proposed. The rest is set later: `open` until nobody needs it, `label` when it is known.
    """

    element: str
    labels: str
    time_ms: int
    sequence: int
    sample: int
    quality: int
    feature: bytes
    own: float
    model: Model
    score: float
    verdict: int
    weight: float
    acted: bool
    said: Said
    place: tuple[int, int]
    open: bool = True
    label: float | None = None
    known_ms: int = 0
    censored: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Feature rows, and their verdicts: those from row `at` on of VERDICTS message `message`.

    `approvals` are those of the message that were not taken yet; who takes the rows takes them.
    """

    features: Features
    verdicts: Verdicts
    at: int
    message: int
    approvals: deque[Approval] = field(default_factory=deque)


def check_agreement(pair: Pair) -> None:
    """Whether the verdicts are about these feature rows.

    Raises:
        DisagreementError: With the first two that differ.
    """
    features, verdicts, at = pair.features, pair.verdicts, pair.at
    rows, n = features.rows, len(features.rows)
    if at + n > len(verdicts.rows):
        raise DisagreementError(
            f"{features.pipeline}: {len(verdicts.rows)} verdicts, but feature rows up to the "
            f"{at + n}th stand beside them; were FEATURES and VERDICTS written by one chain?"
        )
    mine, theirs = _identity(rows, slice(0, n)), _identity(verdicts.rows, slice(at, at + n))
    differs = np.zeros(n, bool)
    for left, right in zip(mine, theirs, strict=True):
        differs |= np.asarray(left != right, bool)
    if differs.any():
        i = int(np.argmax(differs))
        raise DisagreementError(
            f"{features.pipeline}: feature row {_named(mine, i)} stands beside verdict "
            f"{_named(theirs, i)} (element, time, sequence, sample); were FEATURES and VERDICTS "
            "written by one chain?"
        )


def decided_rows(
    pair: Pair, chosen: Column, *, sampling: Sampling, models: Sequence[Model]
) -> Iterator[Decided]:
    """The `chosen` rows of a pair; `models` are those that its verdicts name."""
    features, verdicts, at = pair.features, pair.verdicts, pair.at
    rows, there = features.rows, chosen + at
    actions = np.array([False, *(action != KEEP for action in verdicts.action)])
    verdict = verdicts.verdict[there]
    acted = actions[verdicts.action_index[there]] & np.isin(verdict, tuple(APPLIED))
    own = features.target[chosen, 0] if features.target.shape[1] else np.full(len(chosen), np.nan)
    stride = F32.itemsize * features.feature.shape[1]
    data = np.ascontiguousarray(features.feature, F32).reshape(-1).view(U8).data
    labels = [rows.label_set[i] for i in rows.label_index]
    for (
        i,
        entry,
        time_ms,
        sequence,
        sample,
        quality,
        value,
        model,
        score,
        ruled,
        is_acted,
        said,
    ) in zip(
        chosen.tolist(),
        rows.element_index[chosen].tolist(),
        rows.time_ms[chosen].tolist(),
        rows.sequence[chosen].tolist(),
        rows.sample[chosen].tolist(),
        features.quality[chosen].tolist(),
        own.tolist(),
        verdicts.model_index[there].tolist(),
        verdicts.score[there].tolist(),
        verdict.tolist(),
        acted.tolist(),
        _said(verdicts, there),
        strict=True,
    ):
        yield Decided(
            rows.element[entry],
            labels[entry],
            time_ms,
            sequence,
            sample,
            quality,
            bytes(data[i * stride : (i + 1) * stride]),
            value,
            models[model],
            score,
            ruled,
            sampling.weight(ruled),
            is_acted,
            said,
            (pair.message, at + i),
        )


def _said(verdicts: Verdicts, there: Column) -> list[Said]:
    """What was proposed in these rows of a batch. Assessments lie beside its proposals alone."""
    said = [NOTHING] * len(there)
    proposing = np.flatnonzero(verdicts.action_index[there])
    if not len(proposing):
        return said
    nth = np.cumsum(verdicts.action_index > 0) - 1
    rows = there[proposing]
    for i, action, category, novelty, disagreement in zip(
        proposing.tolist(),
        verdicts.action_index[rows].tolist(),
        verdicts.category[rows].tolist(),
        _signal(verdicts.assessment.novelty, nth, rows),
        _signal(verdicts.assessment.disagreement, nth, rows),
        strict=True,
    ):
        said[i] = Said(verdicts.action[action - 1], category, novelty, disagreement)
    return said


def _signal(signal: Column, nth: Column, rows: Column) -> list[float]:
    """Of the rows' proposals; not known where the batch says something else or nothing of them."""
    if len(signal) != nth[-1] + 1:
        return [NOTHING.novelty] * len(rows)
    known: list[float] = signal[nth[rows]].tolist()
    return known


def _identity(rows: Rows, part: slice) -> tuple[Column, ...]:
    names = np.array(rows.element, object)
    return (
        names[rows.element_index[part]],
        rows.time_ms[part],
        rows.sequence[part],
        rows.sample[part],
    )


def _named(identity: tuple[Column, ...], i: int) -> str:
    return f"({', '.join(str(column[i]) for column in identity)})"
