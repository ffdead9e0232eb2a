"""Numbers, times and names as people read them. Pure."""

from datetime import UTC, datetime
from html import escape
from typing import Final

DASH: Final = "\u2013"
"""Stands for what is not known."""
THIN: Final = "\u202f"
"""Narrow no-break space, between thousands."""
UNIT: Final = "\u00a0"
"""No-break space, between a number and its unit."""
_STEPS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def count(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}".replace(",", THIN)


def rate(per_s: float | None, of: str = "rows") -> str:
    """`1 240 rows/s`; a dash while it is unknown."""
    if per_s is None:
        return DASH
    number = count(per_s) if per_s >= 10 or per_s == 0 else f"{per_s:.1f}"
    return f"{number}{UNIT}{of}/s"


def milliseconds(value: float | None) -> str:
    """`3.1 ms`."""
    if value is None:
        return DASH
    return f"{value:.1f}{UNIT}ms" if value < 100 else f"{count(value)}{UNIT}ms"


def duration(ms: float) -> str:
    """`2 h 5 min`, at most two units; less than a second is `0 s`."""
    words: list[str] = []
    left = int(max(0, ms))
    for step, unit in _STEPS:
        if left >= step and len(words) < 2:
            words.append(f"{left // step}{UNIT}{unit}")
            left %= step
        elif words:
            break
    return " ".join(words) or f"0{UNIT}s"


def size(size_bytes: int) -> str:
    """`2.1 MiB`."""
    for step, unit in _SIZES:
        if size_bytes >= step:
            return f"{size_bytes / step:.1f}{UNIT}{unit}"
    return f"{size_bytes}{UNIT}B"


def clock(at: datetime, now: datetime | None = None) -> str:
    """The time of day in UTC; with its date when that is not today."""
    at = at.astimezone(UTC)
    if now is not None and at.date() != now.astimezone(UTC).date():
        return f"{at:%d %b %H:%M}"
    return f"{at:%H:%M:%S}"


def figure(value: float | None, digits: int = 4) -> str:
    """A loss or a score."""
    return DASH if value is None else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """A share of one as `91.3 %`."""
    return DASH if share is None else f"{100 * share:.1f}{UNIT}%"


def digest(value: str) -> str:
    """The beginning of a digest, the whole of it on hovering."""
    return f'<code title="{escape(value)}">{escape(value[:8])}</code>'


def plural(number: int, one: str, many: str = "") -> str:
    """`1 block`, `2 blocks`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
