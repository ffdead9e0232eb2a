"""One ONNX model, loaded and warm. The only room that knows ONNX Runtime."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, Column

WARM_UP_CALLS: Final = 3
ERRORS_ONLY: Final = 3
CPU: Final = "CPUExecutionProvider"

_FAILURES: Final = (
    failures.EPFail,
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoModel,
    failures.NotImplemented,
    failures.RuntimeException,
    ValueError,
)


def available() -> tuple[str, ...]:
    """The execution providers of this build of ONNX Runtime."""
    return tuple(ort.get_available_providers())


class UnusableModelError(PermanentError):
    """ONNX Runtime does not take the model, or the model does not fit its manifest."""

    kind = "unusable-model"


class Session:
    """Scores of rows. One thread, so that the same rows give the same bits."""

    def __init__(
        self,
        onnx: bytes,
        *,
        input_name: str,
        output_name: str,
        width: int,
        outputs: int = 1,
        providers: Sequence[str] = (CPU,),
    ) -> None:
        """Load the model and run it a few times; blocks, so call it in a thread.

        Raises:
            UnusableModelError: it cannot be loaded or run on `width` features, or does not give
                `outputs` scores a row.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = ERRORS_ONLY
        self._input, self._outputs, self._count = input_name, [output_name], outputs
        try:
            self._session = ort.InferenceSession(onnx, options, list(providers))
            for rows in range(2, 2 + WARM_UP_CALLS):
                shape = np.asarray(self.run(np.zeros((rows, width), F32))).shape
                if shape != (rows, outputs):
                    raise ValueError(
                        f"{rows} rows give scores of shape {shape}, not ({rows}, {outputs})"
                    )
        except _FAILURES as error:
            raise UnusableModelError(f"the model cannot be used: {error}") from error

    def run(self, features: Column) -> Column:
        """Raw scores f32 (n, outputs) of features f32 (n, width)."""
        scores: Column = self._session.run(self._outputs, {self._input: features})[0]
        return scores

    def attempt(self, features: Column) -> Column:
        """As `run`, NaN where the model fails: who is only compared with stops nobody."""
        try:
            return self.run(features)
        except _FAILURES:
            return np.full((len(features), self._count), np.nan, F32)
