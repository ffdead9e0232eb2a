"""A process that trains one stored model again: what there is of it comes in, what came of it goes out.

`python -m flyball_trainer.reproducing.process`, one pickle each way. It has low priority and one
thread for the numbers, as a worker has, and ends with its answer. What libraries print goes to
standard error.
"""

import os
import pickle
import sys
from typing import Any

from flyball_trainer.workers import alone


def main() -> None:
    """Answer with a `Reproduction`, or with the kind and the words of why there is none."""
    answer = alone.answers()
    os.nice(alone.NICENESS)
    from flyball_kit.errors import PermanentError  # noqa: PLC0415 - heavy
    from flyball_trainer.training.again import again  # noqa: PLC0415 - numpy, see `alone`

    stored: Any = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started us
    try:
        found: object = again(stored)
    except PermanentError as error:
        found = (error.kind, str(error))
    with answer:
        pickle.dump(found, answer, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
