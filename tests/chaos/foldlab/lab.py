"""A broker of one's own, streams, a producer and the judge of what came out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RawStreamMsg, StreamConfig
from nats.js.errors import NotFoundError
from tests.chaos.foldlab.proxy import Proxy
from tests.chaos.foldlab.sums import RollingSum, Row, pack, unpack

from flyball_kit.fold import Endpoint, FoldOptions, FoldRunner
from flyball_local.embedded.engines import NatsEngine
from flyball_proto.headers import EXPECT, OWNER, POSITION

IN, OUT = Endpoint("IN", "in.0"), Endpoint("OUT", "out.a")
NEXT = Endpoint("OUT", "out.b")
PATIENCE_S = 30.0
UNFINISHED = "not finished"
FAST = FoldOptions(heartbeat_s=0.3, publish_timeout_s=0.5, register_s=0.1, snapshot_every_s=0.05)


async def dial(url: str, name: str) -> Client:
    async def on_error(error: Exception) -> None:
        logging.getLogger("lab").info("%s: %r", name, error)

    return await nats.connect(
        url,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        connect_timeout=2,
        error_cb=on_error,
    )


def connector(url: str, out_via: Proxy | None = None) -> Callable[[str], Any]:
    """How a runner connects; its output goes through the proxy if there is one."""

    async def connect(name: str) -> Client:
        return await dial(out_via.url if out_via and name.endswith("-out") else url, name)

    return connect


@dataclass
class Verdict:
    """What the judge found on one output subject."""

    rows: list[Row]
    messages: list[RawStreamMsg]
    faults: list[str] = field(default_factory=list)

    @property
    def owners(self) -> int:
        return len({(m.headers or {})[OWNER] for m in self.messages})


class Lab:
    def __init__(self, engine: NatsEngine, client: Client) -> None:
        self.engine, self.client = engine, client

    @property
    def js(self) -> JetStreamContext:
        return self.client.jetstream(timeout=2)

    @property
    def url(self) -> str:
        return self.engine.url

    async def add_streams(self, **limits: Any) -> None:
        """IN and OUT, with `limits` on OUT, and the bucket of positions."""
        await self.js.add_stream(StreamConfig(name="IN", subjects=["in.>"]))
        full = {"discard": DiscardPolicy.NEW, **limits}
        await self.js.add_stream(StreamConfig(name="OUT", subjects=["out.>"], **full))
        await self.js.add_stream(
            StreamConfig(name="KV_positions", subjects=["$KV.positions.>"], max_msgs_per_subject=1)
        )

    def runner(self, name: str = "a", **given: Any) -> FoldRunner:
        wiring: dict[str, Any] = {
            "connect": connector(self.url, given.pop("out_via", None)),
            "source": IN,
            "target": OUT,
            "fold": RollingSum,
            "options": FAST,
        }
        return FoldRunner(name, **(wiring | given))

    async def feed(self, rows: list[Row], subject: str = "in.0", **publish: Any) -> None:
        """One message a row."""
        for row in rows:
            await self.js.publish(subject, pack([row]), **publish)

    async def messages(self, subject: str, stream: str = "OUT") -> list[RawStreamMsg]:
        """Everything stored on a subject, read one by one: slow, but nothing can be wrong."""
        found: list[RawStreamMsg] = []
        after = 1
        while True:
            try:
                message = await self.js.get_msg(stream, seq=after, subject=subject, next=True)
            except NotFoundError:
                return found
            found.append(message)
            after = (message.seq or 0) + 1

    async def until(self, ready: Callable[[], Any], what: str) -> None:
        """Ask again until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(NatsError):
                    answer = ready()
                    if await answer if asyncio.iscoroutine(answer) else answer:
                        return
                await asyncio.sleep(0.01)
        raise AssertionError(what)

    async def until_row(self, index: int, subject: str = "out.a") -> None:
        """Wait for an output row; the last message may be a claim, so look further back."""

        async def is_there() -> bool:
            message = await self.js.get_last_msg("OUT", subject)
            while not message.data:
                message = await self.js.get_msg("OUT", seq=int((message.headers or {})[EXPECT]))
            return unpack(message.data)[-1][0] >= index

        await self.until(is_there, f"row {index} on {subject}")

    async def judge(self, subject: str, expected: list[Row]) -> Verdict:
        """Compare what is stored with what must be, and check the chain of commits."""
        messages = await self.messages(subject)
        verdict = Verdict([r for m in messages for r in unpack(m.data or b"")], messages)
        before_sequence = before_last = 0
        for message in messages:
            headers = message.headers or {}
            if int(headers.get(EXPECT, -1)) != before_sequence:
                verdict.faults.append(f"{message.seq} does not follow {before_sequence}")
            first, last = (int(word) for word in headers[POSITION].split()[:2])
            if first <= before_last:
                verdict.faults.append(f"{message.seq} covers {first} again")
            before_sequence, before_last = message.seq or 0, last
        verdict.faults += difference(verdict.rows, expected)
        return verdict


def difference(rows: list[Row], expected: list[Row]) -> list[str]:
    """In words, what is wrong with `rows`."""
    if len(rows) < len(expected) and rows == expected[: len(rows)]:
        return [f"{UNFINISHED}: {len(expected) - len(rows)} rows missing at the end"]
    indices = [index for index, _ in rows]
    wanted = {index for index, _ in expected}
    doubled, lost = len(indices) - len(set(indices)), len(wanted - set(indices))
    found = []
    if doubled:
        found.append(f"{doubled} rows doubled")
    if lost:
        found.append(f"{lost} rows lost")
    if rows != expected and not found:
        wrong = sum(1 for a, b in zip(rows, expected, strict=False) if a != b)
        found.append(f"{wrong} rows wrong or out of order")
    return found


@asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[Lab]:
    engine = NatsEngine(folder)
    engine.start()
    client = await dial(engine.url, "lab")
    try:
        yield Lab(engine, client)
    finally:
        await client.close()
        engine.stop()


@asynccontextmanager
async def running(*runners: Any) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run them, and stop them at the end; their own ends are the caller's business."""
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield tasks
    finally:
        for runner in runners:
            await runner.stop()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ends_with(task: "asyncio.Task[None]") -> BaseException | None:
    """How a runner ended."""
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.done(), "the runner goes on"
    return task.exception()
