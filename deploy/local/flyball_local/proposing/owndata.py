"""A file and nothing else: proposes a specification for a replay, or says what could be predicted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyball_local.csvfile.csvprofile import profile
from flyball_local.invalid import InvalidInputError
from flyball_local.proposing.guessing import column_lines, command, likely_target
from flyball_local.proposing.newspec import Proposed, free_path, propose, write

SHOWN_CHECKS: Final = 8

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person said of a file. None: to be found."""

    target: str | None = None
    horizon: str | None = None
    time: str | None = None
    element: str | None = None
    name: str | None = None
    out: Path | None = None


def overview(csv: Path, wishes: Wishes) -> tuple[list[str], str | None]:
    """What the columns of a file look like, and the one that is most likely to be predicted.

    Raises:
        CsvError: The file cannot be read.
    """
    found = profile(csv, time=wishes.time, element=wishes.element)
    more = "" if found.complete else " or more"
    head = f"{csv}: {found.rows} rows{more}, {len(found.columns)} columns beside time and element"
    return [head, "", *column_lines(found)], likely_target(found)


def ask_for_target(csv: Path, likely: str | None) -> InvalidInputError:
    """The error of a replay that was told neither a specification nor what to predict."""
    step = command(csv, likely or "COLUMN")
    return InvalidInputError(
        "found neither --spec nor --target; valid: a specification, or the column to predict; "
        f"for example:\n  {step}\nor write a specification to change first: "
        f"flyball new spec --csv {csv} --target {likely or 'COLUMN'} --out my.yaml"
    )


def proposed(csv: Path, target: str, wishes: Wishes) -> Proposed:
    """A specification for a file and a target.

    Raises:
        CsvError: The file does not say enough.
    """
    return propose(
        csv,
        target,
        time=wishes.time,
        element=wishes.element,
        horizon=wishes.horizon,
        name=wishes.name,
    )


def written(csv: Path, target: str, wishes: Wishes, say: Say) -> Path:
    """Propose, say the lines that matter, write the specification; where it is.

    In the current folder, under the pipeline's name, unless `wishes.out` says otherwise.

    Raises:
        CsvError: The file does not say enough.
        InvalidInputError: There is no place to write, or something else stands there.
    """
    found = proposed(csv, target, wishes)
    path = wishes.out or free_path(found, Path())
    write(found, path)
    say(f"{csv.name}: {found.summary}")
    for line in found.checks[:SHOWN_CHECKS]:
        say(f"  {line}")
    if (more := len(found.checks) - SHOWN_CHECKS) > 0:
        say(f"  and {more} more to check, on top of the specification")
    say(f"wrote {path}; playing it now")
    return path
