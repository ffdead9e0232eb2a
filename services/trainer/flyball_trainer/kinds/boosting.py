"""Gradient boosted trees. The only room that knows LightGBM."""

from collections.abc import Mapping
from typing import Any, Final

import lightgbm
import numpy as np

from flyball_proto.columns import F32, F64, Column
from flyball_proto.spec.parameters import LIGHTGBM, Between, Value
from flyball_trainer.forms.booster import read
from flyball_trainer.kinds.catalogue import Aim, FitError, Fitted, shares
from flyball_trainer.rows import TrainingRows

DEFAULTS: Final[Mapping[str, Value]] = {
    "n_estimators": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "max_bin": 63,
}
"""63 bins halve the time of a fit with 255; measured: tests/bench/bench_conversion.py."""

_REPEATABLE: Final[dict[str, Any]] = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_WHOLE: Final = frozenset(n for n, a in LIGHTGBM.items() if isinstance(a, Between) and a.whole)


def fit(rows: TrainingRows, aim: Aim) -> Fitted:
    """Boosted trees on one thread; of several classes, as many trees a round.

    Raises:
        FitError: LightGBM does not take the rows.
        UnconvertibleError: the model has a part without ONNX form.
    """
    chosen = settings(aim)
    trees = chosen.pop("n_estimators")
    weight = None if (rows.weight == 1).all() else rows.weight.astype(F32)
    try:
        data = lightgbm.Dataset(rows.feature, rows.label, weight=weight, params=chosen)
        booster = lightgbm.train(chosen, data, trees)
    except lightgbm.basic.LightGBMError as error:
        raise FitError(f"LightGBM: {error}") from error
    return fitted(booster)


def settings(aim: Aim) -> dict[str, Any]:
    """What LightGBM is told: defaults, own parameters, and what makes a fit repeatable."""
    chosen: dict[str, Any] = {
        "objective": aim.task,
        "seed": aim.seed,
        **DEFAULTS,
        **aim.parameters,
    }
    if aim.classes:
        chosen["num_class"] = aim.classes
    return {name: int(v) if name in _WHOLE else v for name, v in chosen.items()} | _REPEATABLE


def fitted(booster: lightgbm.Booster) -> Fitted:
    """A booster as a model; its importance is what each feature's splits gained.

    Raises:
        UnconvertibleError: it has a part without ONNX form.
    """

    def scores(feature: Column) -> Column:
        said = np.asarray(booster.predict(feature, num_threads=1), F64)
        return said.reshape(len(feature), -1)

    gain = booster.feature_importance("gain")
    return Fitted(scores, read(booster.model_to_string()), shares(gain))
