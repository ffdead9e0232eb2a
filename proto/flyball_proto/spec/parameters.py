"""Which parameters of a library a trainer's specification may set, and within which bounds.

The names are the library's own. What is left out is either the trainer's business (threads,
logging, files, early stopping) or changes what a score means. Three settings of LightGBM are known
to be converted to ONNX wrongly without a word (onnxmltools 1.16) and are refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flyball_proto.spec.names import listed, nearest

Value = bool | int | float | str

CONVERTED_WRONGLY: Final[Mapping[str, tuple[Value, ...]]] = {
    "boosting": ("rf", "random_forest"),
    "linear_tree": (True,),
    "zero_as_missing": (True,),
}
"""Settings of LightGBM whose ONNX model would answer otherwise than the model that was fitted."""

MULTICLASS_OBJECTIVES: Final = ("multiclass",)
REGRESSION_OBJECTIVES: Final = ("regression", "regression_l1", "huber")
BINARY_OBJECTIVES: Final = ("binary",)


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both included; `whole` takes no fractions."""

    low: float
    high: float
    whole: bool = False

    def accepts(self, value: Value) -> bool:
        """Whether the value may be set."""
        if isinstance(value, bool | str) or (self.whole and value != int(value)):
            return False
        return self.low <= value <= self.high

    @property
    def words(self) -> str:
        """What would be valid."""
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few values."""

    values: tuple[Value, ...]

    def accepts(self, value: Value) -> bool:
        """Whether the value may be set; true is not 1."""
        return any(type(value) is type(valid) and value == valid for valid in self.values)

    @property
    def words(self) -> str:
        """What would be valid."""
        return " or ".join(shown(value) for value in self.values)


Allowed = Between | OneOf


def _whole(low: int, high: int) -> Between:
    return Between(low, high, whole=True)


_SHARE: Final = Between(0.01, 1)
_FLAG: Final = OneOf((False, True))

LIGHTGBM: Final[Mapping[str, Allowed]] = {
    "boosting": OneOf(("gbdt", "dart")),
    "objective": OneOf((*BINARY_OBJECTIVES, *MULTICLASS_OBJECTIVES, *REGRESSION_OBJECTIVES)),
    "n_estimators": _whole(1, 2_000),
    "learning_rate": Between(0.001, 1),
    "num_leaves": _whole(2, 1_024),
    "max_depth": _whole(-1, 64),
    "min_data_in_leaf": _whole(1, 1_000_000),
    "min_sum_hessian_in_leaf": Between(0, 1e6),
    "min_gain_to_split": Between(0, 1e6),
    "lambda_l1": Between(0, 1e6),
    "lambda_l2": Between(0, 1e6),
    "feature_fraction": _SHARE,
    "bagging_fraction": _SHARE,
    "bagging_freq": _whole(0, 1_000),
    "max_bin": _whole(2, 1_023),
    "extra_trees": _FLAG,
    "path_smooth": Between(0, 1e6),
    "drop_rate": Between(0, 1),
    "skip_drop": Between(0, 1),
    "max_drop": _whole(-1, 2_000),
    "scale_pos_weight": Between(0.001, 1_000),
    "alpha": Between(0.001, 1_000_000_000),
    "linear_tree": OneOf((False,)),
    "zero_as_missing": OneOf((False,)),
    "seed": _whole(0, 2**31 - 1),
}
LOGISTIC: Final[Mapping[str, Allowed]] = {
    "C": Between(1e-6, 1e6),
    "max_iter": _whole(1, 10_000),
    "seed": _whole(0, 2**31 - 1),
}
RIDGE: Final[Mapping[str, Allowed]] = {
    "alpha": Between(0, 1e9),
    "seed": _whole(0, 2**31 - 1),
}
HISTOGRAM: Final[Mapping[str, Allowed]] = {
    "max_iter": _whole(1, 2_000),
    "learning_rate": Between(0.001, 1),
    "max_leaf_nodes": _whole(2, 1_024),
    "max_depth": _whole(1, 64),
    "min_samples_leaf": _whole(1, 1_000_000),
    "l2_regularization": Between(0, 1e6),
    "max_bins": _whole(2, 255),
    "max_features": _SHARE,
    "seed": _whole(0, 2**31 - 1),
}
FOREST: Final[Mapping[str, Allowed]] = {
    "n_estimators": _whole(1, 500),
    "max_depth": _whole(1, 64),
    "max_leaf_nodes": _whole(2, 4_096),
    "min_samples_leaf": _whole(1, 1_000_000),
    "max_features": _SHARE,
    "bootstrap": _FLAG,
    "seed": _whole(0, 2**31 - 1),
}
MLP: Final[Mapping[str, Allowed]] = {
    "hidden_units": _whole(1, 256),
    "hidden_layers": _whole(1, 3),
    "activation": OneOf(("relu", "tanh")),
    "alpha": Between(0, 1e3),
    "learning_rate_init": Between(1e-5, 1),
    "batch_size": _whole(1, 10_000),
    "max_iter": _whole(1, 1_000),
    "seed": _whole(0, 2**31 - 1),
}
ALLOWED: Final[Mapping[str, Mapping[str, Allowed]]] = {
    "lightgbm": LIGHTGBM,
    "logistic": LOGISTIC,
    "ridge": RIDGE,
    "histogram": HISTOGRAM,
    "forest": FOREST,
    "mlp": MLP,
}
"""By kind. What a plug-in may be told it says itself; see `PLUGIN`."""

TASKS: Final[Mapping[str, tuple[str, ...]]] = {
    "lightgbm": ("binary", "multiclass", "regression"),
    "logistic": ("binary", "multiclass"),
    "ridge": ("regression",),
    "histogram": ("binary", "multiclass", "regression"),
    "forest": ("binary", "multiclass", "regression"),
    "mlp": ("binary", "multiclass", "regression"),
}
"""What each kind can learn."""

PLUGIN: Final = "plugin:"
"""Before the name of an entry point `flyball.trainers` that a trainer's machine has installed."""

