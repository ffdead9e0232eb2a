"""What goes between the service and its worker processes: frames of a length and a pickle.

An order is answered by a `Dataset`, perhaps, while the fit goes on, and then by its outcome.
"""

import struct
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct(">Q")
READY: Final = b""
"""A worker's first frame: everything is imported."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a model is being fitted to, as a Parquet file and its SHA-256."""

    digest: str
    parquet: bytes
