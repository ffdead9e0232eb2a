"""What a run took, by the server's own clock.

Latency of a row = when VERDICTS stored the batch that holds its verdict, minus when METRICS stored
its report: from *publish acknowledged* to *verdict acknowledged*. Both times are JetStream store
times in the messages' metadata, so no client's clock or scheduling is part of the figure.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from numpy.typing import NDArray

from flyball_proto import columns
from flyball_proto.columns import Column
from flyball_proto.headers import COVERS

STALL_S = 30.0


@dataclass(frozen=True, slots=True)
class Stored:
    """Sequence and store time (nanoseconds) of each message of a stream, in order."""

    sequence: NDArray[np.int64]
    time_ns: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """Latencies and throughput of one run."""

    rows: int
    rows_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


async def read_stream(
    client: Client, stream: str, subject: str, first: int, last: int, sink: Callable[[Msg], None]
) -> float:
    """Push every stored message in [first, last] into `sink`; returns the seconds it took.

    A plain push consumer without acknowledgements on a stream at rest: with flow control this is
    also nats-py's receive limit.

    Raises:
        TimeoutError: Nothing arrived for half a minute although messages are due.
    """
    done, heard = asyncio.Event(), time.perf_counter()
    inbox = client.new_inbox()
    pending = 0

    async def on_message(message: Msg) -> None:
        nonlocal heard, pending
        if not message.reply or not message.reply.startswith("$JS.ACK"):
            if message.reply:  # flow control wants an answer
                await client.publish(message.reply, b"")
            return
        heard = time.perf_counter()
        sink(message)
        if sequence_of(message) >= last or message.reply.rsplit(".", 1)[1] == "0":
            done.set()

    subscription = await client.subscribe(inbox, cb=on_message, pending_msgs_limit=-1)
    js = client.jetstream()
    started = time.perf_counter()
    consumer = await js.add_consumer(
        stream,
        ConsumerConfig(
            deliver_subject=inbox,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(first, 1),
            filter_subject=subject,
            flow_control=True,
            idle_heartbeat=1.0,
            mem_storage=True,
            inactive_threshold=30.0,
        ),
    )
    while not done.is_set():
        try:
            await asyncio.wait_for(done.wait(), 5)
        except TimeoutError:
            if time.perf_counter() - heard > STALL_S:
                raise TimeoutError(
                    f"{stream} {subject}: nothing for {STALL_S:.0f} s before sequence {last}"
                ) from None
    took = heard - started
    await subscription.unsubscribe()
    await js.delete_consumer(stream, consumer.name)
    return took


def sequence_of(message: Msg) -> int:
    """Stream sequence from the reply subject `$JS.ACK.<...>`, without building metadata."""
    tokens = message.reply.split(".")
    return int(tokens[5 if len(tokens) == 9 else 7])


def covered(found: Mapping[str, str]) -> int:
    """The last METRICS sequence that a message of VERDICTS covers; 0 when it covers none."""
    return int((found.get(COVERS) or "0").rsplit(" ", 1)[-1])


def time_ns_of(message: Msg) -> int:
    """Store time from the reply subject, nanoseconds since the epoch."""
    tokens = message.reply.split(".")
    return int(tokens[7 if len(tokens) == 9 else 9])


async def metrics_times(client: Client, first: int, last: int) -> tuple[Stored, float]:
    """Store times of METRICS messages, and the seconds it took to receive them."""
    sequences: list[int] = []
    times: list[int] = []

    def sink(message: Msg) -> None:
        tokens = message.reply.split(".")
        at = 5 if len(tokens) == 9 else 7
        sequences.append(int(tokens[at]))
        times.append(int(tokens[at + 2]))

    took = await read_stream(client, "METRICS", "metrics.bench.>", first, last, sink)
    return Stored(np.asarray(sequences, np.int64), np.asarray(times, np.int64)), took


async def verdict_times(
    client: Client, subject: str, first: int, last: int
) -> tuple[Column, Column]:
    """For each verdict row its METRICS sequence and the store time of its batch."""
    sequences: list[Column] = []
    times: list[Column] = []

    def sink(message: Msg) -> None:
        batch = columns.decode_verdicts(message.data)
        rows = batch.rows.sequence.astype(np.int64)
        sequences.append(rows)
        times.append(np.full(len(rows), time_ns_of(message), np.int64))

    await read_stream(client, "VERDICTS", subject, first, last, sink)
    empty = [np.empty(0, np.int64)]
    return np.concatenate(sequences or empty), np.concatenate(times or empty)


def window(metrics: Stored, sequence: Column, verdict_ns: Column, *, skip: float = 0.2) -> Window:
    """Figures of a run without its first `skip` share of time (start-up, cold caches).

    Throughput is verdict rows a second between the first and the last verdict of that window.

    Raises:
        ValueError: No verdict belongs to a METRICS message of the run.
    """
    at = np.searchsorted(metrics.sequence, sequence)
    known = (at < len(metrics.sequence)) & (
        metrics.sequence[at % len(metrics.sequence)] == sequence
    )
    if not known.any():
        raise ValueError("no verdict for any report of this run")
    stored, verdict = metrics.time_ns[at[known]], verdict_ns[known]
    begin = metrics.time_ns[0] + skip * (metrics.time_ns[-1] - metrics.time_ns[0])
    late = stored >= begin
    latency_ms = (verdict[late] - stored[late]) / 1e6
    span_s = max((verdict[late].max() - verdict[late].min()) / 1e9, 1e-9)
    return Window(
        int(known.sum()),
        float(late.sum() / span_s),
        float(np.percentile(latency_ms, 50)),
        float(np.percentile(latency_ms, 99)),
        float(latency_ms.max()),
    )
