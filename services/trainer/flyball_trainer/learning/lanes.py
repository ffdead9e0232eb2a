"""In which order the messages of all partitions are taken, so that speed and borders decide nothing.

In live operation a message is taken as it comes. A lockstep mark holds its partition until every
partition has delivered it; then everything up to it is taken, partition by partition, and the mark
is reached. From the first mark to the `last` one everything waits for the next mark.

While what was stored at the start is still being read, only the newest mark counts: whoever stored
rows behind a mark had waited for it to be settled.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from flyball_proto.columns import Mark, Samples


class Message(Protocol):
    """One message of SAMPLES; `samples` None = a position without content."""

    @property
    def partition(self) -> int:
        """Where it was read."""
        ...

    @property
    def sequence(self) -> int:
        """Its sequence in SAMPLES."""
        ...

    @property
    def samples(self) -> Samples | None:
        """What it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """Every partition stands right behind a mark that is to be settled."""

    mark: Mark


class Lanes:
    """One queue a partition; in lockstep it holds one stretch, else nothing."""

    def __init__(self, partitions: int) -> None:
        self._queues: list[deque[Message]] = [deque() for _ in range(partitions)]
        self._marks: list[deque[Mark]] = [deque() for _ in range(partitions)]
        self._ends: dict[int, int] = {}
        self._behind = set(range(partitions))
        self.in_lockstep = False

    @property
    def caught_up(self) -> bool:
        """Whether everything that was stored at the start has been read."""
        return not self._behind

    def begin(self, partition: int, end: int) -> None:
        """A partition is read from its start; `end` is its last sequence now, 0 = it is empty."""
        self._ends[partition] = end
        if end == 0:
            self._behind.discard(partition)

    def push(self, message: Message) -> Iterator[Message | Reached]:
        """Take a message in; gives what is to be done now, in order. Exhaust it."""
        self._queues[message.partition].append(message)
        if (mark := _mark(message)) is not None:
            self._marks[message.partition].append(mark)
        if message.sequence >= self._ends.get(message.partition, 0):
            self._behind.discard(message.partition)
        yield from self.ready()

    def ready(self) -> Iterator[Message | Reached]:
        """What is to be done now, in order."""
        while common := self._common():
            if not self.caught_up:
                if len(common) > 1:
                    yield from self._up_to(common[-2])
                    self.in_lockstep = not common[-2].last
                break
            yield from self._up_to(common[-1])
            yield Reached(common[-1])
            self.in_lockstep = not common[-1].last  # the last one is settled in lockstep, too
        if not self.in_lockstep:
            for queue in self._queues:
                while queue and _mark(queue[0]) is None:
                    yield queue.popleft()

    def held(self, partition: int) -> int | None:
        """The oldest sequence of a partition that waits here; None = nothing does."""
        queue = self._queues[partition]
        return queue[0].sequence if queue else None

    def _common(self) -> list[Mark]:
        """Marks that every partition has delivered and that were not reached yet, oldest first."""
        if not all(self._marks):
            return []
        ids = [{mark.id for mark in found} for found in self._marks]
        return [mark for mark in self._marks[0] if all(mark.id in found for found in ids)]

    def _up_to(self, mark: Mark) -> Iterator[Message]:
        """Everything up to a mark, partition by partition."""
        self.in_lockstep = True
        for queue, marks in zip(self._queues, self._marks, strict=True):
            while marks.popleft().id != mark.id:
                pass  # older ones, which other partitions do not have any more
            message = queue.popleft()
            while (found := _mark(message)) is None or found.id != mark.id:
                yield message
                message = queue.popleft()
            yield message


def _mark(message: Message) -> Mark | None:
    return message.samples.flow.mark if message.samples is not None else None
