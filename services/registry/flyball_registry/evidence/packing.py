"""Arrays in a record: base64 of their little-endian bytes, a third of what decimal digits take."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def packed(array: Array, kind: str) -> str:
    """An array as text; `kind` is a numpy type with its byte order, such as `<u4`."""
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def unpacked(text: str, kind: str, *shape: int) -> Array:
    """The array again, read-only; one length may be -1."""
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)
