"""Rows that take a model to its edges: where a damaged conversion would answer otherwise.

For inner nodes of trees there are rows that reach the node, with the node's feature exactly at the
threshold, one f32 step above and below, and missing. For lines and networks each feature at the
values beyond which it is clipped. For all models, also those of which no more is known: each feature
missing, all missing, and extreme values.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import F32, Column
from flyball_trainer.forms.convert import Form
from flyball_trainer.forms.foreign import Foreign
from flyball_trainer.forms.forest import Forest
from flyball_trainer.forms.line import CLIP, Line
from flyball_trainer.forms.network import Network

MAX_NODES: Final = 500
"""Bounds the cost: 4 rows a node, about 12 microseconds a row for both models; tests/bench/bench_conversion.py."""
MAX_MISSING: Final = 512
EXTREMES: Final = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-35, -1e-35, 1e6, -1e6, 3.4e38, -3.4e38)
_INFINITY: Final = np.float32(np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Rows f32 (n, width); `about` i64 (n,) is the feature that a row is about, -1 = no single one."""

    group: str
    feature: Column
    about: Column


def probes(form: Form, base: Column) -> tuple[Probes, ...]:
    """Edge rows of a model, made from `base` f32 (n, width), n > 0: at most 4 * `MAX_NODES` + 600.

    Of a network or line as wide as 500 features there are 4 rows a feature besides.
    """
    everywhere = (_missing(base), _extreme(form.width))
    if isinstance(form, Foreign):
        return everywhere
    edges = of_trees(form, base) if isinstance(form, Forest) else of_clips(form, base)
    return (edges, *everywhere)


def of_trees(forest: Forest, base: Column) -> Probes:
    """Four rows a node of `looked_at`, parents first.

    A value that the nodes above would send elsewhere makes a row that passes elsewhere.
    """
    nodes = looked_at(forest)
    reached = _reaching(forest, nodes, base[np.arange(len(nodes)) % len(base)])
    at = forest.threshold[nodes]
    values = (at, _step(at, _INFINITY), _step(at, -_INFINITY), np.full_like(at, np.nan))
    return _varied(reached, forest.feature[nodes], values)


def looked_at(forest: Forest) -> Column:
    """The nodes that boundary rows are made for, rising: all, or `MAX_NODES` of them.

    Half of those are the nearest to their roots, which most rows pass, half are spread evenly over
    the others; the rest is only seen by holdout rows and the rows of those nodes.
    """
    count = len(forest.tree)
    if count <= MAX_NODES:
        return np.arange(count)
    by_depth = np.argsort(_depth(forest), kind="stable")
    near, far = by_depth[: MAX_NODES // 2], np.sort(by_depth[MAX_NODES // 2 :])
    spread = np.linspace(0, len(far) - 1, MAX_NODES - len(near)).astype(np.int64)
    return np.sort(np.concatenate([near, far[spread]]))


def of_clips(form: Line | Network, base: Column) -> Probes:
    """Each feature at the values beyond which it is clipped, and beyond."""
    features = np.arange(form.width)
    with np.errstate(over="ignore"):
        edges = [(form.mean + side * form.scale).astype(F32) for side in (CLIP, -CLIP)]
    reached = base[features % len(base)]
    beyond = [_step(e, side * _INFINITY) for e, side in zip(edges, (1, -1), strict=True)]
    return _varied(reached, features, (*edges, *beyond))


def _depth(forest: Forest) -> Column:
    """How many nodes lie above each, i64 (k,)."""
    parent = forest.parent
    depth, above = np.zeros(len(parent), np.int64), parent
    while (climbing := above >= 0).any():
        depth += climbing
        above = np.where(climbing, parent[above], -1)
    return depth


def _reaching(forest: Forest, nodes: Column, base: Column) -> Column:
    """Rows as near to `base` as they can be that pass each of the nodes, f32 (nodes, width).

    Climbs from every node to its root and notes within which bounds each feature must lie.
    """
    low = np.full(base.shape, -_INFINITY, F32)
    high = np.full(base.shape, _INFINITY, F32)
    parent, row, below = forest.parent, np.arange(len(nodes)), nodes
    above = parent[below]
    while (climbing := above >= 0).any():
        row, below, above = row[climbing], below[climbing], above[climbing]
        feature, threshold = forest.feature[above], forest.threshold[above]
        left = forest.left[above] == below
        where = row[left], feature[left]
        high[where] = np.minimum(high[where], threshold[left])
        where = row[~left], feature[~left]
        low[where] = np.maximum(low[where], _step(threshold[~left], _INFINITY))
        below, above = above, parent[above]
    bound = np.where(np.isfinite(high), high, low)
    absent = np.isnan(base) & np.isfinite(bound)
    return np.where(absent, bound, np.clip(base, low, high)).astype(F32)


def _varied(rows: Column, feature: Column, values: tuple[Column, ...]) -> Probes:
    """Each row once for each of `values`, which its `feature` takes, one after another."""
    varied, about = np.repeat(rows, len(values), axis=0), np.repeat(feature, len(values))
    varied[np.arange(len(varied)), about] = np.stack(values, axis=1).reshape(-1)
    return Probes("boundary", varied, about)


def _step(value: Column, to: np.float32) -> Column:
    """The next f32 in a direction; beyond the largest lies infinity."""
    with np.errstate(over="ignore"):
        found: Column = np.nextafter(value, to)
    return found


def _missing(base: Column) -> Probes:
    width = base.shape[1]
    features = np.arange(min(width, MAX_MISSING))
    one = base[features % len(base)].copy()
    one[features, features] = np.nan
    everything = np.full((1, width), np.nan, F32)
    return Probes("missing", np.concatenate([one, everything]), np.append(features, -1))


def _extreme(width: int) -> Probes:
    values = np.array([*EXTREMES, np.inf, -np.inf], F32)
    rows = np.repeat(values[:, None], width, axis=1)
    return Probes("extreme", rows, np.full(len(rows), -1))
