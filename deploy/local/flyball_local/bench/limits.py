"""The limits beside which the loop's figures stand: nats-py's receiving, and ONNX Runtime alone."""

import time

import numpy as np
import onnxruntime

from flyball_local.bench.measure import Stored

ONNX_ROWS = 1000
ONNX_SECONDS = 1.0


def receive_rows_per_s(metrics: Stored, seconds: float, samples: int) -> float:
    """Rows a second at which nats-py received the stored reports into a callback."""
    return len(metrics.sequence) * samples / seconds


def onnx_rows_per_s(model: bytes, width: int) -> float:
    """Rows a second of the active model in batches of a thousand, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = np.random.default_rng(0).random((ONNX_ROWS, width), np.float32)
    scored, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < ONNX_SECONDS:
        session.run(None, {name: rows})
        scored += ONNX_ROWS
    return scored / took
