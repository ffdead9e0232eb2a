"""Runs a service as a process: event loop, logging, telemetry, signals, exit codes.

    from flyball_kit.run import run
    from flyball_risk.app import build
    run("risk", build)

SIGTERM and Ctrl-C drain: folds commit what is under way, handlers finish, connections close.
"""

import gc
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import uvloop
from faststream import FastStream

from flyball_kit import log, telemetry
from flyball_kit.fold.errors import (
    EXIT_FENCED,
    EXIT_INPUT,
    Fenced,
    InputChanged,
    InputLost,
    OutputLost,
)
from flyball_kit.settings import KitSettings, SettingsError, load

EXIT_CLEAN: Final = 0
EXIT_SETTINGS: Final = 2


def run(service: str, build: Callable[[], FastStream]) -> NoReturn:
    """Run until told to stop and leave the process.

    Exit codes: 0 stopped as asked, 1 crashed (start again), 2 settings not valid (one line on
    standard error), 3 fenced by another instance (wait until it is quiet), 4 input lost or changed
    (a person has to look).
    """
    sys.exit(main(service, build))


def main(service: str, build: Callable[[], FastStream]) -> int:
    """The same, returning the exit code."""
    try:
        settings = load(KitSettings, service, strict=False)
        log.set_up(settings, service)
        sending = telemetry.set_up(settings, service)
        app = build()
    except SettingsError as error:
        sys.stderr.write(f"flyball-{service}: {error}\n")
        return EXIT_SETTINGS
    gc.freeze()  # modules stay: looking at them again and again takes a tenth of the risk stage
    try:
        return _serve(app)
    finally:
        sending.shut_down()


def _serve(app: FastStream) -> int:
    """Any other error leaves through `sys.excepthook`, which logs it: exit code 1."""
    try:
        uvloop.run(app.run())
    except Fenced:
        return EXIT_FENCED
    except (InputLost, InputChanged, OutputLost):
        return EXIT_INPUT
    return EXIT_CLEAN
