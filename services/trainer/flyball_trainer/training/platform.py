"""On what a model was fitted: models are equal to the bit where this is equal."""

from functools import cache
from importlib.metadata import version
from platform import machine, python_version
from typing import Final

import numpy as np

_LIBRARIES: Final = {
    "lightgbm": ("lightgbm", "numpy", "onnx", "pyarrow"),
    "logistic": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "ridge": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "histogram": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "forest": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "mlp": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
}


@cache
def platform_key(kind: str) -> str:
    """Processor, the vector instructions that numpy uses, Python and the libraries of a kind."""
    libraries = " ".join(f"{name}={version(name)}" for name in _LIBRARIES[kind])
    return f"{machine()} {_instructions()} python={python_version()} {libraries} threads=1"


def _instructions() -> str:
    """The newest set of vector instructions found on this processor."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return str((simd.get("found") or simd["baseline"])[-1])