PRECISIONS: Final[Mapping[str, tuple[str, ...]]] = {"mlp": ("float16", "int8")}
"""Variants that a kind can have beside the model as it was trained."""


def is_plugin(kind: str) -> bool:
    """Whether a kind is somebody else's; then only its trainer knows tasks and parameters."""
    return kind.startswith(PLUGIN)


@dataclass(frozen=True, slots=True)
class Refused:
    """A parameter that may not be set so: what was found, what would be valid, the next step."""

    name: str
    found: str
    valid: str
    next_step: str

    @property
    def sentence(self) -> str:
        """All of it for people."""
        return f"found {self.found}; valid: {self.valid}; {self.next_step}"


def refused_parameter(
    kind: str, parameters: Mapping[str, Value], task: str | None = None
) -> Refused | None:
    """The first parameter of a trainer that is refused; None when all may be set so."""
    if is_plugin(kind):
        return None
    allowed = ALLOWED[kind]
    for name, value in parameters.items():
        found = f"parameter {name}: {shown(value)}"
        if kind == "lightgbm" and any(
            type(value) is type(wrong) and value == wrong
            for wrong in CONVERTED_WRONGLY.get(name, ())
        ):
            valid = f"{name}: {allowed[name].words}"
            step = "it is known to be converted to ONNX wrongly; remove it"
            return Refused(name, found, valid, step)
        if name not in allowed:
            close = nearest(name, allowed)
            step = f"did you mean {close[0]}?" if close else "remove it"
            return Refused(name, f"unknown parameter {name!r}", ", ".join(allowed), step)
        if not allowed[name].accepts(value):
            return Refused(name, found, f"{name}: {allowed[name].words}", "correct or remove it")
        if name == "objective" and (needed := _objective(str(value), task)):
            return Refused(name, found, needed, "correct or remove it")
    return None


def _objective(value: str, task: str | None) -> str | None:
    """What would be valid for the task; None when `value` is."""
    valid = {
        "binary": BINARY_OBJECTIVES,
        "multiclass": MULTICLASS_OBJECTIVES,
        "regression": REGRESSION_OBJECTIVES,
    }.get(task or "")
    return None if valid is None or value in valid else f"objective: {listed(valid)}"


def shown(value: Value) -> str:
    """A value as a specification writes it."""
    return str(value).lower() if isinstance(value, bool) else f"{value}"
