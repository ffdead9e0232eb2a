from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tests.unit.training_rows import NAMES, class_rows, features, training_rows

from flyball_proto.columns import F32
from flyball_trainer.forms.boundaries import MAX_NODES, looked_at, of_trees, probes
from flyball_trainer.forms.convert import Form, onnx_model
from flyball_trainer.forms.forest import Forest
from flyball_trainer.forms.line import Line
from flyball_trainer.forms.network import Network
from flyball_trainer.kinds.catalogue import Fitted, fit
from flyball_trainer.training.parity import TOLERANCE, Parity, Unrunnable, compare
from flyball_trainer.training.running import scores

INFINITY = F32.type(np.inf)
TASKS = ("binary", "regression", "multiclass", "unseen")
SMALL = {"n_estimators": 6, "num_leaves": 7, "learning_rate": 0.3}
KINDS = [
    ("lightgbm", "binary", {**SMALL}),
    ("lightgbm", "binary", {**SMALL, "boosting": "dart"}),
    ("lightgbm", "binary", {"n_estimators": 100, "max_bin": 255, "extra_trees": True}),
    ("lightgbm", "regression", {**SMALL}),
    ("lightgbm", "regression", {**SMALL, "boosting": "dart"}),
    ("lightgbm", "multiclass", {**SMALL}),
    ("lightgbm", "multiclass", {**SMALL, "boosting": "dart"}),
    ("lightgbm", "unseen", {**SMALL}),
    ("logistic", "binary", {}),
    ("logistic", "multiclass", {}),
    ("logistic", "unseen", {"C": 1e6}),
    ("ridge", "regression", {"alpha": 0}),
    *(("histogram", task, {"max_iter": 10}) for task in TASKS),
    ("histogram", "binary", {"max_iter": 50, "max_bins": 255, "max_features": 0.4}),
    *(("forest", task, {"n_estimators": 10}) for task in TASKS),
    ("forest", "binary", {"n_estimators": 100, "min_samples_leaf": 1, "max_leaf_nodes": 4096}),
    ("forest", "regression", {"n_estimators": 100, "min_samples_leaf": 1, "bootstrap": False}),
    *(("mlp", task, {"max_iter": 10}) for task in TASKS),
    ("mlp", "binary", {"activation": "tanh", "hidden_layers": 3, "learning_rate_init": 0.5}),
    ("mlp", "regression", {"hidden_units": 256, "hidden_layers": 2, "max_iter": 10}),
]
TREES = [
    ("lightgbm", SMALL),
    ("histogram", {"max_iter": 6, "max_leaf_nodes": 7, "learning_rate": 0.3}),
    ("forest", {"n_estimators": 6, "max_leaf_nodes": 7}),
]


def fitted(kind: str = "lightgbm", task: str = "binary", missing: float = 0.1, **p: Any) -> Fitted:
    """Of `unseen` five classes two are not among the rows."""
    if task in ("multiclass", "unseen"):
        rows = class_rows(missing=missing)
        rows = replace(rows, label=rows.label + (rows.label > 0) * (task == "unseen"))
        return fit(kind, rows, "multiclass", p, 1, classes=5 if task == "unseen" else 3)
    rows = training_rows(task=task, missing=missing)
    return fit(kind, rows, task, p or (SMALL if kind == "lightgbm" else {}), 1)


def forest(model: Fitted) -> Forest:
    assert isinstance(model.form, Forest)
    return model.form


def judged(model: Fitted, form: Form, task: str = "binary") -> Parity:
    onnx = onnx_model(form).SerializeToString()
    task = "multiclass" if task == "unseen" else task
    found = compare(model, onnx, features(300, seed=5), task=task, names=NAMES)
    assert isinstance(found, Parity)
    return found


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("kind", "task", "parameters"), KINDS)
def test_a_sound_conversion_holds_also_at_its_edges(
    kind: str, task: str, parameters: dict[str, Any], missing: float
) -> None:
    model = fitted(kind, task, missing, **parameters)
    found = judged(model, model.form, task)
    assert found.holds, found.sentence
    assert found.difference < TOLERANCE / 10


