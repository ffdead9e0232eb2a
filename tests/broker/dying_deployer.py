"""The deployer, killed once at each step of its I/O: `python dying_deployer.py FILE`.

Before and after every write of a record, every announcement and every acknowledgement it asks
whether it has died there before; if not, it notes the step in FILE and dies by SIGKILL. Each time
it is started again, by a fork of a process that has imported everything, until it ends by itself.
With `-` for FILE it never dies. SIGTERM is passed on.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg

from flyball_deployer.app import build
from flyball_kit import connect, settle
from flyball_kit.announce import Announcer
from flyball_kit.kv import Kv
from flyball_kit.run import main

ACK_WAIT_S = 0.2
"""What was under way comes again so soon after a death."""


def step(name: str) -> None:
    """Die here, once."""
    if sys.argv[1] == "-":
        return
    log = Path(sys.argv[1])
    if log.exists() and name in log.read_text().splitlines():
        return
    with log.open("a") as file:
        file.write(f"{name}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(kind: type[Any], method: str, name: Any) -> None:
    """Make a method of a class die before and after its work."""
    works = getattr(kind, method)

    async def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
        what = name(self, *args)
        step(f"before {what}")
        done = await works(self, *args, **kwargs)
        step(f"after {what}")
        return done

    setattr(kind, method, dying)


def supervise() -> int:
    """Start the service again whenever it was killed; its exit code once it ends."""
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            return main("deployer", build)
        signal.signal(signal.SIGTERM, lambda number, _, pid=child: os.kill(pid, number))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    connect.ACK_WAIT_S = ACK_WAIT_S
    settle.HEARTBEAT_S = ACK_WAIT_S / 3
    deadly(
        Kv,
        "save",
        lambda _, key, value: f"move {key} {value.epoch} {value.handled} {value.outcome[:8]}",
    )
    deadly(Announcer, "publish", lambda _, event, message_id: f"tell {message_id}")
    deadly(Msg, "ack", lambda message: f"ack {message.metadata.sequence.stream}")
    sys.exit(supervise())
