"""What an examination costs: `python tests/bench/bench_registry.py`. A benchmark, not a test.

An admission is part of the 150 ms that a refresh may cost beyond the fit; aim: under 60 ms on an
idle machine, of which the process of its own takes under 15.
"""

import asyncio
import hashlib
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np

from flyball_proto.bundles import encode_manifest
from flyball_proto.columns import F32, F64, I64, U16, U32, U64
from flyball_proto.events import Manifest, ModelTrained
from flyball_registry.admission import checks as admission
from flyball_registry.admission import onnxfile as model
from flyball_registry.admission import structure
from flyball_registry.admission.claims import Expected, Found, Signers
from flyball_registry.admission.frames import Limits, Order, Outcome
from flyball_registry.admission.isolation import Examiner
from flyball_registry.scoring.sessions import Session, latency_p99_ms
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training import fitting

ROUNDS = 9
WIDTH = 40
NAMES = tuple(f"metric.mean.{i}" for i in range(WIDTH))
THROUGH = {"0": 20_000}


def rows_of(count: int) -> TrainingRows:
    rng = np.random.default_rng(1)
    feature = rng.normal(size=(count, WIDTH)).astype(F32)
    time_ms = np.arange(count, dtype=I64) * 1_000
    return TrainingRows(
        ("cell",),
        np.zeros(count, U32),
        ("{}",),
        np.zeros(count, U32),
        np.arange(count, dtype=U64),
        np.zeros(count, U16),
        time_ms,
        time_ms,
        feature,
        (feature[:, 0] + rng.normal(size=count) > 0).astype(F64),
        np.ones(count, F64),
    )


def trained(trees: int) -> tuple[bytes, Manifest, Mapping[str, bytes]]:
    order = fitting.Order(
        "bench",
        "recent",
        "lightgbm",
        "binary",
        {"n_estimators": trees},
        NAMES,
        "d" * 64,
        rows_of(20_000),
        1_000,
        1_000,
        trained_through=THROUGH,
        trained_through_ms=20_000_000,
    )
    made = fitting.train(order)
    assert isinstance(made, fitting.Trained), made
    return made.onnx, made.manifest, made.files


def median_ms(work: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took)


def stages(onnx: bytes, manifest: Manifest, files: Mapping[str, bytes]) -> Mapping[str, float]:
    """Median milliseconds of each part of an admission, the whole last."""
    written = encode_manifest(manifest)
    claim = ModelTrained(
        pipeline="bench",
        at=datetime.now(UTC),
        digest=manifest.digest,
        manifest_digest=hashlib.sha256(written).hexdigest(),
        trainer="recent",
        kind="lightgbm",
        feature_digest=manifest.feature_digest,
        size_bytes=len(onnx),
        trained_through=THROUGH,
    )
    expected = Expected(manifest.feature_digest, NAMES, "binary", 8_000_000)
    found = Found(
        len(onnx), onnx, written, expected=files["expected.bin"], novelty=files["novelty.bin"]
    )
    assert admission.examine(claim, found, expected) is None
    opened = model.parse(onnx)
    assert not isinstance(opened, model.Unfit)
    session = Session(onnx, manifest)
    whole = median_ms(lambda: admission.examine(claim, found, expected))
    latency = median_ms(lambda: latency_p99_ms(session, WIDTH))
    apart_ms, outcome = isolated(Order(claim, found, expected))
    assert outcome.refusal is None, outcome
    return {
        "structure": median_ms(lambda: structure.refused(onnx)),
        "checker": median_ms(lambda: model.valid(opened)),
        "probe rows": median_ms(lambda: model.finite(onnx, manifest)),
        "opening": median_ms(lambda: Session(onnx, manifest)),
        "latency": latency,
        "all of it here": whole + latency,
        "all of it in a process of its own": apart_ms,
        "p99 of a call": outcome.latency_p99_ms,
        "memory, MB": outcome.memory_bytes / 1e6,
    }


def isolated(order: Order) -> tuple[float, Outcome]:
    """Median milliseconds of an examination as the registry does it, and its outcome."""

    async def asked() -> tuple[float, Outcome]:
        examiner = Examiner(Limits(), Signers())
        outcome = await examiner.examine(order)
        took = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            outcome = await examiner.examine(order)
            took.append((time.perf_counter() - started) * 1e3)
        await examiner.stop()
        return statistics.median(took), outcome

    return asyncio.run(asked())


def main() -> None:
    for trees in (30, 100, 300):
        onnx, manifest, files = trained(trees)
        figures = "  ".join(
            f"{name} {ms:.2f}" for name, ms in stages(onnx, manifest, files).items()
        )
        print(f"{trees} trees, {len(onnx) / 1e3:.0f} kB: {figures} ms")


if __name__ == "__main__":
    main()
