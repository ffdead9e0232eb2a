"""What one row costs in the ingest fold. A benchmark, not a test: `python tests/bench/bench_ingest.py`.

Single-sample JSON, 1 000 elements, 6 metrics, windows [8, 32], 6 aggregates; then reports of 20.
"""

import argparse
import cProfile
import json
import pstats
from time import process_time

from flyball_ingest.contract import compile_contract
from flyball_ingest.fold import IngestFold
from flyball_kit.fold import Input
from flyball_proto.spec import parse_documents

METRICS = ("prb", "thp", "conn", "delay", "ho", "temp")
ELEMENTS = 1_000
WARM_SINGLE, WARM_TWENTY = 33 * ELEMENTS, 2 * ELEMENTS
START_MS = 1_767_225_600_000


def fold() -> IngestFold:
    catalogue = parse_documents(
        [
            {
                "apiVersion": "flyball/v1",
                "kind": "Pipeline",
                "metadata": {"name": "bench"},
                "spec": {
                    "source": {
                        "interval": "1s",
                        "metrics": [{"name": m, "range": [-1e6, 1e6]} for m in METRICS],
                    },
                    "features": [{"metric": "*", "windows": [8, 32]}],
                    "target": {"task": "binary", "expression": "max(prb) > 0.9", "horizon": "30s"},
                },
            }
        ]
    )
    (source,), (pipeline,) = catalogue.sources.values(), catalogue.pipelines.values()
    contract = compile_contract(pipeline, source, pipeline_revision=1, source_revision=1)
    return IngestFold(
        contract, partition=0, origin="hub.METRICS", max_elements=50_000, memory_bytes=96 << 20
    )


def messages(reports: int, samples: int) -> list[Input]:
    made = []
    for i in range(reports):
        element, turn = f"cell-{i % ELEMENTS}", i // ELEMENTS
        body: dict[str, object] = {"element": element}
        rows = [
            {
                "time_ms": START_MS + 1_000 * (turn * samples + k),
                "values": {m: ((i * 31 + k * 7 + j) % 97) / 100 for j, m in enumerate(METRICS)},
            }
            for k in range(samples)
        ]
        body.update(rows[0] if samples == 1 else {"samples": rows})
        data = json.dumps(body).encode()
        time_ns = (START_MS + 3_600_000) * 1_000_000
        made.append(Input(i + 1, time_ns, f"metrics.bench.0.{element}", None, data))
    return made


def run(made: list[Input], warm: int, batch: int) -> float:
    """Microseconds of processor time a report, windows full; the best of three stretches."""
    stage = fold()
    for message in made[:warm]:
        if stage.step(message):
            stage.take()
    stage.take()
    best = float("inf")
    third = (len(made) - warm) // 3
    for part in (made[warm + third * i : warm + third * (i + 1)] for i in range(3)):
        started = process_time()
        for at in range(0, third, batch):
            for message in part[at : at + batch]:
                if stage.step(message):
                    stage.take()
            stage.take()
            stage.since()
        best = min(best, process_time() - started)
    return best / third * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true")
    profile = parser.parse_args().profile
    single, twenty = messages(45_000, 1), messages(5_000, 20)
    if profile:
        with cProfile.Profile() as profiler:
            run(single, WARM_SINGLE, 500)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
        return
    for batch in (1, 10, 200, 1_000):
        made = single[:36_000] if batch == 1 else single
        print(f"single-sample, batches of {batch:5}: {run(made, WARM_SINGLE, batch):7.2f} us a row")
    for batch in (1, 10, 200):
        print(
            f"20 samples,    batches of {batch:5}: {run(twenty, WARM_TWENTY, batch) / 20:7.2f} us a row"
        )


if __name__ == "__main__":
    main()
