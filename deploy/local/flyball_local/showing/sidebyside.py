"""What `flyball models compare` prints: two models on the same rows, and what may be said of them. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from flyball_local.invalid import InvalidInputError
from flyball_local.showing.listing import figure, short
from flyball_proto.commands import ModelComparison
from flyball_proto.events import ModelRecord
from flyball_proto.progress import Measures

MAX_SLICES: Final = 32
"""That are printed, the largest ones; `--json` has all."""

_MEASURES: Final[tuple[tuple[str, Callable[[Measures], float | None]], ...]] = (
    ("loss", lambda found: found.loss),
    ("accuracy", lambda found: found.accuracy),
    ("precision", lambda found: found.precision),
    ("recall", lambda found: found.recall),
    ("calibration error", lambda found: found.calibration_error),
)


def two_models(one: ModelRecord, other: ModelRecord) -> None:
    """Check that they can be put side by side.

    Raises:
        InvalidInputError: They are the same, or of two pipelines.
    """
    if one.pipeline != other.pipeline:
        raise InvalidInputError(
            f"model {short(one.digest)} is of {one.pipeline}, model {short(other.digest)} of "
            f"{other.pipeline}; give two of one pipeline"
        )
    if one.digest == other.digest:
        raise InvalidInputError(f"model {short(one.digest)} was given twice; give two models")


def heading(found: ModelComparison, pipeline: str) -> str:
    """On what they were compared."""
    return (
        f"{pipeline}, {found.metric}: {found.rows:,} labelled rows that neither was fitted to, in "
        f"{found.blocks} blocks, {_at(found.first_ms)} to {_at(found.last_ms)} UTC"
    )


def measure_rows(
    found: ModelComparison, one: ModelRecord, other: ModelRecord
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The heading of the table, and a row for each measure that the task has."""
    rows = [
        (name, figure(read(found.measures), ".4f"), figure(read(found.other_measures), ".4f"))
        for name, read in _MEASURES
        if read(found.measures) is not None or read(found.other_measures) is not None
    ]
    trainers = ("trainer", one.trainer, other.trainer)
    return ("", short(one.digest), short(other.digest)), [trainers, *rows]


def slice_rows(found: ModelComparison) -> list[tuple[str, ...]]:
    """Label and value, rows, and both losses; the largest slices."""
    losses = {(s.label, s.value): s.measures.loss for s in found.other_slices}
    largest = sorted(found.slices, key=lambda s: (-s.measures.rows, s.label, s.value))
    return [
        (
            f"{s.label}={s.value}",
            f"{s.measures.rows:,}",
            figure(s.measures.loss, ".4f"),
            figure(losses.get((s.label, s.value)), ".4f"),
        )
        for s in largest[:MAX_SLICES]
    ]


def conclusion(found: ModelComparison) -> str:
    """Which one has the smaller loss, and whether that may be chance."""
    low, high = (-found.high, -found.low) if found.high < 0 else (found.low, found.high)
    ends = f"{low:.4g} to {high:.4g} with 95 % confidence"
    if found.low > 0 or found.high < 0:
        better, by = (
            (found.digest, found.better_by) if found.low > 0 else (found.other, -found.better_by)
        )
        return f"{short(better)} is better: a loss {by:.4g} smaller, {ends}"
    return (
        f"neither is shown to be better: the loss of {short(found.other)} less that of "
        f"{short(found.digest)} is {found.better_by:+.4g}, {ends}"
    )


def _at(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
