"""The sliding window of labelled samples of one pipeline and feature digest, for all its trainers.

Rows lie in one ring of columns. Appending copies the new rows once and nothing else; what was
appended first goes first when the ring is full. Which rows a trainer gets depends on the rows in
the window alone, not on the messages in which they came.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, F64, I64, U16, U32, U64, Column, Samples
from flyball_trainer.rows import TrainingRows

DEFAULT_MAX_BYTES: Final = 256 << 20
FIRST_ROWS: Final = 1024
SPARE_NAMES: Final = 1024
_BOOL: Final = np.dtype(bool)
_COLUMNS: Final[Mapping[str, np.dtype[Any]]] = {
    "element": U32,
    "labels": U32,
    "sequence": U64,
    "sample": U16,
    "time_ms": I64,
    "known_ms": I64,
    "label": F64,
    "weight": F64,
    "usable": _BOOL,
}


class WidthError(PermanentError):
    """Samples have another number of features than the window."""

    kind = "width"


def row_bytes(width: int) -> int:
    """Bytes of one row in the window."""
    return F32.itemsize * width + sum(dtype.itemsize for dtype in _COLUMNS.values())


class Window:
    """The newest samples, at most `capacity` rows and the bytes that `max_bytes` allows.

    Memory grows with the rows; names of elements and label sets are kept once each, at most as many
    as there are rows and `SPARE_NAMES` more.
    """

    def __init__(self, width: int, max_rows: int, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.width = width
        self.capacity = max(1, min(max_rows, max_bytes // row_bytes(width)))
        self._start = self._count = 0
        self._elements, self._labels = _Names(), _Names()
        self._columns = self._empty(min(FIRST_ROWS, self.capacity))

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes of the columns; names are not counted."""
        return sum(column.nbytes for column in self._columns.values())

    def append(self, samples: Samples) -> None:
        """Take in a batch; the oldest rows make room.

        Raises:
            WidthError: the batch has another number of features.
        """
        if samples.feature.shape[1] != self.width:
            raise WidthError(
                f"samples of {samples.pipeline} have {samples.feature.shape[1]} features, the "
                f"window {self.width}; a changed feature digest needs a new window"
            )
        new = self._columns_of(samples)
        count = len(new["sequence"])
        self._make_room(count)
        size = len(self._columns["sequence"])
        places = (self._start + self._count + np.arange(count)) % size
        for name, column in self._columns.items():
            column[places] = new[name]
        self._count += count
        self._prune()

    def forget_before(self, time_ms: int) -> None:
        """Let go of the rows at the old end that are older; one behind a younger row stays."""
        old = self._columns["time_ms"][self._places()] < time_ms
        if not len(old):
            return
        gone = len(old) if old.all() else int(np.argmin(old))
        self._start = (self._start + gone) % len(self._columns["time_ms"])
        self._count -= gone

    def select(self, *, window_ms: int, max_rows: int, now_ms: int) -> TrainingRows:
        """The newest `max_rows` rows known at `now_ms` and at most `window_ms` old, in order.

        Censored rows and labels that are no numbers are left out.
        """
        places, columns = self._places(), self._columns
        time_ms = columns["time_ms"][places]
        wanted = columns["usable"][places] & (columns["known_ms"][places] <= now_ms)
        wanted &= time_ms >= now_ms - window_ms
        places, time_ms = places[wanted], time_ms[wanted]
        if len(places) > max_rows:
            cut = len(places) - max_rows
            newest = time_ms >= np.partition(time_ms, cut)[cut]
            places = places[newest]
        return self._rows(places, max_rows)

    def _rows(self, places: Column, max_rows: int) -> TrainingRows:
        taken = {name: column[places] for name, column in self._columns.items()}
        element, element_index = self._elements.sorted_of(taken["element"])
        by = (taken["sample"], taken["sequence"], element_index, taken["time_ms"])
        order = np.lexsort(by)[-max_rows:] if len(places) else np.empty(0, np.intp)
        if len(order) < len(places):
            return self._rows(places[np.sort(order)], max_rows)
        label_set, label_index = self._labels.sorted_of(taken["labels"])
        return TrainingRows(
            element,
            element_index[order],
            label_set,
            label_index[order],
            taken["sequence"][order],
            taken["sample"][order],
            taken["time_ms"][order],
            taken["known_ms"][order],
            taken["feature"][order],
            taken["label"][order],
            taken["weight"][order],
        )

    def _columns_of(self, samples: Samples) -> Mapping[str, Column]:
        """The batch's columns, at most `capacity` rows: of a larger batch the last ones."""
        rows, last = samples.rows, slice(max(0, len(samples.rows) - self.capacity), None)
        element = self._elements.numbers(rows.element)
        label_set = self._labels.numbers(rows.label_set)
        element_index = rows.element_index[last]
        return {
            "element": element[element_index],
            "labels": label_set[rows.label_index[element_index]],
            "sequence": rows.sequence[last],
            "sample": rows.sample[last],
            "time_ms": rows.time_ms[last],
            "known_ms": samples.known_ms[last],
            "label": samples.label[last],
            "weight": samples.weight[last],
            "usable": (samples.censored[last] == 0) & np.isfinite(samples.label[last]),
            "feature": samples.feature[last],
        }

    def _make_room(self, count: int) -> None:
        size, needed = len(self._columns["sequence"]), self._count + count
        if needed > size and size < self.capacity:
            places = self._places()
            grown = self._empty(min(self.capacity, max(needed, 2 * size)))
            for name, column in grown.items():
                column[: self._count] = self._columns[name][places]
            self._columns, self._start, size = grown, 0, len(grown["sequence"])
        if (gone := needed - size) > 0:
            self._start, self._count = (self._start + gone) % size, self._count - gone

    def _prune(self) -> None:
        """Forget names that no row uses any more, now and then."""
        for names, column in ((self._elements, "element"), (self._labels, "labels")):
            if len(names) > self._count + SPARE_NAMES:
                places = self._places()
                self._columns[column][places] = names.keep(self._columns[column][places])

    def _places(self) -> Column:
        """Where the rows lie, oldest first."""
        return (self._start + np.arange(self._count)) % len(self._columns["sequence"])

    def _empty(self, size: int) -> dict[str, Column]:
        columns: dict[str, Column] = {name: np.empty(size, d) for name, d in _COLUMNS.items()}
        columns["feature"] = np.empty((size, self.width), F32)
        return columns


class _Names:
    """Strings and their numbers."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._number)

    def numbers(self, names: Iterable[str]) -> Column:
        """The number of each; unknown ones get the next."""
        known = self._number
        return np.array([known.setdefault(name, len(known)) for name in names], U32)

    def keep(self, used: Column) -> Column:
        """Forget all names but those used; returns the new numbers in place of the old ones."""
        names = list(self._number)
        old, new = np.unique(used, return_inverse=True)
        self._number = {names[number]: i for i, number in enumerate(old.tolist())}
        return new.astype(U32)

    def sorted_of(self, used: Column) -> tuple[tuple[str, ...], Column]:
        """The distinct names used, sorted, and each one's index among them, u32."""
        numbers, index = np.unique(used, return_inverse=True)
        wanted = set(numbers.tolist())
        names = {i: name for i, name in enumerate(self._number) if i in wanted}
        order = sorted(names, key=names.__getitem__)
        rank = np.empty(len(numbers), U32)
        rank[np.searchsorted(numbers, np.array(order, U32))] = np.arange(len(order), dtype=U32)
        return tuple(names[i] for i in order), rank[index]
