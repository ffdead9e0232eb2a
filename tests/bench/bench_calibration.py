"""What calibrating costs, with every buffer full: `.venv/bin/python -m tests.bench.bench_calibration`."""

import time
from collections.abc import Callable

import numpy as np
from tests.evidence.clearing import AT, OFFSETS, learning, rows

from flyball_risk.calibrating.keeping import dump, load
from flyball_risk.calibrating.labelled import Names, proposed
from flyball_risk.calibrating.learning import MAX_DRAWN, MAX_OTHERS
from flyball_risk.scoring.probability import assess

ROUNDS = 20


def took_ms(do: Callable[[], object]) -> float:
    """Median of processor time."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        do()
        found.append(1000 * (time.process_time() - began))
    return float(np.median(found))


def main() -> None:
    """Print figures."""
    fold = learning()
    drawn, _ = rows(np.random.default_rng(0), 2 * MAX_DRAWN, OFFSETS[0.05])
    others, _ = rows(np.random.default_rng(1), 2 * MAX_OTHERS, OFFSETS[0.05], drawn=0.0)
    fold.add(drawn)
    fold.add(others)
    calibration = fold.fit(AT)
    kept = len(fold.drawn) + len(fold.others)
    print(f"a fit to {kept} rows: {took_ms(lambda: fold.fit(AT)):.1f} ms")
    state = dump(fold)
    print(
        f"the state: {len(state) / 1024:.0f} KiB, written in {took_ms(lambda: dump(fold)):.1f} ms, "
    )
    print(f"  read in {took_ms(lambda: load(state, fold.terms)):.1f} ms")
    print(f"a calibration: {len(calibration.model_dump_json()) / 1024:.1f} KiB")
    for n in (1, 100, 1_000):
        known = proposed(rows(np.random.default_rng(2), n, OFFSETS[0.05])[0], Names(["act"], ["t"]))
        for words, under in (("calibrated", calibration), ("uncalibrated", None)):
            cost = took_ms(lambda k=known, u=under: assess(k, u, is_probability=True))  # type: ignore[misc]
            print(f"{n} proposals assessed, {words}: {1000 * cost / n:.2f} us each")


if __name__ == "__main__":
    main()