@pytest.mark.parametrize(("kind", "task", "parameters"), KINDS)
def test_a_sound_conversion_holds_whatever_comes(
    kind: str, task: str, parameters: dict[str, Any]
) -> None:
    model = fitted(kind, task, **parameters)
    worst = features(500, seed=6, missing=0.5)
    worst[:100, 0], worst[100:200, 1], worst[200:300] = np.inf, -np.inf, worst[200:300] * 1e30
    onnx = onnx_model(model.form).SerializeToString()
    said, converted = model.scores(worst), scores(onnx, worst)
    size = np.maximum(np.abs(said), 1) if task == "regression" else 1
    assert (np.abs(said - converted) / size).max() < TOLERANCE
    if task != "regression":
        assert converted.min() >= 0
        assert converted.max() <= 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "task", "parameters"),
    [
        ("lightgbm", "binary", SMALL),
        ("logistic", "binary", {}),
        ("ridge", "regression", {}),
        ("histogram", "regression", {"max_iter": 20, "min_samples_leaf": 3}),
        ("forest", "regression", {"n_estimators": 20, "min_samples_leaf": 1}),
        ("mlp", "binary", {"max_iter": 5}),
    ],
)
def test_a_conversion_holds_in_whatever_unit_features_come(
    kind: str, task: str, parameters: dict[str, Any], seed: int
) -> None:
    """Tiny, huge and far from zero; infinite, missing or always the same in training."""
    rows, rng = training_rows(400, task, seed=seed), np.random.default_rng(seed)
    unit, start = 10.0 ** rng.integers(-40, 30, 5), 10.0 ** rng.integers(0, 9, 5)
    feature = (rows.feature * unit + np.where(rng.random(5) < 0.5, start, 0)).astype(F32)
    feature[rng.integers(0, 400, 30), rng.integers(0, 5, 30)] = np.inf
    feature[rng.integers(0, 400, 30), rng.integers(0, 5, 30)] = -np.inf
    feature[:, rng.integers(0, 5)] = [np.nan, 7.0, np.inf][seed]
    model = fit(kind, replace(rows, feature=feature), task, parameters, seed)
    onnx = onnx_model(model.form).SerializeToString()
    found = compare(model, onnx, feature[-100:], task=task, names=NAMES)
    assert isinstance(found, Parity)
    assert found.holds, found.sentence


@pytest.mark.parametrize(("kind", "parameters"), TREES)
@pytest.mark.parametrize("to", [INFINITY, -INFINITY])
def test_any_threshold_moved_by_one_step_is_refused_with_its_feature_named(
    to: np.float32, kind: str, parameters: dict[str, Any]
) -> None:
    model = fitted(kind, **parameters)
    form = forest(model)
    meant = moved_in_effect(form, up=bool(to > 0))
    assert len(meant) > 0.8 * len(form.threshold)
    for node in meant:
        threshold = form.threshold.copy()
        threshold[node] = np.nextafter(threshold[node], to)
        found = judged(model, replace(form, threshold=threshold))
        assert not found.holds, f"node {node}"
        if alone(form, node):
            assert (found.group, found.feature) == ("boundary", NAMES[form.feature[node]])


def alone(form: Forest, node: int) -> bool:
    """Whether no other node has its threshold: an earlier one's rows could also tell."""
    return int((form.threshold == form.threshold[node]).sum()) == 1


def moved_in_effect(form: Forest, *, up: bool) -> list[int]:
    """Nodes to which the value comes that a step moves over: no node above sends it elsewhere.

    Where only missing values go right, the threshold is infinite and cannot be moved up.
    """
    rows = of_trees(form, features(40, seed=8)).feature.reshape(len(form.threshold), 4, -1)
    movable = np.isfinite(form.threshold) | (not up)
    return [n for n in range(len(rows)) if movable[n] and passes(form, rows[n, int(up)], n)]


