"""How good each column of scores was, in the measures that people read. Pure.

In full are at most `MAX_FULL` columns, those with recent rows first, and `MAX_SLICES` slices of all
of them together, the largest of each column. The others show rows, loss and accuracy.
"""

from typing import Final

from flyball_proto.progress import Bin, ColumnFigures, Measures, SliceMeasures
from flyball_registry.contract import Contract
from flyball_registry.evidence.board import Score
from flyball_registry.evidence.measures import ROWS, Layout, measures
from flyball_registry.records.scoreboard import Figures, Scoreboard

MAX_FULL: Final = 24
MAX_SLICES: Final = 192
MAX_CONFUSED: Final = 4
"""Of more classes only `whole` shows which is taken for which."""

DIGITS: Final = 6


def columns(board: Scoreboard, contract: Contract) -> tuple[ColumnFigures, ...]:
    """Every column of a scoreboard whose figures are made (`Scoreboard.shown`), by name."""
    full = in_full(board)
    most = MAX_SLICES // max(1, len(full))
    return tuple(
        _column(name, figure, full.get(name), contract, most)
        for name, figure in sorted(board.figures.items())
    )


def outlines(board: Scoreboard, contract: Contract) -> tuple[ColumnFigures, ...]:
    """The columns in full without slices, bins and confusion: what fits an event."""
    full = in_full(board)
    found = columns(board, contract)
    return tuple(_outline(one) for one in found if one.column in full)


def in_full(board: Scoreboard) -> dict[str, Score]:
    """The sums of columns that are shown in full, by name."""
    known = [(name, board.state.board[name]) for name in board.figures if name in board.state.board]
    first = sorted(known, key=lambda one: (not one[1].recent, -one[1].rows, one[0]))
    return dict(first[:MAX_FULL])


def of_slices(score: Score, layout: Layout, most: int = MAX_SLICES) -> tuple[SliceMeasures, ...]:
    """The largest slices, by label and value."""
    largest = sorted(score.slices.items(), key=lambda one: (-one[1][ROWS], one[0]))[:most]
    return tuple(
        SliceMeasures(
            label=key.partition("=")[0],
            value=key.partition("=")[2],
            measures=rounded(measures(sums, layout)),
        )
        for key, sums in sorted(largest)
    )


def rounded(found: Measures) -> Measures:
    """With `DIGITS` digits that count: people read no more, and records stay small."""
    return found.model_copy(
        update={
            **{name: _cut_if_any(getattr(found, name)) for name in _NUMBERS},
            "confusion": tuple(tuple(map(_cut, row)) for row in found.confusion),
            "calibration": tuple(
                Bin(rows=one.rows, said=_cut(one.said), came=_cut(one.came))
                for one in found.calibration
            ),
        }
    )


_NUMBERS: Final = ("loss", "accuracy", "precision", "recall", "calibration_error")


def _column(
    name: str, figure: Figures, score: Score | None, contract: Contract, most: int
) -> ColumnFigures:
    plain = ColumnFigures(column=name, rows=figure.rows, loss=figure.loss, accuracy=figure.accuracy)
    if score is None:
        return plain
    layout = Layout.of(contract.task, contract.classes)
    lean = Layout.of(contract.task, contract.classes, lean=True)
    parts = (score.whole, score.latest, score.since)
    whole, recent, since = (rounded(measures(sums, layout)) for sums in parts)
    if layout.classes > MAX_CONFUSED:
        recent, since = (one.model_copy(update={"confusion": ()}) for one in (recent, since))
    return plain.model_copy(
        update={
            "whole": whole,
            "recent": recent,
            "since_succession": since,
            "slices": of_slices(score, lean, most),
        }
    )


def _outline(found: ColumnFigures) -> ColumnFigures:
    nothing = {"confusion": (), "calibration": ()}
    return found.model_copy(
        update={
            "whole": found.whole.model_copy(update=nothing),
            "recent": found.recent.model_copy(update=nothing),
            "since_succession": found.since_succession.model_copy(update=nothing),
            "slices": (),
        }
    )


def _cut_if_any(number: float | None) -> float | None:
    return None if number is None else _cut(number)


def _cut(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
