"""What speaks for and against what is proposed; rows that propose nothing cost nothing. Pure."""

from typing import Final

import numpy as np

from flyball_inference.propose import Proposed
from flyball_inference.scoring import score
from flyball_inference.seat import Seat, Voice
from flyball_proto.columns import F32, Column, Doubts
from flyball_proto.novelty import p_values

MAX_SHOWN: Final = 512
"""Proposals of one output whose features go along; of an output with more none do."""

MAX_SHOWN_BYTES: Final = 256 << 10
"""Of these features; more than 128 a row make it fewer proposals."""


def doubts(seat: Seat, features: Column, index: Column, said: Proposed) -> Doubts:
    """Of features f32 (n, width), each row answered by `index` (0 = active, 1 = canary).

    Novelty is by the statistics of the model that answered, disagreement the distance of its score
    from the fallback's, of several classes for the class that the score is about.
    """
    proposing = np.flatnonzero(said.action_index)
    if not len(proposing):
        return Doubts()
    asked, by = features[proposing], index[proposing]
    shows = len(asked) <= max_shown(asked.shape[1])
    return Doubts(
        _novelty(seat, asked, by),
        _disagreement(seat, asked, by, _of(said, proposing)),
        asked if shows else np.empty((len(asked), 0), F32),
    )


def max_shown(width: int) -> int:
    """Up to how many proposals of an output show their features."""
    return min(MAX_SHOWN, MAX_SHOWN_BYTES // (F32.itemsize * max(1, width)))


def shown_bytes(rows: int, width: int) -> int:
    """What the features of the proposals among so many rows add to an output, at most."""
    return min(rows, max_shown(width)) * F32.itemsize * width


def _novelty(seat: Seat, asked: Column, by: Column) -> Column:
    found = np.full(len(asked), np.nan, F32)
    for place, voice in enumerate(_voices(seat)):
        if voice.novelty is not None and (mine := by == place).any():
            found[mine] = p_values(voice.novelty, asked[mine])
    return found


def _disagreement(seat: Seat, asked: Column, by: Column, said: Proposed) -> Column:
    fallback = seat.fallback
    if fallback is None:
        return np.full(len(asked), np.nan, F32)
    scores = score(fallback.run, asked).scores
    if scores.ndim > 1:
        scores = scores[np.arange(len(asked)), said.class_index]
    apart: Column = np.minimum(np.abs(said.score - scores), np.finfo(F32).max).astype(F32)
    for place, voice in enumerate(_voices(seat)):
        if voice.model.digest == fallback.model.digest:
            apart[by == place] = np.nan
    return apart


def _voices(seat: Seat) -> tuple[Voice, ...]:
    return (seat.active,) if seat.canary is None else (seat.active, seat.canary)


def _of(said: Proposed, rows: Column) -> Proposed:
    classes = said.class_index[rows] if len(said.class_index) else said.class_index
    return Proposed(said.score[rows], said.action_index[rows], classes)
