"""How what is known of many elements is written: a list a field, each name once, numbers as distances. Pure.

A list an element takes ten times as long to write, and twice the room: neighbours in the list of
one field are alike.
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate, chain
from operator import sub
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Once(Generic[T]):
    """Each value once, in the order in which it was first put."""

    def __init__(self) -> None:
        self._places: dict[T, int] = {}

    def put(self, values: Iterable[T]) -> list[int]:
        """Where the values are, as `taken` wants it."""
        places = self._places
        return apart([places.setdefault(value, len(places)) for value in values])

    def as_json(self) -> list[T]:
        """What `taken` looks them up in."""
        return list(self._places)


Names = Once[str]


def taken(values: Sequence[T], places: Iterable[int]) -> list[T]:
    """The values that `Once.put` was given."""
    return [values[place] for place in accumulate(places)]


def apart(numbers: Sequence[int]) -> list[int]:
    """The first number, then of each how far it is from the one before; `accumulate` undoes it."""
    return list(map(sub, numbers, chain((0,), numbers)))
