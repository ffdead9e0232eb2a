"""Names that specifications use, and the nearest of them when one is misspelt."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Final

from pydantic import StringConstraints

METRIC_PATTERN: Final = r"[A-Za-z_][A-Za-z0-9_.\-]*"
METRIC_MAX_CHARS: Final = 128

ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9\-]{0,62}$")]
"""A source, pipeline, trainer or boundary: one NATS token, at most 63 characters."""

MetricName = Annotated[
    str, StringConstraints(pattern=f"^{METRIC_PATTERN}$", max_length=METRIC_MAX_CHARS)
]
"""A metric: letters, digits, `_`, `.`, `-`, so that TS 28.552 counters keep their names."""

LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""A label of an element: an identifier, so that boundaries can say `element.labels.site`."""

ActionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_\-]{0,62}$")]
"""What an element is asked to do."""

PATTERNS: Final = {
    f"^{METRIC_PATTERN}$": "a letter or `_`, then letters, digits, `_`, `.` or `-`",
    rf"^(\*|{METRIC_PATTERN})$": 'the name of a metric, or "*" for all',
    r"^[a-z0-9][a-z0-9\-]{0,62}$": "1 to 63 lower-case letters, digits and dashes",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": "a letter or `_`, then letters, digits or `_`, at most 64",
    r"^[a-z][a-z0-9_\-]{0,62}$": "a lower-case letter, then lower-case letters, digits, `_` or `-`",
}
"""The same patterns in words."""


def is_metric(name: str) -> bool:
    """Whether `name` may name a metric."""
    return len(name) <= METRIC_MAX_CHARS and re.fullmatch(METRIC_PATTERN, name) is not None


def nearest(found: str, valid: Iterable[str]) -> list[str]:
    """At most three of the valid names that `found` may have meant, best first."""
    by_folded = {name.casefold(): name for name in valid}
    return [by_folded[name] for name in get_close_matches(found.casefold(), by_folded, n=3)]


def listed(valid: Iterable[str], found: str | None = None) -> str:
    """The valid names for people: at most twelve, and the nearest to what was found."""
    names = list(valid)
    text = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    close = nearest(found, names) if found is not None else []
    return f"{text or 'none'} (nearest: {', '.join(close)})" if close else text or "none"
