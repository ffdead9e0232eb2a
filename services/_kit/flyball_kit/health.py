"""Named checks that say whether a process lives (`/healthz`) and may be given work (`/readyz`)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Check = Callable[[], str | None]
"""Returns None when all is well, else the reason in words. Must not wait or raise."""

Weight = Literal["live", "ready", "note"]
"""What a failing check does: the process is broken, gets no work yet, or is merely degraded."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of all checks at one moment; `reasons` holds the failing ones alone."""

    live: bool
    ready: bool
    reasons: dict[str, str] = field(default_factory=dict)


class Health:
    """The checks of one process; as many as parts registered, a handful."""

    def __init__(self) -> None:
        self._checks: dict[str, tuple[Weight, Check]] = {}

    def add(self, name: str, check: Check, weight: Weight = "ready") -> None:
        """Register a check; a second one under the same name replaces the first."""
        self._checks[name] = (weight, check)

    def drop(self, name: str) -> None:
        """Forget a check; harmless when there is none."""
        self._checks.pop(name, None)

    def report(self) -> Report:
        """Ask every check."""
        failing = {
            name: (weight, reason)
            for name, (weight, check) in self._checks.items()
            if (reason := check()) is not None
        }
        weights = {weight for weight, _ in failing.values()}
        return Report(
            live="live" not in weights,
            ready=not weights & {"live", "ready"},
            reasons={name: reason for name, (_, reason) in failing.items()},
        )
