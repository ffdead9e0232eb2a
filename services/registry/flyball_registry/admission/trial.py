"""A session on trial: running out of memory is no failure of its graph, and ends the examination."""

from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override

from flyball_proto.columns import Column
from flyball_proto.events import Manifest
from flyball_registry.scoring.sessions import OutOfMemoryError, Session


class Trial(Session):
    """A `Session` that raises `MemoryError` where it cannot have the memory that it asks for."""

    @override
    def __init__(self, onnx: bytes, manifest: Manifest, *, optimised: bool = True) -> None:
        with _memory():
            super().__init__(onnx, manifest, optimised=optimised)

    @override
    def run(self, features: Column) -> Column:
        with _memory():
            return super().run(features)


@contextmanager
def _memory() -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise MemoryError(str(error)[:200]) from error
