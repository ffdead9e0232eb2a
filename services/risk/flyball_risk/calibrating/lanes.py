"""In which order messages of all partitions are taken: as they come, or in lockstep by marks. Pure.

From the first mark to the `last` one a partition waits behind its mark until every partition has
delivered it; then all up to it is taken, partition by partition, so that speed decides nothing.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from flyball_proto.columns import Mark, Samples


class Message(Protocol):
    """One message of SAMPLES; `samples` None = a position without content."""

    @property
    def partition(self) -> int:
        """Where it was read."""
        ...

    @property
    def samples(self) -> Samples | None:
        """What it holds."""
        ...


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Reached:
    """Everything up to a mark was taken."""

    mark: Mark


class Lanes(Generic[M]):
    """One queue a partition; in lockstep it holds one stretch, else nothing."""

    def __init__(self, partitions: int) -> None:
        self._queues: list[deque[M]] = [deque() for _ in range(partitions)]
        self._marks: list[deque[Mark]] = [deque() for _ in range(partitions)]
        self.in_lockstep = False

    def push(self, message: M) -> Iterator[M | Reached]:
        """Take a message in; gives what is to be done now, in order. Exhaust it."""
        self._queues[message.partition].append(message)
        if (mark := mark_of(message)) is not None:
            self._marks[message.partition].append(mark)
        while (common := self._common()) is not None:
            yield from self._up_to(common)
            yield Reached(common)
            self.in_lockstep = not common.last
        if not self.in_lockstep:
            for queue in self._queues:
                while queue and mark_of(queue[0]) is None:
                    yield queue.popleft()

    def _common(self) -> Mark | None:
        """The oldest mark that every partition has delivered."""
        if not all(self._marks):
            return None
        ids = [{mark.id for mark in marks} for marks in self._marks]
        return next((m for m in self._marks[0] if all(m.id in found for found in ids)), None)

    def _up_to(self, common: Mark) -> Iterator[M]:
        self.in_lockstep = True
        for queue, marks in zip(self._queues, self._marks, strict=True):
            while marks.popleft().id != common.id:
                pass  # older ones, which other partitions do not have any more
            while queue:
                message = queue.popleft()
                yield message
                if (mark := mark_of(message)) is not None and mark.id == common.id:
                    break


def mark_of(message: Message) -> Mark | None:
    """The mark that a message ends with."""
    return message.samples.flow.mark if message.samples is not None else None
