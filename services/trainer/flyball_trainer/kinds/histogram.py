"""Histogram gradient boosted trees of scikit-learn."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from sklearn.ensemble import (  # type: ignore[import-untyped]
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from flyball_proto.columns import F64, Column
from flyball_trainer.forms.forest import ABSENT, Forest, Tree, assembled, grown
from flyball_trainer.kinds.catalogue import Aim, Fitted, shares
from flyball_trainer.kinds.estimators import in_classes, labels, learn, link, predicted, tamed
from flyball_trainer.rows import TrainingRows

DEFAULTS: Final[dict[str, Any]] = {"max_iter": 100, "max_bins": 63}
_WHOLE: Final = ("max_iter", "max_leaf_nodes", "max_depth", "min_samples_leaf", "max_bins")


def fit(rows: TrainingRows, aim: Aim) -> Fitted:
    """Boosted trees on one thread, all rounds of them: nothing is held out to stop early.

    Raises:
        FitError: only one class is among the rows.
    """
    chosen = {**DEFAULTS, **aim.parameters}
    chosen = {name: int(v) if name in _WHOLE else float(v) for name, v in chosen.items()}
    regression = aim.task == "regression"
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    model = kind(**chosen, early_stopping=False, random_state=aim.seed)
    learn(model, _told(rows.feature), labels(rows, aim), rows.weight)
    said = predicted(model, aim)

    def scores(feature: Column) -> Column:
        return said(tamed(feature))

    return Fitted(scores, _form(model, rows.width, aim), shares(_gain(model, rows.width)))


def _told(feature: Column) -> Column:
    """Features with 0 in columns that are all missing: scikit-learn cannot make bins of nothing."""
    tame = tamed(feature)
    return np.where(np.isnan(tame).all(axis=0), np.zeros(1, tame.dtype), tame)


def _form(model: Any, width: int, aim: Aim) -> Forest:
    start = np.asarray(model._baseline_prediction, F64).reshape(-1)  # noqa: SLF001 - has no other name
    place = _places(model, len(start), aim)
    trees = [
        replace(_tree(one.nodes), output=int(place[number]))
        for a_round in model._predictors  # noqa: SLF001 - likewise
        for number, one in enumerate(a_round)
    ]
    return assembled(width, link(aim), in_classes(start, model, aim, absent=ABSENT), trees)


def _places(model: Any, trained: int, aim: Aim) -> Column:
    """The output of each tree of a round; of two classes seen the only tree speaks for the second."""
    return model.classes_[-trained:] if aim.classes else np.zeros(1, np.int64)


def _tree(nodes: Column) -> Tree:
    return grown(
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"],
        nodes["left"],
        nodes["right"],
        nodes["is_leaf"].astype(bool),
        nodes["value"][:, None],
    )


def _gain(model: Any, width: int) -> Column:
    """What each feature's splits gained."""
    gain = np.zeros(width, F64)
    for a_round in model._predictors:  # noqa: SLF001 - see `_form`
        for one in a_round:
            inner = one.nodes[one.nodes["is_leaf"] == 0]
            np.add.at(gain, inner["feature_idx"], np.maximum(inner["gain"], 0))
    return gain
