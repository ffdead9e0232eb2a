"""Labels through ingest as a process: arrivals and features of truth exactly once, refused ones kept."""

import json
import signal
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.ingest_process import (
    T0_MS,
    apply,
    counted,
    documents,
    features,
    ingest,
    outcomes,
    plainly,
    quarantined,
    send,
)

from flyball_local.embedded.provision import provision_streams
from flyball_proto import subjects
from flyball_proto.columns import Features, SkipReason
from flyball_proto.headers import KEY, ORIGINAL_SEQUENCE, ORIGINAL_SUBJECT, REASONS
from flyball_proto.spec import Pipeline, Source

pytestmark = pytest.mark.broker

FEEDBACK = {"task": "binary", "kind": "feedback", "horizon": "1h"}
BLOCKS = [{"metric": "load", "windows": [2, 8]}, {"truth": [1, 3], "truth_means": [4]}]


def truthful() -> tuple[Source, Pipeline]:
    return documents(spec={"target": FEEDBACK, "features": BLOCKS})


async def confirm(client: Client, element: str, body: dict[str, Any] | bytes) -> int:
    """Publish a label; returns its METRICS sequence."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (await client.jetstream().publish(f"labels.congestion.{element}", data)).seq


def arrivals(batches: list[Features]) -> list[tuple[str, int, int, float, int]]:
    """(element, sequence, time, value, rows of all batches before it)."""
    found, rows = [], 0
    for batch in batches:
        a = batch.arrivals
        found += [
            (a.element[e], int(s), int(t), float(v), rows + int(b))
            for e, s, t, v, b in zip(
                a.element_index, a.sequence, a.time_ms, a.value, a.before, strict=True
            )
        ]
        rows += len(batch.rows)
    return found


def refused(batches: list[Features]) -> int:
    """Labels that were refused, by what FEATURES say."""
    return sum(
        int(((b.flow.skipped.reason == SkipReason.QUARANTINED) & (b.flow.skipped.rows == 0)).sum())
        for b in batches
    )


async def tell(client: Client, i: int) -> None:
    """The i-th row of one of three elements, then the truth about an older one; some are wrong."""
    element, turn = f"cell-{i % 3}", i // 3
    at_ms = T0_MS + 1000 * turn
    await send(client, element, {"time_ms": at_ms, "values": {"load": (i * 37 % 100) / 100}})
    late = 1000 * (turn % 4)
    value: object = "UP" if i % 17 == 16 else i % 2
    await confirm(client, element, {"time_ms": at_ms - late, "value": value})


@pytest.mark.parametrize("with_redis", [True, False])
async def test_a_killed_ingest_gives_the_truth_of_an_undisturbed_one(
    provisioned: Client, nats_url: str, redis_url: str, unique: str, with_redis: bool
) -> None:
    source, pipeline = truthful()
    subject = await apply(provisioned, source, pipeline)
    kills, total = 3, 240
    redis = redis_url if with_redis else None
    found: list[Features] = []
    for part in range(kills + 1):
        first, behind = total * part // (kills + 1), total * (part + 1) // (kills + 1)
        enough = behind - 10 if part < kills else total

        def is_enough(batches: list[Features], enough: int = enough) -> bool:
            return min(counted(batches), len(arrivals(batches)) + refused(batches)) >= enough

        async with ingest(nats_url, redis, unique) as process:
            for i in range(first, behind):
                await tell(provisioned, i)
            found = await features(provisioned, subject, is_enough)
            if part == kills:
                kept = await quarantined(provisioned, refused(found))
            process.send_signal(signal.SIGKILL if part < kills else signal.SIGTERM)
            await process.wait()
    undisturbed = await plainly(provisioned, source, pipeline)
    assert outcomes(found) == outcomes(undisturbed)
    assert arrivals(found) == arrivals(undisturbed)
    assert len(arrivals(found)) == total - total // 17
    assert {m.headers[REASONS] for m in kept} == {"label-value"}
    assert len(kept) == refused(found) == total // 17


async def test_a_refused_label_lies_in_quarantine_untouched_beside_the_reports(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    source, pipeline = truthful()
    subject = await apply(provisioned, source, pipeline)
    bad: list[tuple[str, dict[str, Any] | bytes, str]] = [
        ("c1", b"up", "bad-label"),
        ("c1", {"time_ms": T0_MS, "value": "UP"}, "label-value"),
        ("c1", {"element": "c2", "time_ms": T0_MS, "value": 1}, "label-element"),
        ("c1", {"value": 1}, "no-time"),
        ("c.1", {"time_ms": T0_MS, "value": 1}, "bad-subject"),
        ("_x", {"time_ms": T0_MS, "value": 1}, "bad-element"),
    ]
    async with ingest(nats_url, None, unique):
        sent = [(await confirm(provisioned, e, body), e, body, code) for e, body, code in bad]
        report = await send(provisioned, "c1", b"load=0.5")
        found = await quarantined(provisioned, len(bad) + 1)
        batches = await features(provisioned, subject, lambda b: counted(b) >= 1)
    labels = [m for m in found if m.subject == subjects.unreadable_labels("congestion", 0)]
    assert [m.headers[KEY] for m in found if m not in labels] == [f"{report} 0"]
    for message, (sequence, element, body, code) in zip(labels, sent, strict=True):
        assert message.headers[REASONS] == code
        assert message.headers[ORIGINAL_SEQUENCE] == str(sequence)
        assert message.headers[ORIGINAL_SUBJECT] == f"labels.congestion.{element}"
        assert message.data == (body if isinstance(body, bytes) else json.dumps(body).encode())
    assert counted(batches) == 1  # the report; labels are no rows


async def test_labels_that_nobody_waits_for_are_refused_until_the_target_wants_them(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    source, pipeline = documents()
    subject = await apply(provisioned, source, pipeline)
    label = {"time_ms": T0_MS, "value": 1}
    async with ingest(nats_url, None, unique):
        await confirm(provisioned, "c1", label)
        (kept,) = await quarantined(provisioned, 1)
        wanting = documents(spec={"target": FEEDBACK})
        assert await apply(provisioned, *wanting) == subject  # the same features
        ticks = await features(
            provisioned, subject, lambda b: b[-1:] and b[-1].flow.revisions["pipeline"] > 2
        )
        sequence = await confirm(provisioned, "c1", label)
        found = await features(provisioned, subject, lambda b: len(arrivals(b)) > 0)
    assert kept.headers[REASONS] == "labels-not-wanted"
    assert ticks
    assert arrivals(found) == [("c1", sequence, T0_MS, 1.0, 0)]


async def test_with_several_partitions_each_reads_the_labels_of_its_elements_once_they_are_wanted(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    js = provisioned.jetstream()
    for info in await js.streams_info():
        await js.delete_stream(info.config.name or "")
    await provision_streams(provisioned, partitions=2)
    first = await apply(provisioned, *documents())
    elements = {subjects.partition_of(f"c{i}", 2): f"c{i}" for i in range(8)}
    label = {"time_ms": T0_MS, "value": 1}
    async with ingest(nats_url, None, unique, FLYBALL_PARTITIONS="2"):
        for element in elements.values():
            await confirm(provisioned, element, label)
            await send(provisioned, element, {"time_ms": T0_MS, "values": {"load": 0.5}})
        for partition in elements:
            of_partition = f"{first[:-1]}{partition}"
            unwanted = await features(provisioned, of_partition, lambda b: counted(b) >= 1)
            assert arrivals(unwanted) == []
        await apply(provisioned, *documents(spec={"target": FEEDBACK}))
        for partition in elements:
            await features(
                provisioned,
                f"{first[:-1]}{partition}",
                lambda b: b[-1:] and b[-1].flow.revisions["pipeline"] > 2,
            )
        sent = {
            element: await confirm(provisioned, element, label) for element in elements.values()
        }
        for partition, element in elements.items():
            of_partition = f"{first[:-1]}{partition}"
            found = await features(provisioned, of_partition, lambda b: len(arrivals(b)) > 0)
            assert arrivals(found) == [(element, sent[element], T0_MS, 1.0, 0)]
