"""What a runtime can do and what it does: KV `runtimes`, key `<instance>.<pipeline>`.

Written by inference when it starts, whenever something changed, and every `ANNOUNCED_EVERY_S`; who
was not heard of for `GONE_S` is gone and counts for nothing.
"""

from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Precision, Wire

ANNOUNCED_EVERY_S: Final = 10.0
GONE_S: Final = 60.0


class RuntimeState(Wire):
    """One runtime and one pipeline."""

    version: Literal[1] = 1
    instance: str = Field(description="Unique to the process.")
    pipeline: str
    at: AwareDatetime
    partitions: int = Field(default=1, ge=1)
    architecture: str = Field(default="", description="As `platform.machine()` says, e.g. aarch64.")
    providers: tuple[str, ...] = Field(
        default=(), description="ONNX Runtime's execution providers that this runtime may use."
    )
    precisions: tuple[Precision, ...] = Field(
        default=("float32",), description="Variants that it can run, the preferred one first."
    )
    memory_mb: float = Field(
        default=0.0, ge=0, description="For the models of one pipeline; 0 = not bounded."
    )
    digest: str = Field(default="", description="Of the model in force; empty = none is.")
    precision: Precision = "float32"
    epoch: int = Field(default=0, ge=0, description="In force; 0 = none is.")
    wanted_epoch: int = Field(default=0, ge=0, description="Of the newest deployment it knows.")
    trouble: str = Field(default="", description="Why what is wanted is not in force.")
