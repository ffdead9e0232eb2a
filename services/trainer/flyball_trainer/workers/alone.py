"""How a process behaves that fits models beside the service: one thread, low priority, quiet output."""

import os
import sys
from typing import BinaryIO, Final

NICENESS: Final = 10
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def answers() -> BinaryIO:
    """Where answers go; what libraries print goes to standard error from now on.

    Call it before numpy loads, which then uses one thread.
    """
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # noqa: TID251 - read when numpy loads
    found = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return found
