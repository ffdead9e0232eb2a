"""Models that run. The only room that knows ONNX Runtime."""

import time
from typing import Final

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, F64, Column
from flyball_proto.events import Manifest

DECIMALS: Final = 6
"""As in inference, so that a row scored here has the score that it would have had there."""

ERRORS_ONLY: Final = 3
MEASURED_ROWS: Final = 64
MEASURED_CALLS: Final = 100
MEASURING_S: Final = 0.02
"""After so long 20 calls are enough: admission must not cost more than it finds out."""

MEASURING_SLOWLY_S: Final = 1.0
"""After so long any number of calls is enough."""

_FAILURES: Final = (
    failures.EPFail,
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoModel,
    failures.NotImplemented,
    failures.RuntimeException,
    MemoryError,
    ValueError,
)


_NO_MEMORY: Final = ("bad_alloc", "bad allocation", "Failed to allocate memory")


class UnusableModelError(PermanentError):
    """ONNX Runtime does not take the model, or cannot run it."""

    kind = "unusable-model"


def outputs_of(manifest: Manifest) -> int:
    """Scores a row has: one probability a class, or one number."""
    return len(manifest.classes) if manifest.task == "multiclass" else 1


class OutOfMemoryError(PermanentError):
    """The model asks for more memory than there is, which says little about its graph."""

    kind = "out-of-memory"


class Session:
    """Scores of rows, on one thread, so that the same rows give the same bits."""

    def __init__(self, onnx: bytes, manifest: Manifest, *, optimised: bool = True) -> None:
        """Load the model; blocks. Without optimising nothing of it is computed yet.

        Raises:
            UnusableModelError: it cannot be loaded.
            OutOfMemoryError: there is not enough memory for it.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = ERRORS_ONLY
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._input, self._names = manifest.input_name, [manifest.output_name]
        self.outputs = outputs_of(manifest)
        try:
            self._session = ort.InferenceSession(onnx, options, ["CPUExecutionProvider"])
        except _FAILURES as error:
            raise _unusable(f"the model cannot be loaded: {error}", error) from error

    def scores(self, features: Column) -> Column:
        """Scores of features f32 (n, width), rounded: f64 (n,), or (n, k) of a model of k classes.

        A row with an output that is no finite number is infinity in all. A single row is scored as
        two: runtimes compute one row in another way than many.

        Raises:
            UnusableModelError: it fails on these rows.
            OutOfMemoryError: there is not enough memory for it.
        """
        rows = len(features)
        if not rows:
            return np.empty(0 if self.outputs == 1 else (0, self.outputs), F64)
        batch = features if rows > 1 else np.concatenate((features, features))
        raw = self.run(np.ascontiguousarray(batch, F32)).reshape(len(batch), -1)[:rows].astype(F64)
        scores: Column = raw.round(DECIMALS) + 0.0  # there is no minus zero
        scores[~np.isfinite(scores).all(axis=1)] = np.inf
        return scores[:, 0] if self.outputs == 1 else scores

    def run(self, features: Column) -> Column:
        """Raw scores f32, (n, outputs) of a model that fits its manifest.

        Raises:
            UnusableModelError: it fails.
            OutOfMemoryError: there is not enough memory for it.
        """
        try:
            scores: Column = self._session.run(self._names, {self._input: features})[0]
        except _FAILURES as error:
            raise _unusable(f"the model cannot be run: {error}", error) from error
        return scores


def _unusable(sentence: str, error: Exception) -> UnusableModelError | OutOfMemoryError:
    """ONNX Runtime has no error of its own for memory, only words."""
    if isinstance(error, MemoryError) or any(words in sentence for words in _NO_MEMORY):
        return OutOfMemoryError(sentence)
    return UnusableModelError(sentence)


def latency_p99_ms(session: Session, width: int) -> float:
    """The 99th percentile of what a call of `MEASURED_ROWS` rows costs its thread, milliseconds.

    The thread's own time is counted, because what else the machine does at the moment is not the
    model's doing; on a machine that has time for it this is the latency.
    """
    rows = np.zeros((MEASURED_ROWS, width), F32)
    took_ns: list[int] = []
    for _ in range(3):
        session.run(rows)
    while len(took_ns) < MEASURED_CALLS:
        began_ns = time.thread_time_ns()
        session.run(rows)
        took_ns.append(time.thread_time_ns() - began_ns)
        spent_s = sum(took_ns) / 1e9
        if spent_s > MEASURING_SLOWLY_S or (len(took_ns) >= 20 and spent_s > MEASURING_S):
            break
    return float(np.percentile(took_ns, 99)) / 1e6
