"""What this process can run, as an operator allows it and its ONNX Runtime can. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from flyball_kit.errors import PermanentError
from flyball_proto.deployments import Placed
from flyball_proto.events import Precision
from flyball_proto.runtimes import MODELS_AT_ONCE

MB: Final = 1_000_000


class BeyondRuntimeError(PermanentError):
    """The deployment names a form of a model that this runtime may not or cannot hold."""

    kind = "beyond-runtime"

    def __init__(self, placed: Placed, what: str) -> None:
        super().__init__(
            f"model {placed.digest[:12]} of {placed.trainer}: {what}; the model in force stays"
        )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of one process; the same for all of its pipelines. `memory_mb` 0 = not bounded."""

    instance: str = "here"
    architecture: str = ""
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    precisions: tuple[Precision, ...] = ("float32", "float16", "int8")
    memory_mb: float = 0.0
    partitions: int = 1

    def check_precision(self, placed: Placed) -> None:
        """Refuse a precision that is not allowed here.

        Raises:
            BeyondRuntimeError: naming those that are.
        """
        if placed.precision not in self.precisions:
            allowed = ", ".join(self.precisions)
            raise BeyondRuntimeError(
                placed, f"{placed.precision} is wanted, this runtime may run {allowed}"
            )

    def check_size(self, placed: Placed, size_bytes: int) -> None:
        """Refuse a file that alone is larger than a model's share of the memory.

        Raises:
            BeyondRuntimeError: naming both.
        """
        share_bytes = self.memory_mb * MB / MODELS_AT_ONCE
        if self.memory_mb and size_bytes > share_bytes:
            raise BeyondRuntimeError(
                placed,
                f"its file has {size_bytes} bytes, and a model may take {share_bytes:.0f} "
                f"(a third of MODEL_MEMORY_MB = {self.memory_mb:g})",
            )


ANYTHING: Final = Capabilities()
"""Whatever a runtime without settings can run."""


def check_providers(wanted: Collection[str], available: Collection[str]) -> None:
    """Refuse to start with execution providers that this build does not have.

    Raises:
        PermanentError: naming them, and those that it has.
    """
    if missing := [name for name in wanted if name not in available]:
        raise PermanentError(
            f"FLYBALL_INFERENCE_PROVIDERS names {', '.join(missing)}; this build of ONNX Runtime "
            f"has {', '.join(available)}"
        )
