"""What there is of a model that shall be trained again; cheap to import."""

from dataclasses import dataclass

from flyball_proto.events import Manifest


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A bundle as it lies in S3, with its data set."""

    manifest: Manifest
    onnx: bytes
    dataset: bytes
    scheduler: str = ""
    """Where a model of `executor: dask` is fitted again."""
