"""One training from its order to a bundle, in a worker process; no I/O.

Importing this is cheap. Heavy libraries are imported by `warm_up`, or else with the first order.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from flyball_proto.events import Manifest
from flyball_proto.spec.learning import ClassWeight, Search
from flyball_proto.spec.parameters import Value
from flyball_trainer.forms.forest import UnconvertibleError
from flyball_trainer.kinds.catalogue import FitError, Fitted, fit, refused_parameters
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training import far
from flyball_trainer.training.split import Split, TooLittle, split
from flyball_trainer.training.weights import weighted

if TYPE_CHECKING:
    from flyball_trainer.training.search import Settled

RETRIED: Final = frozenset({"rows", "span", "instants", "class", "equal"})
"""Causes that more rows may cure."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What to fit. The same order gives the same bundle on one platform."""

    pipeline: str
    trainer: str
    kind: str
    task: str
    parameters: Mapping[str, Value]
    features: tuple[str, ...]
    feature_digest: str
    rows: TrainingRows
    horizon_ms: int
    label_ahead_ms: int
    """How far a label looks ahead: the horizon of a `future` target, 0 for `feedback`."""
    max_holdout_rows: int = 2_000
    seed: int = 0
    trained_through: Mapping[str, int] = field(default_factory=dict)
    trained_through_ms: int = 0
    classes: tuple[str, ...] = ()
    """Of a multiclass target, in score order."""
    class_weight: ClassWeight = field(default_factory=ClassWeight)
    search: Search | None = None
    executor: Literal["process", "dask"] = "process"
    variants: tuple[Literal["float16", "int8"], ...] = ()
    scheduler: str = ""
    """Where Dask is asked to fit; the pool of workers fills it in from the settings."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model: its ONNX file, its manifest, what is measured about it, and what it learnt from.

    `dataset` is empty when it was handed over before. `files` are what else belongs to the bundle, by
    name: `expected.bin`, `novelty.bin`, variants, bill of materials and card.
    """

    onnx: bytes
    manifest: Manifest
    report: Mapping[str, Any]
    dataset: bytes
    dataset_digest: str
    fit_s: float
    convert_s: float
    """Everything beyond the fit: what the data set took longer, conversion, parity and report."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What a person should know of it, one sentence each."""


@dataclass(frozen=True, slots=True)
class NotTrained:
    """No model, and why; `cause` is one word a reason. `retry`: more rows may cure it, no fit was made."""

    cause: str
    found: str
    needed: str
    retry: bool


def warm_up() -> None:
    """Import what any training needs."""
    from flyball_trainer.kinds import boosting, linear  # noqa: F401, PLC0415
    from flyball_trainer.training import dataset, making  # noqa: F401, PLC0415


def train(
    order: Order, hand_over: Callable[[bytes, str], None] | None = None
) -> Trained | NotTrained:
    """Split, choose settings, fit, convert, prove, write down.

    The data set is written beside the fit, in a thread of its own; there `hand_over` gets it and
    its digest at once, so that it can be stored meanwhile.
    """
    if (refused := refused_parameters(order.kind, order.parameters, order.task)) is not None:
        return NotTrained("parameters", refused, "parameters that the specification allows", False)
    parts = split(
        order.rows,
        task=order.task,
        horizon_ms=order.horizon_ms,
        label_ahead_ms=order.label_ahead_ms,
        max_holdout_rows=order.max_holdout_rows,
    )
    if isinstance(parts, TooLittle):
        return NotTrained(parts.cause, parts.found, parts.needed, parts.cause in RETRIED)
    warm_up()
    from flyball_trainer.training.making import made  # noqa: PLC0415 - heavy

    with ThreadPoolExecutor(1) as beside:
        dataset = beside.submit(_written, order, hand_over)
        began = time.perf_counter()
        try:
            settled = _settled(order, parts)
            rows = weighted(parts.training, order.class_weight, order.classes)
            fitted = fitted_to(rows, order, settled.parameters)
            fit_s = time.perf_counter() - began
            return made(order, parts, settled, fitted, fit_s, dataset)
        except far.FarError as error:
            return NotTrained(error.kind, str(error), error.needed, False)
        except (FitError, UnconvertibleError) as error:
            return NotTrained(
                error.kind, str(error), "rows and parameters that can be fitted", False
            )


def fitted_to(rows: TrainingRows, order: Order, parameters: Mapping[str, Value]) -> Fitted:
    """The model of these rows, whose weights are final, fitted here or where Dask is.

    Raises:
        FitError: they cannot be fitted.
        UnconvertibleError: the model has a part without ONNX form.
    """
    task, seed, classes = order.task, order.seed, len(order.classes)
    if order.executor == "dask":
        return far.fit(rows, task, parameters, seed, classes=classes, scheduler=order.scheduler)
    return fit(order.kind, rows, task, parameters, seed, classes=classes)


def _settled(order: Order, parts: Split) -> "Settled":
    """With which settings to fit; trials weigh classes as the fit does."""
    from flyball_trainer.training.search import settled  # noqa: PLC0415 - rarely needed

    return settled(
        order,
        parts.training,
        weighed=lambda rows: weighted(rows, order.class_weight, order.classes),
    )


def _written(order: Order, hand_over: Callable[[bytes, str], None] | None) -> tuple[bytes, str]:
    from flyball_trainer.training.dataset import write  # noqa: PLC0415 - heavy

    parquet, digest = write(order.rows, order.features)
    if hand_over is None:
        return parquet, digest
    hand_over(parquet, digest)
    return b"", digest
