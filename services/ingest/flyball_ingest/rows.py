"""One accepted sample of one element."""

from typing import NamedTuple

Values = tuple[float, ...]


class Row(NamedTuple):
    """A sample that passed validation. A tuple, because one is made for every row."""

    time_ms: int
    sequence: int
    """Of the METRICS message that carried it."""
    sample: int
    """Its place in the report."""
    quality: int
    values: Values
    """In the order of the contract's columns; NaN = not measured."""
