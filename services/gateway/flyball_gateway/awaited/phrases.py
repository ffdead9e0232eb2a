"""Numbers and times as a person says them, in plain ASCII. Pure."""

from collections.abc import Sequence
from typing import Final

_UNITS: Final = ((86_400_000, 48 * 3_600_000, "day"), (3_600_000, 90 * 60_000, "h"))
"""Length, from how much on it is used, and its name; below them minutes and seconds."""


def thousands(number: int) -> str:
    """`12 345`."""
    return f"{number:,}".replace(",", " ")


def span(ms: int) -> str:
    """A length of time, rounded: `5 min`, `24 h`, `2 days`."""
    for size, least, name in _UNITS:
        if ms >= least:
            count = round(ms / size)
            return f"{thousands(count)} {name}{'s' if name == 'day' else ''}"
    if ms >= 90_000:
        return f"{round(ms / 60_000)} min"
    return f"{round(ms / 1000)} s" if ms >= 1000 or ms == 0 else f"{ms} ms"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
