"""What an ONNX file answers, on one thread."""

from typing import Final

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F64, Column
from flyball_trainer.forms.convert import INPUT, OUTPUT

ERRORS_ONLY: Final = 3
CALL_ROWS: Final = 1 << 14
_FAILURES: Final = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NotImplemented,
    failures.RuntimeException,
)


class UnrunnableError(PermanentError):
    """ONNX Runtime does not take the file."""

    kind = "unrunnable"


def scores(onnx: bytes, rows: Column) -> Column:
    """Scores f64 (n, outputs) of rows f32 (n, width); a call is given at most `CALL_ROWS`.

    Raises:
        UnrunnableError: with the runtime's own first line.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    try:
        session = ort.InferenceSession(onnx, options, ["CPUExecutionProvider"])
        parts = [
            session.run([OUTPUT], {INPUT: rows[first : first + CALL_ROWS]})[0]
            for first in range(0, max(len(rows), 1), CALL_ROWS)
        ]
    except _FAILURES as error:
        raise UnrunnableError(str(error).splitlines()[0][:200]) from error
    return np.concatenate(parts).astype(F64)
