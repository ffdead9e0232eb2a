"""Feature rows by value against plain computation, and independent of what is beside them."""

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball_ingest.contract import compile_plan
from flyball_ingest.features import NEVER, FeaturePlan, feature_rows
from flyball_proto.spec import feature_names, parse_documents

DEPTH = 5


def plan(look_back: str = "20s") -> tuple[FeaturePlan, tuple[str, ...]]:
    document: dict[str, Any] = {
        "apiVersion": "flyball/v1",
        "kind": "Pipeline",
        "metadata": {"name": "p"},
        "spec": {
            "source": {"interval": "500ms", "metrics": ["a", "b", "c"]},
            "look_back": look_back,
            "features": [
                {"metrics": ["a", "b"], "windows": [3, DEPTH]},
                {"metric": "c", "windows": [1], "aggregates": ["last", "max"]},
            ],
            "target": {"task": "regression", "expression": "last(a)", "horizon": "5s"},
        },
    }
    catalogue = parse_documents([document])
    (source,), (pipeline,) = catalogue.sources.values(), catalogue.pipelines.values()
    return compile_plan(pipeline, source), feature_names(pipeline, source)


def expected(
    name: str, metrics: tuple[str, ...], rows: list[tuple[int, list[float]]], look_back_ms: int
) -> float:
    """The same by the standard library, from (time, values) with the row itself last."""
    metric, aggregate, *window = name.split(".")
    length = int(window[0]) if window else (1 if metric == "c" else DEPTH)
    own_ms = rows[-1][0]
    known = [
        ((t - own_ms) / 1_000, v[metrics.index(metric)])
        for t, v in rows[-length:]
        if own_ms - t <= look_back_ms and not math.isnan(v[metrics.index(metric)])
    ]
    x, y = [k[0] for k in known], [k[1] for k in known]
    if not known or (aggregate == "slope" and len(known) < 2):
        return math.nan
    return {
        "last": lambda: y[-1],
        "mean": lambda: statistics.fmean(y),
        "std": lambda: statistics.pstdev(y),
        "min": lambda: min(y),
        "max": lambda: max(y),
        "slope": lambda: statistics.linear_regression(x, y).slope,
    }[aggregate]()


values = st.one_of(st.just(math.nan), st.floats(-1_000, 1_000, width=32))
windows = st.lists(
    st.tuples(st.integers(1, 12_000), st.tuples(values, values, values)), min_size=1, max_size=DEPTH
)


def arrays(rows: list[tuple[int, list[float]]]) -> tuple[Any, Any]:
    """One window, padded at the front."""
    times = np.full((1, DEPTH), NEVER, np.int64)
    filled = np.full((1, 3, DEPTH), np.nan)
    for at, (time_ms, row) in enumerate(reversed(rows)):
        times[0, -1 - at] = time_ms
        filled[0, :, -1 - at] = row
    return filled, times


def with_times(steps: list[tuple[int, tuple[float, ...]]]) -> list[tuple[int, list[float]]]:
    time_ms, rows = 1_767_225_600_000, []
    for step, row in steps:
        time_ms += step
        rows.append((time_ms, list(row)))
    return rows


@given(windows)
@settings(deadline=None)
def test_every_feature_equals_the_plain_computation(
    steps: list[tuple[int, tuple[float, ...]]],
) -> None:
    compiled, names = plan()
    rows = with_times(steps)
    found = feature_rows(compiled, *arrays(rows))[0]
    wanted = [expected(n, compiled.metrics, rows, compiled.look_back_ms) for n in names]
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-3, nan_ok=True)


@given(st.lists(windows, min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_a_row_does_not_depend_on_the_rows_beside_it(
    many: list[list[tuple[int, tuple[float, ...]]]], data: st.DataObject
) -> None:
    compiled, _ = plan()
    pairs = [arrays(with_times(steps)) for steps in many]
    values_, times = (np.concatenate(part) for part in zip(*pairs, strict=True))
    together = feature_rows(compiled, values_, times)
    alone = np.concatenate([feature_rows(compiled, v, t) for v, t in pairs])
    cut = data.draw(st.integers(0, len(many)))
    halves = [feature_rows(compiled, values_[s], times[s]) for s in (slice(cut), slice(cut, None))]
    assert together.tobytes() == alone.tobytes() == np.concatenate(halves).tobytes()


def test_a_window_with_gaps_beside_it_does_not_change_a_whole_one() -> None:
    rng = np.random.default_rng(7)
    compiled, _ = plan()
    whole = rng.normal(size=(40, 3, DEPTH))
    times = np.tile(np.arange(DEPTH) * 1_000, (40, 1)) + rng.integers(0, 500, (40, DEPTH))
    before = feature_rows(compiled, whole, times)
    gaps = whole.copy()
    gaps[0, :, 2] = np.nan
    assert feature_rows(compiled, gaps, times)[1:].tobytes() == before[1:].tobytes()


def test_rows_older_than_the_look_back_do_not_count() -> None:
    compiled, names = plan(look_back="5s")
    rows = [(0, [100.0, 1, 1]), (10_000, [2.0, 1, 1]), (15_000, [4.0, 1, 1])]
    found = dict(zip(names, feature_rows(compiled, *arrays(rows))[0], strict=True))
    assert (found["a.mean.5"], found["a.max.5"], found["a.slope.5"]) == (
        3.0,
        4.0,
        pytest.approx(0.4),
    )
