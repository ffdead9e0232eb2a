"""Small neural networks on standardised features."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor  # type: ignore[import-untyped]

from flyball_proto.columns import F64, Column
from flyball_trainer.forms.forest import ABSENT
from flyball_trainer.forms.line import Standard, standard
from flyball_trainer.forms.network import ACTIVATIONS, Layer, Network
from flyball_trainer.kinds.catalogue import Aim, FitError, Fitted, shares
from flyball_trainer.kinds.estimators import in_classes, labels, learn, link, predicted
from flyball_trainer.rows import TrainingRows

DEFAULTS: Final[dict[str, Any]] = {
    "hidden_units": 32,
    "hidden_layers": 1,
    "activation": "relu",
    "alpha": 1.0,
    "learning_rate_init": 5e-3,
    "batch_size": 200,
    "max_iter": 30,
}
"""Held back by a large alpha: with 1e-4 a net of 20 000 noisy rows does worse than with a tenth of them."""
MAX_ROWS: Final = 200
"""Rows that importance is measured on."""


def fit(rows: TrainingRows, aim: Aim) -> Fitted:
    """Layers of `hidden_units` each, by Adam; it ends early when ten epochs gained nothing.

    A value of regression is learnt in standard deviations from its mean. Rows of weight 0 are left out.

    Raises:
        FitError: only one class is among the rows, or the weights are not finite.
    """
    rows = rows if (rows.weight > 0).all() else rows.part(rows.weight > 0)
    prepared, wanted = standard(rows.feature), labels(rows, aim)
    middle, spread = _spread(rows) if aim.task == "regression" else (0.0, 1.0)
    model = _model(aim, len(rows))
    target = (wanted - middle) / spread if aim.task == "regression" else wanted
    design = prepared.design(rows.feature)
    learn(model, design, target, rows.weight)
    network = _network(model, prepared, aim, middle, spread)
    said = predicted(model, aim)

    def scores(feature: Column) -> Column:
        return said(prepared.design(feature)) * spread + middle

    return Fitted(scores, network, _importance(said, design, prepared))


def _model(aim: Aim, rows: int) -> Any:
    chosen = {**DEFAULTS, **aim.parameters}
    kind = MLPRegressor if aim.task == "regression" else MLPClassifier
    return kind(
        hidden_layer_sizes=(int(chosen["hidden_units"]),) * int(chosen["hidden_layers"]),
        activation=chosen["activation"],
        alpha=float(chosen["alpha"]),
        learning_rate_init=float(chosen["learning_rate_init"]),
        batch_size=min(int(chosen["batch_size"]), rows),
        max_iter=int(chosen["max_iter"]),
        early_stopping=False,
        random_state=aim.seed,
    )


def _spread(rows: TrainingRows) -> tuple[float, float]:
    """Weighted mean and standard deviation of the label; 1 where it never changes."""
    mean = float(np.average(rows.label, weights=rows.weight))
    deviation = float(np.sqrt(np.average((rows.label - mean) ** 2, weights=rows.weight)))
    return mean, deviation if deviation > np.finfo(F64).eps * abs(mean) else 1.0


def _network(model: Any, prepared: Standard, aim: Aim, middle: float, spread: float) -> Network:
    weights = [np.asarray(weight, F64) for weight in model.coefs_]
    biases = [np.asarray(bias, F64) for bias in model.intercepts_]
    if not all(np.isfinite(part).all() for part in (*weights, *biases)):
        raise FitError("found weights that are not finite; lower learning_rate_init")
    first = prepared.spread(weights[0])
    layers = [Layer(w, b) for w, b in zip([first, *weights[1:]], biases, strict=True)]
    layers[-1] = _last(layers[-1], model, aim, middle, spread)
    activation = ACTIVATIONS[model.activation]
    return Network(link(aim), activation, prepared.mean, prepared.scale, tuple(layers))


def _last(layer: Layer, model: Any, aim: Aim, middle: float, spread: float) -> Layer:
    """The last layer in the label's own unit, or with a column for each class."""
    if aim.task == "regression":
        return Layer(layer.weight * spread, layer.bias * spread + middle)
    return Layer(
        in_classes(layer.weight, model, aim, absent=0),
        in_classes(layer.bias, model, aim, absent=ABSENT),
    )


def _importance(said: Callable[[Column], Column], design: Column, prepared: Standard) -> Column:
    """How far scores move on average when a feature is taken for its mean, on rows spread evenly."""
    rows = design[np.linspace(0, len(design) - 1, min(len(design), MAX_ROWS)).astype(np.int64)]
    width, whole = len(prepared.mean), said(rows)
    gap = {int(feature): width + i for i, feature in enumerate(prepared.sometimes)}
    moved = np.zeros(width, F64)
    for feature in range(width):
        without = rows.copy()
        without[:, [feature, gap.get(feature, feature)]] = 0
        moved[feature] = np.abs(said(without) - whole).mean()
    return shares(moved)
