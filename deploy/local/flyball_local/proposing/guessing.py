"""What each column of a CSV file looks like, for somebody who has not said what to predict. Pure."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from flyball_local.csvfile.csvprofile import Column, Profile
from flyball_local.showing.listing import table

MAX_SHOWN: Final = 60
_TARGET_NAMES: Final = ("target", "label", "class", "y", "anomaly", "fault", "outcome")


def column_lines(found: Profile) -> Iterator[str]:
    """A table of the columns with a guess of what each is."""
    rows = []
    if found.time:
        rows.append((found.time, f"event time ({found.time_format})"))
    if found.element is not None:
        rows.append((found.element, f"element: {len(found.elements)} of them"))
    rows += [(c.name, guess(c)) for c in found.columns.values()][: MAX_SHOWN - len(rows)]
    yield from table(("column", "looks like"), rows).splitlines()
    if (more := len(found.columns) - len(rows) + 2) > 0 and len(rows) == MAX_SHOWN:
        yield f"and {more} more"
    if not found.time:
        yield "no column holds times: the row number would stand for it"
    if found.element is None:
        yield "no column names an element: all rows would be of one"


def guess(column: Column) -> str:
    """One column in words."""
    if not column.distinct:
        return "empty"
    if len(column.distinct) == 1:
        return f"{column.distinct[0][:40]} everywhere"
    if column.is_numeric:
        values = column.numbers
        missing = f", {column.missing} missing" if column.missing else ""
        if not column.many and set(np.unique(values).tolist()) == {0.0, 1.0}:
            return f"0 and 1 ({values.mean():.1%} ones){missing}: a label or a flag"
        return f"number, {values.min():.6g} to {values.max():.6g}{missing}"
    if column.many:
        return "text, many values: a name, an id or a remark"
    some = ", ".join(text[:20] for text in column.distinct[:4])
    return f"text, {len(column.distinct)} values ({some})"


def likely_target(found: Profile) -> str | None:
    """The column that is most likely to be predicted; None when none varies."""
    usable = [
        c for c in found.columns.values() if len(c.distinct) > 1 and (c.is_numeric or not c.many)
    ]
    named = [c for n in _TARGET_NAMES for c in usable if c.name.casefold() == n]
    numbers = [c for c in usable if c.is_numeric and c.many]
    best = next(iter([*named, *numbers, *usable]), None)
    return best.name if best else None


def command(csv: Path, target: str) -> str:
    """What to type to play the file with a target."""
    return f"flyball replay --csv {shlex.quote(str(csv))} --target {shlex.quote(target)}"