@pytest.mark.parametrize(("kind", "parameters"), TREES)
def test_any_default_direction_flipped_is_refused(kind: str, parameters: dict[str, Any]) -> None:
    model = fitted(kind, **parameters)
    form = forest(model)
    reached = reached_by_missing(form)
    assert len(reached) > 10
    for node in reached:
        missing_left = form.missing_left.copy()
        missing_left[node] = not missing_left[node]
        assert not judged(model, replace(form, missing_left=missing_left)).holds, f"node {node}"


def reached_by_missing(form: Forest) -> list[int]:
    """Nodes below no other node of the same feature: a missing value can reach them."""
    found = []
    for node in range(len(form.tree)):
        above, seen = int(form.parent[node]), set()
        while above >= 0:
            seen.add(int(form.feature[above]))
            above = int(form.parent[above])
        if int(form.feature[node]) not in seen:
            found.append(node)
    return found


def test_a_model_without_missing_values_in_training_takes_them_for_zero() -> None:
    model = fitted(missing=0.0)
    absent, zero = np.full((1, 5), np.nan, F32), np.zeros((1, 5), F32)
    assert model.scores(absent) == model.scores(zero)
    assert judged(model, model.form).holds


def test_a_missing_sigmoid_is_refused() -> None:
    model = fitted()
    found = judged(model, replace(forest(model), link="value"))
    assert not found.holds
    assert "the fitted model says" in found.sentence


@pytest.mark.parametrize("part", ["offset", "leaf", "left and right"])
def test_other_damage_to_trees_is_refused(part: str) -> None:
    model = fitted()
    form = forest(model)
    damaged = {
        "offset": replace(form, offset=form.offset + 1e-3),
        "leaf": replace(form, value=form.value * (1 + (np.arange(len(form.value)) == 3) * 0.1)),
        "left and right": replace(form, left=form.right, right=form.left),
    }
    assert not judged(model, damaged[part]).holds


def test_damage_to_a_line_is_refused_with_the_feature_named() -> None:
    model = fitted("logistic")
    form = model.form
    assert isinstance(form, Line)
    found = judged(
        model, replace(form, absent=np.where(np.arange(5)[:, None] == 1, 0.0, form.absent))
    )
    assert not found.holds
    slope = form.slope.copy()
    slope[2] *= 1.01
    found = judged(model, replace(form, slope=slope))
    assert not found.holds
    assert found.sentence.startswith(("boundary row", "extreme row", "holdout row"))


def test_scores_that_are_no_numbers_are_refused() -> None:
    model = fitted("ridge", "regression")
    form = model.form
    assert isinstance(form, Line)
    found = judged(model, replace(form, intercept=np.array([np.nan])), "regression")
    assert found.difference == float("inf")
    assert not found.holds


def test_a_file_that_does_not_run_is_refused_in_words() -> None:
    model = fitted()
    broken = onnx_model(model.form)
    broken.graph.node[0].op_type = "TreeOfKnowledge"
    found = compare(model, broken.SerializeToString(), features(50), task="binary", names=NAMES)
    assert isinstance(found, Unrunnable)
    assert "TreeOfKnowledge" in found.sentence
    unread = compare(model, b"no model", features(50), task="binary", names=NAMES)
    assert isinstance(unread, Unrunnable)


def test_scores_of_another_shape_are_refused() -> None:
    model = fitted()
    flat = onnx_model(model.form)
    flat.graph.node[-1].output[0] = "column"
    flat.graph.node.append(helper.make_node("Flatten", ["column"], ["score"], axis=0))
    found = compare(model, flat.SerializeToString(), features(50), task="binary", names=NAMES)
    assert isinstance(found, Unrunnable)
    assert "shape" in found.sentence


