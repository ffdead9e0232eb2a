"""What a runtime can do and what it does: KV `runtimes`, key `<instance>.<pipeline>`.

Written by inference when it starts, whenever something changed, and every `ANNOUNCED_EVERY_S`; who
was not heard of for `GONE_S` is gone and counts for nothing.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Precision, Wire

ANNOUNCED_EVERY_S: Final = 10.0
GONE_S: Final = 60.0
MODELS_AT_ONCE: Final = 3
"""Active model, canary and anchor of a pipeline are loaded together, and share its memory alike."""
MAX_NAMED: Final = 8
"""Runtimes that a sentence about them names; of more only the number is told."""


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


def alive(runtimes: Iterable[RuntimeState], now: datetime) -> list[RuntimeState]:
    """Those that were heard of within `GONE_S`, by name."""
    heard = (r for r in runtimes if (now - r.at).total_seconds() <= GONE_S)
    return sorted(heard, key=lambda r: (r.pipeline, r.instance))


def disagreement(pointer_epoch: int, runtimes: Iterable[RuntimeState], now: datetime) -> str:
    """Which runtimes of one pipeline do not answer with the deployment's epoch, and why.

    Empty = all that are alive do, or nobody is. One sentence a runtime, at most `MAX_NAMED`.
    """
    apart = [r for r in alive(runtimes, now) if r.epoch != pointer_epoch]
    told = [_apart(r, pointer_epoch) for r in apart[:MAX_NAMED]]
    if rest := len(apart) - len(told):
        told.append(f"{rest} more as well")
    return "; ".join(told)


def _apart(runtime: RuntimeState, wanted: int) -> str:
    found = f"answers with epoch {runtime.epoch}" if runtime.epoch else "answers with no model"
    if runtime.trouble:
        why = runtime.trouble
    elif runtime.epoch > wanted:
        why = "it knows a newer deployment"
    elif runtime.wanted_epoch >= wanted:
        why = "it is being loaded"
    else:
        why = "it has not heard of it"
    return f"{runtime.instance} {found}, {wanted} is wanted: {why}"
