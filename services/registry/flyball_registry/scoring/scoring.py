"""Scores of labelled rows under every model that could have decided them. Pure but for the models.

active      the decision really taken; of a row that the canary decided, what the active model of
            its epoch says
anchor      the seat's anchor
<trainer>   the trainer's newest model that was admitted before the row

Decisions carry one number, so with several classes every column is computed here, by the model that
decided (a row of the canary: by the active model of its epoch).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from flyball_proto.columns import F64, Column
from flyball_registry.evidence.design import ACTIVE, ANCHOR, Scored
from flyball_registry.scoring.rows import Sampled, slices
from flyball_registry.scoring.timelines import Answer, Timelines

Score = Callable[[str, Column], Column]
"""Scores f64 (n,), or (n, k) of k classes, of a model, named by its digest, for features (n, width)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which model is asked about which rows, for each column of scores."""

    columns: Mapping[str, tuple[Answer, ...]]

    @property
    def digests(self) -> tuple[str, ...]:
        """Every model that is needed, in order of name."""
        return tuple(sorted({a.digest for answers in self.columns.values() for a in answers}))


def plan(
    rows: Sampled,
    timelines: Timelines,
    anchor: str,
    active_of: Mapping[int, str],
    classes: int = 0,
) -> Plan:
    """Who says what. Rows whose decision is the wanted score are taken as decided, in `scored`.

    `active_of` gives the digest of the active model of an epoch; a canary's row of an epoch that
    is not there has no active score. With `classes` no row is taken as decided.
    """
    columns = {ACTIVE: tuple(_active(rows, active_of, decided_too=classes > 0))}
    if anchor:
        columns[ANCHOR] = (Answer(anchor, np.arange(len(rows))),)
    for trainer in timelines.trainers:
        columns[trainer] = tuple(timelines.answers(trainer, rows.partition, rows.sequence))
    if classes:
        return Plan(columns)
    decided = _digests(rows)
    return Plan({name: _undecided(answers, decided) for name, answers in columns.items()})


def scored(
    rows: Sampled,
    planned: Plan,
    timelines: Timelines,
    anchor: str,
    labels: tuple[str, ...],
    score: Score,
    classes: int = 0,
) -> Scored:
    """Rows with all columns of scores; `rows` are in order, `labels` the declared slices."""
    if classes:
        columns = {name: np.full((len(rows), classes), np.nan, F64) for name in planned.columns}
    else:
        columns = _as_decided(rows, timelines, anchor)
    asked: dict[tuple[str, bytes], Column] = {}
    for name, answers in planned.columns.items():
        for answer in answers:
            key = answer.digest, answer.rows.tobytes()
            if key not in asked:
                said = score(answer.digest, rows.feature[answer.rows])
                asked[key] = by_class(said, classes) if classes else said
            columns[name][answer.rows] = asked[key]
    _, element = np.unique(rows.element.astype(str), return_inverse=True)
    return Scored(
        time_ms=rows.time_ms.astype(np.int64),
        known_ms=rows.known_ms.astype(np.int64),
        element=element.astype(np.uint32),
        weight=rows.weight.astype(np.float64),
        censored=rows.censored,
        label=rows.label.astype(np.float64),
        score=columns,
        slices=slices(rows, labels),
    )


def by_class(said: Column, classes: int) -> Column:
    """Scores (n, classes): one number a row (a failure) holds for all, another width for none."""
    if said.ndim == 1:
        return np.repeat(said[:, None], classes, axis=1)
    return said if said.shape[1] == classes else np.full((len(said), classes), np.nan, F64)


def _as_decided(rows: Sampled, timelines: Timelines, anchor: str) -> dict[str, Column]:
    """All columns, with scores where the decision is the wanted one."""
    decided, own = _digests(rows), _own(rows)
    columns: dict[str, Column] = {ACTIVE: np.where(_by_active(rows), own, np.nan)}
    if anchor:
        columns[ANCHOR] = np.where(decided == anchor, own, np.nan)
    for trainer in timelines.trainers:
        columns[trainer] = np.full(len(rows), np.nan, F64)
        for answer in timelines.answers(trainer, rows.partition, rows.sequence):
            same = answer.rows[decided[answer.rows] == answer.digest]
            columns[trainer][same] = own[same]
    return columns


def _active(rows: Sampled, active_of: Mapping[int, str], *, decided_too: bool) -> Iterator[Answer]:
    """Rows that the canary decided, by the model that was active beside it; perhaps all others too."""
    wanted: dict[str, list[int]] = {}
    by_active = _by_active(rows)
    for position in np.flatnonzero(~by_active | decided_too):
        decided = rows.model[position]
        digest = decided.digest if by_active[position] else active_of.get(decided.epoch, "")
        if digest:
            wanted.setdefault(digest, []).append(int(position))
    for digest, positions in sorted(wanted.items()):
        yield Answer(digest, np.array(positions, np.int64))


def _undecided(answers: tuple[Answer, ...], decided: Column) -> tuple[Answer, ...]:
    """Without rows that the model itself decided: their score stands there."""
    left = (Answer(a.digest, a.rows[decided[a.rows] != a.digest]) for a in answers)
    return tuple(answer for answer in left if len(answer.rows))


def _own(rows: Sampled) -> Column:
    """Scores as decided; infinity where there was no number."""
    return np.where(np.isfinite(rows.score), rows.score, np.inf)


def _by_active(rows: Sampled) -> Column:
    return np.array([model.stage != "canary" for model in rows.model], bool)


def _digests(rows: Sampled) -> Column:
    return np.array([model.digest for model in rows.model], object)
