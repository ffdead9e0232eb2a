"""What goes between the registry and its examiner: an order, pickled, and an outcome, as JSON.

Each as a frame of a length and bytes. What comes back may come from a process that a model has
taken over, so it is never unpickled.
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import Field

from flyball_proto.events import ModelTrained, Wire
from flyball_registry.admission.claims import Expected, Found, Refusal

HEADER: Final = struct.Struct(">Q")
READY: Final = b""
"""The examiner's first frame: everything is imported."""
MAX_ANSWER_BYTES: Final = 64 << 10
CHECK: Final = "examination"
"""The check that a model fails whose examination does not end by itself."""


class Limits(NamedTuple):
    """What one examination may take."""

    cpu_s: int = 10
    """Processor time."""
    wall_s: int = 60
    """Time, whatever else the machine does."""
    memory_bytes: int = 1 << 30
    """Address space beyond what the examiner has itself."""


@dataclass(frozen=True, slots=True)
class Order:
    """A bundle to examine, and the PEM files one of which must have signed it."""

    claim: ModelTrained
    found: Found
    expected: Expected
    keys: tuple[str, ...] = ()


class Outcome(Wire):
    """What an examination found; under 4 kB. An empty `check` = the model may be deployed."""

    check: str = Field(default="", max_length=40)
    found: str = Field(default="", max_length=1000)
    limit: str = Field(default="", max_length=2000)
    latency_p99_ms: float = Field(default=0.0, ge=0)
    memory_bytes: int = Field(default=0, ge=0)

    @property
    def refusal(self) -> Refusal | None:
        """The check that failed; None = none did."""
        return Refusal(self.check, self.found, self.limit) if self.check else None


def refused(refusal: Refusal, latency_p99_ms: float = 0.0, memory_bytes: int = 0) -> Outcome:
    """The outcome that says so."""
    return Outcome(
        check=refusal.check,
        found=refusal.found[:1000],
        limit=refusal.limit[:2000],
        latency_p99_ms=latency_p99_ms,
        memory_bytes=memory_bytes,
    )
