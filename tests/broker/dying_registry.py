"""The registry, killed once at each step of its I/O: `python dying_registry.py FILE`.

Before and after every write of a record and every announcement it asks whether it has died there
before; see `dying_deployer`. With `-` for FILE it never dies by itself, and SIGUSR1 kills it.

ONNX Runtime has a thread of its own, which a fork would not have: so it is imported after it.
"""

import os
import signal
import sys
from contextlib import suppress

import onnx  # noqa: F401 - once for all starts, as are the next
from tests.broker.dying_deployer import ACK_WAIT_S, deadly

from flyball_kit import connect, objects, samples, service, settle  # noqa: F401 - as above
from flyball_kit.announce import Announcer
from flyball_kit.kv import Kv
from flyball_kit.run import main
from flyball_proto.progress import ModelsScored
from flyball_registry.records.scoreboard import Scoreboard


def saved(_: object, key: str, value: object) -> str:
    """What a write of a record is called."""
    if not isinstance(value, Scoreboard):
        return f"record {key}"
    read = sum(place.samples for place in value.places.values())
    return f"board {value.mark} {value.number} {read}"


def told(_: object, event: object, message_id: str) -> str:
    """What telling an event is called; scores are told often and for people, so all are one step."""
    return "tell scores" if isinstance(event, ModelsScored) else f"tell {message_id}"


def kill(pid: int, number: int) -> None:
    """Send a signal, unless the child has died of the one before."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def supervise() -> int:
    """Start the service again whenever it dies; its exit code once it ends.

    Told to stop while it is dying or not yet up, it has ended.
    """
    stopping: list[int] = []
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            from flyball_registry.app import build  # noqa: PLC0415 - see above

            return main("registry", build)
        signal.signal(signal.SIGUSR1, lambda number, _, pid=child: kill(pid, signal.SIGKILL))
        signal.signal(
            signal.SIGTERM,
            lambda number, _, pid=child: (stopping.append(number), kill(pid, number)),
        )
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        if stopping:
            return 0


if __name__ == "__main__":
    connect.ACK_WAIT_S = ACK_WAIT_S
    settle.HEARTBEAT_S = ACK_WAIT_S / 3
    deadly(Kv, "save", saved)
    deadly(Announcer, "publish", told)
    sys.exit(supervise())
