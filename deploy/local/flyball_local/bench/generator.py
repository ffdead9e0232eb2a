"""The load: its own process, so that what it costs is seen and shares no interpreter with anything.

Run as `python -m flyball_local.bench.generator '<Load as JSON>'`; prints one JSON object when done.
Pacing is open-loop: rows are due by the clock and are sent in bursts of at most one millisecond's
worth, whatever the loop behind does.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import nats
import uvloop
from nats.aio.client import Client
from nats.js.api import PubAck  # noqa: TC002 - beside its neighbours
from nats.js.client import JetStreamContext

from flyball_local.bench.load import SOURCE, Load
from flyball_proto import headers, roles, subjects

BASE_MS = 1_767_225_600_000
"""Event time of the first report: 2026-01-01T00:00:00Z. Each element counts on in seconds."""
TICK_S = 0.001
"""Less would spin: the event loop counts in milliseconds."""
IN_FLIGHT = 4000
"""Unacknowledged publishes at most, in mode `acked`."""


@dataclass(slots=True)
class Sent:
    """What was sent, counted by the generator itself."""

    rows: int = 0
    reports: int = 0
    rounds: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    refused: int = 0

    def settle(self, ack: "asyncio.Future[PubAck]") -> None:
        """Count a publish that the server refused; the account will miss its row."""
        self.refused += ack.cancelled() or ack.exception() is not None


class Reports:
    """Payloads without JSON encoding in the loop: only time and one value change."""

    def __init__(self, load: Load) -> None:
        self._subjects = [subjects.metrics(SOURCE, f"cell-{i:04d}") for i in range(load.elements)]
        self._heads = [f'{{"element":"cell-{i:04d}",' for i in range(load.elements)]
        self._tails = [
            f'"rsrp":-98.2,"sinr":12.3,"thp_dl":{120 + i % 40}.5,"thp_ul":23.4,"users":{i % 40}}}}}'
            for i in range(load.elements)
        ]
        self._load = load

    def report(self, index: int) -> tuple[str, bytes]:
        """Subject and payload of the `index`-th report of this load."""
        element, turn = index % self._load.elements, index // self._load.elements
        first = self._load.first_round + turn * self._load.samples
        samples = [
            f'"time_ms":{BASE_MS + 1000 * (first + k)},'
            f'"values":{{"prb":{_load(index + k)},{self._tails[element]}'
            for k in range(self._load.samples)
        ]
        if len(samples) == 1:
            body = self._heads[element] + samples[0]
        else:
            body = f'{self._heads[element]}"samples":[{{{",{".join(samples)}]}}'
        return self._subjects[element], body.encode()


def _load(row: int) -> float:
    """One row in 997 is congested, so that a few decisions propose an action."""
    return 0.99 if row % 997 == 0 else row * 37 % 89 / 100


async def connect(load: Load) -> Client:
    """A plain connection in the `adapter` role."""
    seed = await asyncio.to_thread(Path(load.seed_file).read_bytes)
    return await nats.connect(
        load.url,
        nkeys_seed_str=seed.decode().strip(),
        inbox_prefix=roles.inbox_prefix("adapter").encode(),
        pending_size=64 << 20,
    )


async def run(load: Load) -> Sent:
    """Send the load.

    Raises:
        ValueError: The mode is neither `acked` nor `core`.
    """
    if load.mode not in ("acked", "core"):
        raise ValueError(f"mode {load.mode!r}; valid: acked, core")
    client, sent, reports = await connect(load), Sent(), Reports(load)
    stream = client.jetstream(publish_async_max_pending=IN_FLIGHT)
    started, cpu = time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < load.seconds:
        due = sent.rows + 500 * load.samples if load.rate == 0 else int(elapsed * load.rate)
        if due < sent.rows + load.samples:
            await asyncio.sleep(TICK_S)
            continue
        while sent.rows + load.samples <= due:
            await _publish(client, stream, load, reports, sent)
            if sent.reports % 500 == 0:
                await asyncio.sleep(0)
    if load.mode == "acked":
        await stream.publish_async_completed()
    await client.flush()
    sent.wall_s, sent.cpu_s = time.perf_counter() - started, time.process_time() - cpu
    sent.rounds = -(-sent.reports // load.elements)
    await client.close()
    return sent


async def _publish(
    client: Client, stream: JetStreamContext, load: Load, reports: Reports, sent: Sent
) -> None:
    subject, body = reports.report(sent.reports)
    if load.mode == "core":
        await client.publish(subject, body)
    else:
        # a retried publish would be dropped by the server under this id
        ack = await stream.publish_async(
            subject, body, headers={headers.MESSAGE_ID: f"{load.run}-{sent.reports}"}
        )
        ack.add_done_callback(sent.settle)
    sent.reports += 1
    sent.rows += load.samples


def main() -> None:
    """Read the load from the command line, send it, say what was sent."""
    load = msgspec.json.decode(sys.argv[1], type=Load)
    print(json.dumps(asdict(uvloop.run(run(load)))))


if __name__ == "__main__":
    main()
