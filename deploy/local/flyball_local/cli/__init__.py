"""The `flyball` command. Everything heavy is imported by the command that needs it.

Exit codes: 0 done, 1 a problem was found, 2 the input cannot be used, 3 no stack is running,
4 a policy would be looser (policy test), 130 interrupted.
Results go to standard output, progress and errors to standard error.
"""

import os
import sys

from flyball_local.cli import (
    accounting,
    auditing,
    autonomy,
    breaking,
    holding,
    looking,
    models,
    people,
    playing,
    policies,
    proving,
    quarantine,
    reviewing,
    running,
    specs,
    stopping,
)
from flyball_local.cli.root import app
from flyball_local.exits import EXIT_INTERRUPTED, exit_code, sentence

__all__ = [
    "accounting",
    "app",
    "auditing",
    "autonomy",
    "breaking",
    "holding",
    "looking",
    "main",
    "models",
    "people",
    "playing",
    "policies",
    "proving",
    "quarantine",
    "reviewing",
    "running",
    "specs",
    "stopping",
]


def main() -> None:
    """Run the command; errors become one sentence and an exit code."""
    try:
        app()
    except Exception as error:
        if os.environ.get("FLYBALL_DEBUG"):
            raise
        sys.stderr.write(f"{sentence(error)}\n")
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
