"""On what a model was fitted: models are equal to the bit where this is equal."""

from functools import cache
from importlib.metadata import version
from platform import machine, python_version
from typing import Final

import numpy as np

from flyball_proto.spec.parameters import is_plugin
from flyball_trainer.kinds.plugin import distribution, installed

_LIBRARIES: Final = {
    "lightgbm": ("lightgbm", "numpy", "onnx", "pyarrow"),
    "logistic": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "ridge": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "histogram": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "forest": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
    "mlp": ("scikit-learn", "scipy", "numpy", "onnx", "pyarrow"),
}
_ANY: Final = ("numpy", "onnx", "pyarrow")


@cache
def platform_key(kind: str) -> str:
    """Processor, the vector instructions that numpy uses, Python and the libraries of a kind.

    Of a plug-in, its distribution; what that rests on it alone knows.

    Raises:
        FitError: no such plug-in is installed.
    """
    libraries = " ".join(f"{name}={version(name)}" for name in _LIBRARIES.get(kind, _ANY))
    if is_plugin(kind):
        libraries = f"{distribution(installed(kind))} {libraries}"
    return f"{machine()} {_instructions()} python={python_version()} {libraries} threads=1"


def _instructions() -> str:
    """The newest set of vector instructions found on this processor."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return str((simd.get("found") or simd["baseline"])[-1])
