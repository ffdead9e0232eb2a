"""What a training costs, stage by stage: `python tests/bench/bench_conversion.py`. A benchmark, not a test.

Everything but the fit counts towards the 150 ms that a refresh may cost beyond it. Beside it stands
what onnxmltools takes for the same trees, and the two other ways to read a LightGBM model.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable

import lightgbm
import numpy as np
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from flyball_proto.columns import F32, F64, I64, U16, U32, U64
from flyball_proto.spec.parameters import Value
from flyball_trainer.forms import booster
from flyball_trainer.forms.convert import bundle
from flyball_trainer.kinds.catalogue import Fitted, fit
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training import dataset, fitting, parity, report
from flyball_trainer.training.split import Split, split

ROUNDS = 3
WIDTH = 40
NAMES = tuple(f"metric.mean.{i}" for i in range(WIDTH))
KINDS: tuple[tuple[str, str, dict[str, Value]], ...] = (
    ("lightgbm", "binary", {}),
    ("lightgbm", "binary", {"max_bin": 255}),
    ("lightgbm", "binary", {"boosting": "dart"}),
    ("lightgbm", "regression", {}),
    ("logistic", "binary", {}),
    ("ridge", "regression", {}),
    ("histogram", "binary", {}),
    ("forest", "binary", {}),
    ("mlp", "binary", {}),
    ("lightgbm", "multiclass", {}),
    ("histogram", "multiclass", {}),
    ("forest", "multiclass", {}),
    ("mlp", "multiclass", {}),
)
CLASSES = ("low", "middle", "high")
EDGES = {"binary": (0.0,), "multiclass": (-0.6, 0.6)}


def rows_of(count: int, task: str) -> TrainingRows:
    """Two in a hundred values are missing; half of the label is noise."""
    rng = np.random.default_rng(1)
    feature = rng.normal(size=(count, WIDTH)).astype(F32)
    feature[rng.random(feature.shape) < 0.02] = np.nan
    signal = np.nan_to_num(feature[:, 0]) + rng.normal(size=count)
    time_ms = np.arange(count, dtype=I64) * 1_000
    return TrainingRows(
        ("cell",),
        np.zeros(count, U32),
        ('{"site":"s1"}',),
        np.zeros(count, U32),
        np.arange(count, dtype=U64),
        np.zeros(count, U16),
        time_ms,
        time_ms,
        feature,
        np.digitize(signal, EDGES[task]).astype(F64) if task in EDGES else signal,
        np.ones(count, F64),
    )


def median_ms(work: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took)


def order(rows: TrainingRows, kind: str, task: str, parameters: dict[str, Value]) -> fitting.Order:
    classes = CLASSES if task == "multiclass" else ()
    return fitting.Order(
        "bench", "recent", kind, task, parameters, NAMES, "d" * 64, rows, 1_000, 1_000,
        classes=classes,
    )  # fmt: skip


def stages(count: int, kind: str, task: str, parameters: dict[str, Value]) -> dict[str, float]:
    """Median milliseconds of each stage; the whole beyond the fit last."""
    wanted = order(rows_of(count, task), kind, task, parameters)
    parts = split(wanted.rows, task=task, horizon_ms=1_000, label_ahead_ms=1_000)
    made = fitting.train(wanted)
    assert isinstance(parts, Split)
    assert isinstance(made, fitting.Trained), made
    asked = report.Asked.of(task, NAMES, wanted.classes)

    def fit_once() -> Fitted:
        return fit(kind, parts.training, task, parameters, 0, classes=len(wanted.classes))

    fitted = fit_once()
    held = parts.holdout.feature
    beyond = []
    for _ in range(ROUNDS):
        again = fitting.train(wanted)
        assert isinstance(again, fitting.Trained)
        beyond.append(again.convert_s * 1e3)
    return {
        "fit": median_ms(fit_once),
        "convert": median_ms(lambda: bundle(fitted.form, made.manifest)),
        "parity": median_ms(
            lambda: parity.compare(fitted, made.onnx, held, task=task, names=NAMES)
        ),
        "data set": median_ms(lambda: dataset.write(wanted.rows, NAMES)),
        "report": median_ms(lambda: report.holdout_report(parts, fitted.scores(held), asked)),
        "all beyond the fit": statistics.median(beyond),
    }


def readings(count: int) -> dict[str, float]:
    """Median milliseconds from a LightGBM model to what can be converted, and of onnxmltools."""
    rows = rows_of(count, "binary")
    chosen = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    model = lightgbm.train(chosen, lightgbm.Dataset(rows.feature, rows.label), 100)
    inputs = [("features", FloatTensorType([None, WIDTH]))]
    return {
        "text form, read": median_ms(lambda: booster.read(model.model_to_string())),
        "dump_model": median_ms(model.dump_model),
        "onnxmltools": median_ms(
            lambda: convert_lightgbm(model, initial_types=inputs, target_opset=15, zipmap=False)
        ),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    for count in (2_000, 20_000):
        for kind, task, parameters in KINDS:
            said = stages(count, kind, task, parameters)
            figures = "  ".join(f"{name} {ms:.1f}" for name, ms in said.items())
            print(f"{count:6} rows {kind:8} {task:10} {parameters or ''}: {figures} ms")
            sys.stdout.flush()
        figures = "  ".join(f"{name} {ms:.1f}" for name, ms in readings(count).items())
        print(f"{count:6} rows, 100 trees of 31 leaves: {figures} ms")


if __name__ == "__main__":
    main()
