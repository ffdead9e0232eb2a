"""Durations as people write them, `30s`, `15min`, `6h`, `3d`, and as code reads them: milliseconds."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h|d)")
MAX_DURATION_MS: Final = 3_660 * _UNITS_MS["d"]
VALID: Final = "a number with a unit: 500ms, 30s, 15min, 6h, 3d; at most ten years"


def parse_duration_ms(text: object) -> int:
    """`text` in milliseconds; the number 0 needs no unit.

    Raises:
        ValueError: It is no duration, is finer than a millisecond or longer than ten years.
    """
    if text == 0 and type(text) in (int, float):
        return 0
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(VALID)
    number, unit = match.groups()
    ms = float(number) * _UNITS_MS[unit]
    if ms != round(ms) or ms > MAX_DURATION_MS:
        raise ValueError(VALID)
    return round(ms)


def format_duration(ms: int) -> str:
    """The shortest whole form: `90s`, not `1.5min`; `parse_duration_ms` reads it back."""
    for unit, size in _UNITS_MS.items():
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return "0s"


def _validated(text: object) -> int:
    try:
        return parse_duration_ms(text)
    except ValueError as error:
        raise PydanticCustomError("spec", "{valid}", {"valid": str(error)}) from error


DurationMs = Annotated[
    int,
    BeforeValidator(_validated),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s"]}),
]
"""Written as `30s`, held as milliseconds, 0 allowed."""

PositiveMs = Annotated[DurationMs, Field(gt=0)]
"""As `DurationMs`, and longer than nothing."""
