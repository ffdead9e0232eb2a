"""What one row costs in the samples fold. A benchmark, not a test: `python tests/bench/bench_samples.py`.

40 features, a horizon of 30 s, a row an element and second; with all elements in the share, with a
sixteenth of 20 000, and with published truth.
"""

import argparse
import sys
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit.sample_rows import ACTIONS, MODELS, sampling

from flyball_ingest.samples import SamplesFold
from flyball_kit.fold import Input
from flyball_proto.columns import (
    F32,
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Arrivals,
    Features,
    Flow,
    Rows,
    Verdicts,
    encode_features,
    encode_verdicts,
)

WIDTH, WARM_S = 40, 45
START_MS = 1_767_225_600_000


def message(second: int, elements: int, digest: str, rows_each: int, *, truth: bool) -> list[Input]:
    """One second of rows, in messages of about so many rows."""
    rng = np.random.default_rng(second)
    made = []
    for start in range(0, elements, rows_each):
        n = min(rows_each, elements - start)
        names = tuple(f"cell-{i}" for i in range(start, start + n))
        first = 1 + second * 2 * elements + 2 * start
        flow = Flow("hub.METRICS", first, first + 2 * n - 1)
        time_ms = np.full(n, START_MS + 1000 * second, I64)
        rows = Rows(
            names,
            np.arange(n, dtype=U32),
            np.arange(first, first + n, dtype=U64),
            np.zeros(n, U16),
            time_ms,
            ("{}",),
            np.zeros(n, U32),
        )
        arrivals = Arrivals(
            names,
            np.arange(n, dtype=U32),
            np.arange(first + n, first + 2 * n, dtype=U64),
            time_ms - 20_000,
            np.zeros(n, F64),
            np.full(n, n, U32),
        )
        features = Features(
            "p",
            digest,
            flow,
            rows,
            rng.random((n, WIDTH)).astype(F32),
            np.zeros(n, U8),
            () if truth else ("load",),
            np.empty((n, 0)) if truth else rng.random((n, 1)),
            arrivals if truth and second >= 20 else Arrivals.none(),
        )
        verdicts = Verdicts(
            "p",
            digest,
            flow,
            rows,
            MODELS,
            np.zeros(n, U8),
            rng.random(n),
            ACTIONS,
            (rng.random(n) < 0.01).astype(U8),
            np.zeros(n, U8),
            np.zeros(n, U8),
            np.zeros(n, U8),
            np.zeros(n, F64),
            (),
            np.zeros(n, U16),
        )
        beside = Input(first, 0, "features", None, encode_features(features))
        made.append(Input(first, 0, "verdicts", None, encode_verdicts(verdicts), (beside,)))
    return made


def measure(
    elements: int, rows_each: int, seconds: int, *, truth: bool = False
) -> tuple[float, float]:
    """Microseconds of processor time a row, windows full, and the share."""
    target = (None, "30s") if truth else ("max(load) > 0.9", "30s")
    compiled = sampling(*target)
    fold = SamplesFold(compiled)
    best = float("inf")
    for second in range(WARM_S + seconds):
        inputs = message(second, elements, compiled.feature_digest, rows_each, truth=truth)
        started = process_time()
        for one in inputs:
            fold.step(one)
            while (output := fold.take()) is not None and output.partial:
                pass
        if second >= WARM_S:
            best = min(best, (process_time() - started) * 1e6 / elements)
    share = fold._sampler.share.share
    return best, share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    seconds = parser.parse_args().seconds
    for what, elements, rows_each, truth in (
        ("2 000 elements, all of them, 500 rows a message", 2_000, 500, False),
        ("2 000 elements, all of them, 20 rows a message", 2_000, 20, False),
        ("20 000 elements, 2 000 rows a message", 20_000, 2_000, False),
        ("2 000 elements, published truth, 500 rows a message", 2_000, 500, True),
    ):
        us, share = measure(elements, rows_each, seconds, truth=truth)
        print(f"{us:6.2f} µs a row   share {share:<7g} {what}")


if __name__ == "__main__":
    main()
