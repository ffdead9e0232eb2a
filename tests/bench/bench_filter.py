"""What a consumer's filter costs the server: `python tests/bench/bench_filter.py`.

Stores reports of a thousand elements, then reads them through a pull consumer without a filter and
through one that all of them match. Prints the server's processor time a message.
"""

import asyncio
import json
import tempfile
from pathlib import Path

import nats
import psutil
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams

MESSAGES = 100_000
ELEMENTS = 1_000
BATCH = 1_000


async def store(client: Client) -> None:
    for i in range(MESSAGES):
        await client.publish(f"metrics.bench.cell-{i % ELEMENTS}", b"x" * 135)
    while (await client.jetstream().stream_info("METRICS")).state.messages < MESSAGES:
        await asyncio.sleep(0.05)


async def read(client: Client, name: str, pattern: str) -> None:
    inbox, request = client.new_inbox(), json.dumps({"batch": BATCH, "expires": 30 * 10**9})
    received, done = 0, asyncio.Event()

    async def ask() -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.METRICS.{name}"
        await client.publish(subject, request.encode(), reply=inbox)

    async def on_message(message: Msg) -> None:
        nonlocal received
        if not message.reply:
            return
        received += 1
        if received % BATCH == 0:
            await ask()
        if received == MESSAGES:
            done.set()

    await client.subscribe(inbox, cb=on_message)
    await client.jetstream().add_consumer(
        "METRICS",
        ConsumerConfig(
            name=name,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.ALL,
            filter_subject=pattern,
            mem_storage=True,
            inactive_threshold=30,
        ),
    )
    await ask()
    await asyncio.wait_for(done.wait(), 60)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = NatsEngine(Path(folder))
        engine.start()
        try:
            client, server = await nats.connect(engine.url), psutil.Process(engine.pid)
            await provision_streams(client)
            await store(client)
            for name, pattern in (("all", ">"), ("own", "metrics.bench.>"), ("again", ">")):
                before = sum(server.cpu_times()[:2])
                await read(client, name, pattern)
                took_us = (sum(server.cpu_times()[:2]) - before) / MESSAGES * 1e6
                print(f"filter {pattern:<16} {took_us:5.1f} us of the server a message")
            await client.close()
        finally:
            engine.stop()


if __name__ == "__main__":
    uvloop.run(main())
