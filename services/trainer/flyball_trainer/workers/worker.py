"""A process that fits models: orders come in on standard input, answers go out where output was.

It has low priority, one thread for the
numbers, and ends as soon as its input closes, also in the middle of a fit: whoever started it is
gone then. What libraries print goes to standard error.
"""

import os
import pickle
import signal
import sys
import threading
from queue import SimpleQueue
from typing import Any, BinaryIO

from flyball_trainer.workers import alone
from flyball_trainer.workers.frames import HEADER, READY, Dataset


def main() -> None:
    """Serve orders until the input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which closes us
    answers = Answers(alone.answers())
    orders: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, orders), daemon=True).start()
    from flyball_trainer.training.fitting import train, warm_up  # noqa: PLC0415 - numpy, see `alone`

    warm_up()
    os.nice(alone.NICENESS)  # only now: a busy machine would take minutes over the imports
    answers.write(READY)
    while True:
        order: Any = pickle.loads(orders.get())  # noqa: S301 - from the process that started us
        found = train(order, lambda parquet, digest: answers.say(Dataset(digest, parquet)))
        answers.say(found)


class Answers:
    """Frames to whoever started us, from any thread."""

    def __init__(self, target: BinaryIO) -> None:
        self._target, self._turn = target, threading.Lock()

    def say(self, answer: object) -> None:
        """Write one object."""
        self.write(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))

    def write(self, frame: bytes) -> None:
        """Write one frame."""
        with self._turn:
            self._target.write(HEADER.pack(len(frame)))
            self._target.write(frame)
            self._target.flush()


def _read(source: BinaryIO, orders: "SimpleQueue[bytes]") -> None:
    while len(header := source.read(HEADER.size)) == HEADER.size:
        orders.put(source.read(HEADER.unpack(header)[0]))
    os._exit(0)


if __name__ == "__main__":
    main()
