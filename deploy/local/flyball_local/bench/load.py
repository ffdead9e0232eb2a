"""What the bench tells its generator, which is a process of its own."""

from typing import Final

import msgspec

SOURCE: Final = "bench"
"""Name of the source and of its pipeline."""


class Load(msgspec.Struct, frozen=True):
    """What to send: `rate` rows a second (0 = as fast as it goes) for `seconds`."""

    url: str
    seed_file: str
    mode: str
    rate: float
    seconds: float
    run: str
    first_round: int = 0
    elements: int = 1000
    samples: int = 1
