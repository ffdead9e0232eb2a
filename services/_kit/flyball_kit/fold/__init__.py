"""The fold runner: exactly once in effect, by compare-and-set on the output subject."""

from flyball_kit.fold.contract import (
    Endpoint,
    Fold,
    FoldObserver,
    FoldOptions,
    FoldStats,
    Input,
    Output,
    ReaderOptions,
    Unobserved,
)
from flyball_kit.fold.errors import (
    EXIT_FENCED,
    EXIT_INPUT,
    Fenced,
    InputChanged,
    InputLost,
    OutputLost,
)

__all__ = [
    "EXIT_FENCED",
    "EXIT_INPUT",
    "Endpoint",
    "Fenced",
    "Fold",
    "FoldObserver",
    "FoldOptions",
    "FoldStats",
    "Input",
    "InputChanged",
    "InputLost",
    "Output",
    "OutputLost",
    "ReaderOptions",
    "Unobserved",
]
