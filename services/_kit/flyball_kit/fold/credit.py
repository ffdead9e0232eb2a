"""How much a reader may ask of the broker. Pure.

An overloaded fold must not receive what it cannot yet fold: parsing it takes the time that folding
needs (measured: throughput fell to a third). So a new request goes out only when little is
outstanding and little is queued.
"""


class Credit:
    """Messages that the broker may still send without being asked again."""

    __slots__ = ("_batch", "_max_bytes", "outstanding")

    def __init__(self, batch: int, max_bytes: int) -> None:
        self._batch, self._max_bytes = batch, max_bytes
        self.outstanding = 0

    @property
    def is_low(self) -> bool:
        """Whether less than half a batch is outstanding."""
        return self.outstanding <= self._batch // 2

    def take(self, queued: int, queued_bytes: int) -> int:
        """Messages to ask for now, counted as outstanding; 0 = ask later."""
        if not self.is_low or queued > self._batch or queued_bytes > self._max_bytes:
            return 0
        self.outstanding += self._batch
        return self._batch

    def received(self) -> None:
        """One message arrived."""
        self.outstanding -= 1

    def returned(self, messages: int) -> None:
        """A request ended with `messages` unsent."""
        self.outstanding = max(0, self.outstanding - messages)

    def reset(self) -> None:
        """The consumer is gone, and all requests with it."""
        self.outstanding = 0
