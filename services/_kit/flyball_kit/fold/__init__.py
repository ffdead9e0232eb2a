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
from flyball_kit.fold.dispatch import Dispatcher, DispatchOptions
from flyball_kit.fold.errors import (
    EXIT_FENCED,
    EXIT_INPUT,
    Fenced,
    InputChanged,
    InputLost,
    OutputLost,
)
from flyball_kit.fold.gate import Gate
from flyball_kit.fold.paired import Companion, Span, covered
from flyball_kit.fold.reader import Reader
from flyball_kit.fold.routes import Dispatch
from flyball_kit.fold.runner import FoldRunner

__all__ = [
    "EXIT_FENCED",
    "EXIT_INPUT",
    "Companion",
    "Dispatch",
    "DispatchOptions",
    "Dispatcher",
    "Endpoint",
    "Fenced",
    "Fold",
    "FoldObserver",
    "FoldOptions",
    "FoldRunner",
    "FoldStats",
    "Gate",
    "Input",
    "InputChanged",
    "InputLost",
    "Output",
    "OutputLost",
    "Reader",
    "ReaderOptions",
    "Span",
    "Unobserved",
    "covered",
]
