"""When the truth about a row is published: behind a number of later rows of its element. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from flyball_local.csvfile.csvrows import CsvRow


class Label(NamedTuple):
    """Truth about a row of an element, as it is published."""

    element: str
    data: bytes


class LabelDelay:
    """Holds the truth about the newest `delay_rows` rows of each element back.

    0 = each right behind its own row. It is counted in rows and not in time, so that a replay does
    not depend on its speed.
    """

    def __init__(self, delay_rows: int) -> None:
        if delay_rows < 0:
            raise ValueError(f"label delay: found {delay_rows} rows; valid: 0 or more")
        self._delay, self._count = delay_rows, 0
        self._open: dict[str, deque[tuple[int, bytes | None]]] = {}

    def behind(self, row: CsvRow) -> Label | None:
        """What is published right behind this row, and before any other."""
        self._count += 1
        if not self._delay:
            return Label(row.element, row.label) if row.label is not None else None
        waiting = self._open.setdefault(row.element, deque())
        waiting.append((self._count, row.label))
        if len(waiting) <= self._delay:
            return None
        _, data = waiting.popleft()
        return Label(row.element, data) if data is not None else None

    def rest(self) -> Iterator[Label]:
        """What is still held back behind the last row of all, in order of the rows."""
        left = [
            (number, element, data)
            for element, waiting in self._open.items()
            for number, data in waiting
            if data is not None
        ]
        self._open = {}
        yield from (Label(element, data) for _, element, data in sorted(left))
