"""A tiny HTTP server on loopback: `/metrics`, `/healthz` and `/readyz`.

It runs in the service's own event loop, so that an answer proves that the loop turns.

Bounds: a request line of 8 KiB, five seconds a request, GET alone, one request a connection.
"""

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from prometheus_client import REGISTRY, generate_latest

from flyball_kit.health import Health

HOST: Final = "127.0.0.1"
TIMEOUT_S: Final = 5.0
MAX_LINE_BYTES: Final = 8 << 10


class Probes:
    """Serves one process's health and metrics on `port`; 0 takes a free one, see `port` then."""

    def __init__(self, health: Health, port: int) -> None:
        self.port = port
        self._health = health
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(
            self._serve, HOST, self.port, limit=MAX_LINE_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; harmless when not started."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            text = "text/plain; version=0.0.4; charset=utf-8"
            return HTTPStatus.OK, text, generate_latest(REGISTRY)
        report = self._health.report()
        well = {"/healthz": report.live, "/readyz": report.ready}.get(path)
        if well is None:
            body = b'{"error": "not found; try /metrics, /healthz or /readyz"}'
            return HTTPStatus.NOT_FOUND, "application/json", body
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        said = {"status": "ok" if well else "failing", "reasons": report.reasons}
        return status, "application/json", json.dumps(said).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A caller that hangs up or sends rubbish concerns nobody else.
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                path = target.split("?", 1)[0] if method == "GET" else ""
                status, kind, body = self.answer(path)
                writer.write(
                    f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        writer.close()
