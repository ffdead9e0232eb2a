"""What a runtime holds after many swaps: `python tests/bench/bench_swap_memory.py`. A benchmark, not a test.

Forests of 230 kB, each other than the one before, through the same `Hot` that inference uses, with
S3 and disk left out: what is measured is whether sessions that nobody needs give their memory back.
"""

import asyncio
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.bench_flip import forest
from tests.unit.inference_models import Made

from flyball_inference.bundle import Bundle
from flyball_inference.hot import Hot
from flyball_inference.store import Bundles
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto.columns import F32
from flyball_proto.deployments import Placed

SWAPS, SHOWN = 1000, (1, 50, 100, 200, 500, 1000)
DIFFERENT = 40
ROWS = 4096


class Shelf(Bundles):
    """Bundles at hand."""

    def __init__(self, made: list[Made]) -> None:
        super().__init__(Objects(KitSettings()), None, 1 << 30)
        self._made = {one.digest: one.bundle for one in made}

    async def load(self, pipeline: str, placed: Placed) -> Bundle:
        return self._made[placed.digest]


def resident_mib() -> float:
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line
    ]
    return int(line.split()[1]) / 1024


async def main() -> None:
    made = [forest(i, "bench") for i in range(DIFFERENT)]
    hot = Hot("bench", Shelf(made))
    rows = np.random.default_rng(1).random((ROWS, len(made[0].manifest.features))).astype(F32)
    for swap in range(1, SWAPS + 1):
        pair = [made[(swap + i) % DIFFERENT] for i in (0, 1)]
        for one in pair:
            loaded = await hot.get(one.placed)
            loaded.session.run(rows)
        await hot.only({one.digest for one in pair})
        if swap in SHOWN:
            print(f"after {swap:4} swaps {resident_mib():7.1f} MiB")


if __name__ == "__main__":
    asyncio.run(main())