def test_boundary_rows_reach_their_nodes_and_stand_at_their_thresholds() -> None:
    form = forest(fitted())
    found = of_trees(form, features(40, seed=8))
    count = len(form.threshold)
    at, above, below, missing = np.moveaxis(found.feature.reshape(count, 4, -1), 1, 0)
    nodes = np.arange(count)
    assert (at[nodes, form.feature] == form.threshold).all()
    with np.errstate(over="ignore"):  # beyond the largest lies infinity
        assert (above[nodes, form.feature] == np.nextafter(form.threshold, INFINITY)).all()
        assert (below[nodes, form.feature] == np.nextafter(form.threshold, -INFINITY)).all()
    assert np.isnan(missing[nodes, form.feature]).all()
    assert np.mean([passes(form, at[node], node) for node in nodes]) > 0.8
    others = np.delete(at[0], form.feature[0]), np.delete(above[0], form.feature[0])
    assert np.array_equal(*others, equal_nan=True)


def passes(form: Forest, row: np.ndarray, node: int) -> bool:
    """Whether a row comes by a node, walked by hand."""
    here = int(np.flatnonzero((form.tree == form.tree[node]) & (form.parent < 0))[0])
    while 0 <= here < node:
        value = row[form.feature[here]]
        left = form.missing_left[here] if np.isnan(value) else value <= form.threshold[here]
        here = int(form.left[here] if left else form.right[here])
    return here == node


def test_the_edge_rows_of_a_large_model_are_bounded() -> None:
    form = forest(fitted(n_estimators=300, num_leaves=31, min_data_in_leaf=5))
    assert len(form.tree) > 4 * MAX_NODES
    assert sum(len(p.about) for p in probes(form, features(100))) < 4 * MAX_NODES + 100
    assert judged(replace_form(form), form).all_nodes > 4 * MAX_NODES


def replace_form(form: Forest) -> Fitted:
    """A model that its own ONNX form stands in for."""
    onnx = onnx_model(form).SerializeToString()
    return Fitted(lambda feature: scores(onnx, feature), form, np.zeros(form.width))


def test_of_a_large_model_every_root_is_looked_at_and_it_is_said_how_much_is() -> None:
    model = fitted("forest", min_samples_leaf=1)
    form = forest(model)
    nodes = looked_at(form)
    assert len(nodes) == MAX_NODES
    assert set(np.flatnonzero(form.parent < 0)) <= set(nodes)
    found = judged(model, form)
    assert (found.nodes, found.all_nodes) == (MAX_NODES, len(form.tree))


def test_damage_to_one_class_is_refused_with_the_class_named() -> None:
    model = fitted("histogram", "multiclass", max_iter=5)
    form = forest(model)
    found = judged(model, replace(form, offset=form.offset + np.array([0, 0, 0.01])), "multiclass")
    assert not found.holds
    model = fitted("logistic", "multiclass")
    line = model.form
    assert isinstance(line, Line)
    slope = line.slope.copy()
    slope[2, 1] += 3
    found = judged(model, replace(line, slope=slope), "multiclass")
    assert not found.holds
    assert ", class 1" in found.sentence or found.output != 1


@pytest.mark.parametrize("part", ["mean", "weight", "bias", "activation", "absent"])
def test_damage_to_a_network_is_refused(part: str) -> None:
    model = fitted("mlp", "binary")
    form = model.form
    assert isinstance(form, Network)
    first, last = form.layers
    moved = first.weight.copy()
    moved[1, 3] += 0.01
    gaps = first.weight.copy()
    gaps[5:] = 0
    damaged = {
        "mean": replace(form, mean=form.mean + 0.01),
        "weight": replace(form, layers=(replace(first, weight=moved), last)),
        "bias": replace(form, layers=(first, replace(last, bias=last.bias + 0.001))),
        "activation": replace(form, activation="tanh"),
        "absent": replace(form, layers=(replace(first, weight=gaps), last)),
    }
    assert not judged(model, damaged[part]).holds
