"""Ends of a fold that no retry can mend. Each names what was found and what to do next."""

from typing import Final

from flyball_kit.errors import PermanentError

EXIT_FENCED: Final = 3
"""Exit code of a process whose output is written by another instance: do not restart at once."""

EXIT_INPUT: Final = 4
"""Exit code after lost or changed input, or a lost position: a person has to decide."""


class Fenced(PermanentError):  # noqa: N818 - a state, named as one
    """Another instance writes our output.

    The newest claim wins, so restarting at once would only fence that instance in turn. Wait until
    the output subject has been quiet for a while.
    """

    kind = "fenced"

    def __init__(self, subject: str, expected: int, found: str) -> None:
        self.subject, self.expected, self.found = subject, expected, found
        super().__init__(
            f"{subject}: the last commit should be {expected}, but found {found}. Another instance "
            "writes this subject; stop one of them, this one ends here"
        )


class InputLost(PermanentError):  # noqa: N818 - a state, named as one
    """Limits or a purge removed input that was never read, or that the state depends on."""

    kind = "input-lost"


class InputChanged(PermanentError):  # noqa: N818 - a state, named as one
    """The input stream is not the one that the position belongs to."""

    kind = "input-changed"


class OutputLost(PermanentError):  # noqa: N818 - a state, named as one
    """The last commit is gone, and the position with it."""

    kind = "output-lost"
