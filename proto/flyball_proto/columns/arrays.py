"""Numpy arrays here, little-endian `bytes` on the wire; and what no batch may be."""

from enum import IntEnum
from typing import Any, Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from flyball_proto import data_plane_pb2 as pb

U8: Final = np.dtype("u1")


U16: Final = np.dtype("<u2")


U32: Final = np.dtype("<u4")


U64: Final = np.dtype("<u8")


I64: Final = np.dtype("<i8")


F32: Final = np.dtype("<f4")


F64: Final = np.dtype("<f8")


Column = NDArray[Any]


_Word = TypeVar("_Word", bound=IntEnum)


_Batch = TypeVar("_Batch", pb.FeatureBatch, pb.DecisionBatch, pb.VerdictBatch, pb.SampleBatch)


class BatchError(ValueError):
    """A batch does not parse, or its columns disagree about the number of rows."""


def packed(column: Column, dtype: np.dtype[Any]) -> bytes:
    """An array as little-endian bytes of that type."""
    return np.ascontiguousarray(column, dtype).tobytes()


def column(data: bytes, dtype: np.dtype[Any], rows: int, name: str) -> Column:
    """Bytes as an array; read-only.

    Raises:
        BatchError: They are not `rows` entries of that type.
    """
    if len(data) != rows * dtype.itemsize:
        raise BatchError(
            f"column {name}: {len(data)} bytes found, {rows} rows of {dtype.itemsize} expected"
        )
    return np.frombuffer(data, dtype)


def known(kind: type[_Word], value: int) -> _Word:
    """A number as the word that it stands for.

    Raises:
        BatchError: No such word is known here.
    """
    try:
        return kind(value)
    except ValueError as error:
        raise BatchError(
            f"{kind.__name__.lower()} {value}: none of {', '.join(w.name for w in kind)}; was it "
            "written by another version?"
        ) from error


def parsed(message: _Batch, data: bytes) -> _Batch:
    """A message filled from its bytes.

    Raises:
        BatchError: The bytes are no such message.
    """
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise BatchError(f"{len(data)} bytes are no {message.DESCRIPTOR.name}: {error}") from error
    return message


def no_signal() -> Column:
    """The column of a version that did not look."""
    return np.empty(0, F32)
