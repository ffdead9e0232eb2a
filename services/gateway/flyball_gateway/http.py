"""Serves HTTP in the service's own event loop: /v1, the login and the page.

FastAPI, NiceGUI and uvicorn take seconds to import, so they are imported at the start, in a thread,
and only where HTTP is on.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from flyball_kit.errors import PermanentError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

log = logging.getLogger("flyball.gateway.http")

GRACE_S: Final = 3
"""Requests under way get so long at the end; event streams and pages are ended at once."""

BACKLOG: Final = 256
MAX_CONNECTIONS: Final = 512
"""More are answered with 503 until one ends."""


class PortTakenError(PermanentError):
    """Another program listens where the gateway should."""

    kind = "port-taken"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int


class Http:
    """The web server as a task of the service; `make` builds what it serves, `end` ends streams."""

    def __init__(
        self, address: Address, make: Callable[[], "FastAPI"], end: Callable[[], None]
    ) -> None:
        self._address, self._make, self._end = address, make, end
        self._server: uvicorn.Server | None = None
        self._stopping = asyncio.Event()
        self.serving = False

    def check(self) -> str | None:
        """For `Health`: whether it serves yet."""
        return None if self.serving else "HTTP is starting"

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            PortTakenError: another program has the port.
        """
        listening = listen(self._address)
        try:
            self._server = server = await asyncio.to_thread(self._load)
            if self._stopping.is_set():
                return
            self.serving = True
            log.info("HTTP on http://%s:%d", self._address.host, self._address.port)
            await server.serve(sockets=[listening])
        finally:
            self.serving = False
            listening.close()

    async def stop(self) -> None:
        """End event streams, let requests finish, and stop listening."""
        self._stopping.set()
        self._end()
        if self._server is not None:
            self._server.should_exit = True

    def _load(self) -> "uvicorn.Server":
        import uvicorn  # noqa: PLC0415 - see above

        class Server(uvicorn.Server):
            """Signals belong to the service, which stops this with its other parts."""

            @override
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        return Server(
            uvicorn.Config(
                self._make(),
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_S,
            )
        )


def listen(address: Address) -> socket.socket:
    """A socket that listens; a port in use is an error that says so.

    Raises:
        PortTakenError: it is in use, or not allowed.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        found = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
        raise PortTakenError(
            f"port {address.port} on {address.host} {found}; stop that program "
            f"(`ss -ltnp sport = :{address.port}` names it) or choose another "
            "FLYBALL_GATEWAY_HTTP_PORT"
        ) from error
