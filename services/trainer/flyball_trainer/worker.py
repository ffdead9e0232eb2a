"""A process that fits models: orders come in on standard input, outcomes go out where output was.

Frames are eight bytes of length, big-endian, and a pickle. It has low priority, one thread for the
numbers, and ends as soon as its input closes, also in the middle of a fit: whoever started it is
gone then. What libraries print goes to standard error.
"""

import os
import pickle
import signal
import struct
import sys
import threading
from queue import SimpleQueue
from typing import Any, BinaryIO, Final

NICENESS: Final = 10
HEADER: Final = struct.Struct(">Q")
READY: Final = b""
"""The first frame: everything is imported."""
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Serve orders until the input closes."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which closes us
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # noqa: TID251 - read when numpy loads
    outcomes = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    orders: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, orders), daemon=True).start()
    from flyball_trainer.fitting import train, warm_up  # noqa: PLC0415 - see _ONE_THREAD

    warm_up()
    _write(outcomes, READY)
    while True:
        order: Any = pickle.loads(orders.get())  # noqa: S301 - from the process that started us
        _write(outcomes, pickle.dumps(train(order), pickle.HIGHEST_PROTOCOL))


def _read(source: BinaryIO, orders: "SimpleQueue[bytes]") -> None:
    while len(header := source.read(HEADER.size)) == HEADER.size:
        orders.put(source.read(HEADER.unpack(header)[0]))
    os._exit(0)


def _write(target: BinaryIO, frame: bytes) -> None:
    target.write(HEADER.pack(len(frame)))
    target.write(frame)
    target.flush()


if __name__ == "__main__":
    main()
