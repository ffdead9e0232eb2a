"""The limit that inference stands beside: ONNX Runtime alone."""

import time

import numpy as np
import onnxruntime

ONNX_ROWS = 1000
ONNX_SECONDS = 1.0


def onnx_rows_per_s(model: bytes) -> float:
    """Rows a second of the active model in batches of a thousand, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    features = session.get_inputs()[0]
    rows = np.random.default_rng(0).random((ONNX_ROWS, features.shape[1]), np.float32)
    scored, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < ONNX_SECONDS:
        session.run(None, {features.name: rows})
        scored += ONNX_ROWS
    return scored / took
