"""Labelled rows to train on, made from a seed, for tests."""

from dataclasses import replace
from typing import Any

import numpy as np

from flyball_proto.columns import F32, F64, I64, U8, U16, U32, U64, Flow, Model, Rows, Samples
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.fitting import Order

WIDTH = 5
NAMES = tuple(f"load.mean.{i}" for i in range(WIDTH))
STEP_MS = 1_000
MODEL = Model("a" * 64, 1, "active", "baseline")


def features(count: int, seed: int = 0, missing: float = 0.1) -> np.ndarray:
    """f32 (count, WIDTH), some of them missing."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, WIDTH)).astype(F32)
    found[rng.random(found.shape) < missing] = np.nan
    return found


def training_rows(
    count: int = 600, task: str = "binary", seed: int = 0, missing: float = 0.1
) -> TrainingRows:
    """One row a second of two cells in turn; what they load says something about the label."""
    x = features(count, seed, missing)
    noise = np.random.default_rng(seed + 1).normal(size=count)
    signal = 2 * np.nan_to_num(x[:, 0]) + np.isnan(x[:, 1]) - np.nan_to_num(x[:, 2]) ** 2 + noise
    turn = (np.arange(count) % 2).astype(U32)
    time_ms = np.arange(count, dtype=I64) * STEP_MS
    return TrainingRows(
        element=("cell-1", "cell-2"),
        element_index=turn,
        label_set=('{"site":"harbour"}', '{"site":"hospital"}'),
        label_index=turn,
        sequence=np.arange(1, count + 1, dtype=U64),
        sample=np.zeros(count, U16),
        time_ms=time_ms,
        known_ms=time_ms + STEP_MS,
        feature=x,
        label=(signal > 0).astype(F64) if task == "binary" else 3 * signal + 100,
        weight=np.where(np.arange(count) % 7 == 0, 20.0, 1.0),
    )


def class_rows(
    count: int = 600, classes: int = 3, seed: int = 0, missing: float = 0.1
) -> TrainingRows:
    """The same with about as many rows in each class: low, middle, high."""
    rows = training_rows(count, "regression", seed, missing)
    edges = np.quantile(training_rows(4_000, "regression").label, np.arange(1, classes) / classes)
    return replace(rows, label=np.digitize(rows.label, edges).astype(F64))


def order(kind: str = "lightgbm", task: str = "binary", **more: Any) -> Order:
    """A small training."""
    small = {"n_estimators": 12, "num_leaves": 7} if kind == "lightgbm" else {}
    given: dict[str, Any] = {
        "pipeline": "congestion",
        "trainer": "recent",
        "kind": kind,
        "task": task,
        "parameters": small,
        "features": NAMES,
        "feature_digest": "d" * 64,
        "rows": training_rows(task=task),
        "horizon_ms": STEP_MS,
        "label_ahead_ms": STEP_MS,
        "seed": 7,
        "trained_through": {"0": 600},
        "trained_through_ms": 600_000,
    }
    return Order(**given | more)


def samples(
    *,
    element: list[str],
    time_ms: list[int],
    known_ms: list[int] | None = None,
    sequence: list[int] | None = None,
    label: list[float] | None = None,
    censored: list[int] | None = None,
    feature: np.ndarray | None = None,
    labels: str = "{}",
) -> Samples:
    """A message of SAMPLES with one row an entry."""
    count = len(time_ms)
    names = sorted(set(element))
    numbers = sequence or list(range(1, count + 1))
    rows = Rows(
        names,
        np.array([names.index(e) for e in element], U32),
        np.array(numbers, U64),
        np.zeros(count, U16),
        np.array(time_ms, I64),
        (labels,),
        np.zeros(len(names), U32),
    )
    return Samples(
        pipeline="congestion",
        feature_digest="d" * 64,
        flow=Flow("hub", min(numbers, default=1), max(numbers, default=1)),
        rows=rows,
        feature=features(count) if feature is None else feature,
        label=np.array(label or [0.0] * count, F64),
        known_ms=np.array(known_ms or time_ms, I64),
        weight=np.ones(count, F64),
        censored=np.array(censored or [0] * count, U8),
        model=(MODEL,),
        model_index=np.zeros(count, U8),
        score=np.zeros(count, F64),
        verdict=np.zeros(count, U8),
        quality=np.zeros(count, U8),
    )
