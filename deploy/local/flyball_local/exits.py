"""What an error is to the shell: one sentence and an exit code. Pure."""

from typing import Final

EXIT_PROBLEM: Final = 1
EXIT_INVALID: Final = 2
EXIT_NOT_RUNNING: Final = 3
EXIT_LOOSER: Final = 4
"""Of `flyball policy test` alone: under the file's policy something would become looser."""
EXIT_INTERRUPTED: Final = 130

_BY_NAME: Final = {
    "SpecError": EXIT_INVALID,
    "CsvError": EXIT_INVALID,
    "InvalidInputError": EXIT_INVALID,
    "ElementNameError": EXIT_INVALID,
    "ReportError": EXIT_INVALID,
    "SettingsError": EXIT_INVALID,
    "NotRunningError": EXIT_NOT_RUNNING,
    "NoServersError": EXIT_NOT_RUNNING,
}
"""By name, so that `flyball --help` need not import what raises them."""


def first_cause(error: BaseException) -> BaseException:
    """The first error of a group, however deep."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def exit_code(error: BaseException) -> int:
    """2 for input that cannot be used, 3 when no stack is running, else 1."""
    names = [kind.__name__ for kind in type(first_cause(error)).__mro__]
    return next((_BY_NAME[name] for name in names if name in _BY_NAME), EXIT_PROBLEM)


def sentence(error: BaseException) -> str:
    """The error for people; one that says nothing of itself by its name."""
    found = first_cause(error)
    words = str(found) or type(found).__name__
    if _is_ours(found):
        return words
    return f"{type(found).__name__}: {words}; FLYBALL_DEBUG=1 shows where"


def _is_ours(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"PermanentError", "TransientError", "SpecError", "ReportError"})
