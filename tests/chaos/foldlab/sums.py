"""The fold under test: a rolling sum of the last 64 values, one output row for every input row.

A row is (index, value), in as well as out, so that folds can be chained. What must come out is
recomputed by `rolling` in three lines.
"""

import struct
from collections import deque
from collections.abc import Iterable, Sequence

from flyball_kit.fold import Input, Output

ROW = struct.Struct("<QQ")
WINDOW = 64
CAP_ROWS = 2000
MARK_HEADER = "Test-Mark"
Row = tuple[int, int]


def value_of(index: int) -> int:
    return index * 2654435761 % 1000003


def source_rows(count: int, start: int = 0) -> list[Row]:
    return [(index, value_of(index)) for index in range(start, start + count)]


def rolling(rows: Sequence[Row]) -> list[Row]:
    values = [value for _, value in rows]
    return [
        (index, sum(values[max(0, at - WINDOW + 1) : at + 1])) for at, (index, _) in enumerate(rows)
    ]


def pack(rows: Iterable[Row]) -> bytes:
    return b"".join(ROW.pack(*row) for row in rows)


def unpack(data: bytes) -> list[Row]:
    return list(ROW.iter_unpack(data))


class RollingSum:
    """State: the last 64 (sequence, value)."""

    def __init__(self) -> None:
        self.window: deque[tuple[int, int]] = deque()
        self.total = 0
        self.out: list[bytes] = []
        self.mark: str | None = None

    def step(self, message: Input) -> bool:
        for index, value in ROW.iter_unpack(message.data):
            self.window.append((message.sequence, value))
            self.total += value
            if len(self.window) > WINDOW:
                self.total -= self.window.popleft()[1]
            self.out.append(ROW.pack(index, self.total))
        self.mark = (message.headers or {}).get(MARK_HEADER)
        return self.mark is not None or len(self.out) >= CAP_ROWS

    def tick(self, now_ms: int) -> None:
        raise AssertionError("no ticks were asked for")

    def take(self) -> Output | None:
        if not self.out and self.mark is None:
            return None
        output = Output(b"".join(self.out), rows=len(self.out), mark=self.mark)
        self.out, self.mark = [], None
        return output

    def since(self) -> int | None:
        return self.window[0][0] if self.window else None

    def dump(self) -> bytes:
        return pack(self.window)

    def load(self, data: bytes) -> None:
        self.window = deque(unpack(data))
        self.total = sum(value for _, value in self.window)
