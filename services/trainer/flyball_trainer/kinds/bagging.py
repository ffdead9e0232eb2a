"""Random forests."""

from typing import Any, Final

import numpy as np
from sklearn.ensemble import (  # type: ignore[import-untyped]
    RandomForestClassifier,
    RandomForestRegressor,
)

from flyball_proto.columns import F64, Column
from flyball_trainer.forms.forest import Forest, Tree, assembled, grown
from flyball_trainer.kinds.catalogue import Aim, Fitted, shares
from flyball_trainer.kinds.estimators import labels, learn, predicted, tamed
from flyball_trainer.rows import TrainingRows

DEFAULTS: Final[dict[str, Any]] = {
    "n_estimators": 50,
    "max_leaf_nodes": 256,
    "min_samples_leaf": 10,
    "bootstrap": True,
}
"""Trees are bounded, or 20 000 rows would make a file of 50 MB; these make 1, in half the time of 100."""
_THIRD: Final = 1 / 3
_WHOLE: Final = ("n_estimators", "max_depth", "max_leaf_nodes", "min_samples_leaf")


def fit(rows: TrainingRows, aim: Aim) -> Fitted:
    """Trees of rows drawn with replacement, each split from a few features drawn.

    Drawn are the square root of their number, for regression a third (Breiman 2001).

    Raises:
        FitError: only one class is among the rows.
    """
    chosen = {**DEFAULTS, **aim.parameters}
    chosen |= {name: int(chosen[name]) for name in _WHOLE if name in chosen}
    regression = aim.task == "regression"
    share = chosen.pop("max_features", _THIRD if regression else "sqrt")
    kind = RandomForestRegressor if regression else RandomForestClassifier
    share = share if isinstance(share, str) else float(share)
    model = kind(**chosen, max_features=share, random_state=aim.seed, n_jobs=1)
    learn(model, tamed(rows.feature), labels(rows, aim), rows.weight)
    said = predicted(model, aim)

    def scores(feature: Column) -> Column:
        return said(tamed(feature))

    return Fitted(scores, _form(model, rows.width, aim), shares(model.feature_importances_))


def _form(model: Any, width: int, aim: Aim) -> Forest:
    trees = [_tree(one.tree_, model, aim) for one in model.estimators_]
    if aim.task == "regression":
        return assembled(width, "value", np.zeros(1, F64), trees, centred=len(trees))
    return assembled(width, "share", np.zeros(aim.outputs, F64), trees)


def _tree(one: Any, model: Any, aim: Aim) -> Tree:
    """A tree whose leaves say their part of the mean over trees."""
    value = one.value[:, 0, :]
    if aim.task != "regression":
        share = np.zeros((len(value), max(aim.classes, 2)), F64)
        share[:, model.classes_] = value / value.sum(axis=1, keepdims=True)
        value = share if aim.classes else share[:, 1:]
    return grown(
        one.feature,
        one.threshold,
        one.missing_go_to_left,
        one.children_left,
        one.children_right,
        one.children_left < 0,
        value / model.n_estimators,
    )
