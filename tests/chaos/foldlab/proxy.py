"""A TCP proxy that loses acknowledgements and delays publishes."""

import asyncio
from contextlib import suppress


class Proxy:
    """Between one client and the broker.

    `swallow` drops what the broker says; `hold` keeps what the client says until `release`, also
    when the client is long dead: bytes "in the network".
    """

    def __init__(self, port: int) -> None:
        self.to_port = port
        self.swallow = self.hold = False
        self.held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self.something_held, self.something_swallowed = asyncio.Event(), asyncio.Event()
        self.pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self.server = await asyncio.start_server(self.on_client, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.cut()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.close()
            return
        self.pairs.append((writer, up_writer))
        for pump in (self.client_says(reader, up_writer), self.broker_says(up_reader, writer)):
            task = asyncio.create_task(pump)
            self.tasks.add(task)

    async def client_says(self, reader: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self.hold:
                    self.held.append((up, data))
                    self.something_held.set()
                else:
                    up.write(data)
            if not self.hold:
                up.close()

    async def broker_says(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self.swallow:
                    self.something_swallowed.set()
                else:
                    down.write(data)
            down.close()

    def cut(self) -> None:
        for pair in self.pairs:
            for writer in pair:
                writer.close()
        self.pairs.clear()

    def release(self) -> int:
        """Let the held bytes arrive; returns how many publishes were among them."""
        publishes = 0
        for up, data in self.held:
            publishes += data.count(b"HPUB out.")
            up.write(data)
        self.held.clear()
        return publishes
