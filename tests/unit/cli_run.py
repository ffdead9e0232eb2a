"""The `flyball` command in the tests' own process: starting another one each time takes a second."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from flyball_local.cli import main


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def flyball(*words: str, cwd: Path | None = None) -> Ended:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["flyball", *words])
        patch.setattr(sys, "stdin", io.StringIO())
        patch.delenv("FLYBALL_DEBUG", raising=False)
        if cwd:
            patch.chdir(cwd)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())
