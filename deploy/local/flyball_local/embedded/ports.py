"""TCP ports on loopback: finding free ones and asking who listens."""

import secrets
import socket
from typing import Final

import psutil

LOOPBACK: Final = "127.0.0.1"
FIRST_PORT: Final = 20_000
LAST_PORT: Final = 32_000
"""Below what Linux hands out to outgoing connections, so that a port kept for a restart stays."""


def free_port() -> int:
    """A random port that nothing listens on right now; whoever binds it first has it."""
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether this port of loopback could be bound right now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free for a new listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def listens(pid: int, port: int) -> bool:
    """Whether this very process listens on the port; a stranger on the same port does not count."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)
