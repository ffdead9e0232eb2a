"""Ingest as a process against a real broker: rows exactly once, refused reports untouched."""

import json
import signal
from functools import partial
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from tests.broker.ingest_process import (
    T0_MS,
    apply,
    counted,
    documents,
    features,
    has,
    ingest,
    outcomes,
    plainly,
    quarantined,
    send,
)

from flyball_kit.fold.positions import Registered, purge_behind, register
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams, subjects
from flyball_proto.columns import Mark, SkipReason
from flyball_proto.headers import CONTENT_TYPE, KEY, ORIGINAL_SEQUENCE, ORIGINAL_SUBJECT, REASONS
from flyball_proto.streams import MAX_PAYLOAD_BYTES, MAX_REPORT_BYTES

pytestmark = pytest.mark.broker


def report(i: int) -> dict[str, Any]:
    """The i-th report; now and then a double, a late row, a value out of range."""
    second = i - 3 if i % 11 == 10 else i - 1 if i % 13 == 12 else i
    load = 5.0 if i % 17 == 16 else (i * 37 % 100) / 100
    return {"time_ms": T0_MS + 1000 * second, "values": {"load": load, "power": i % 7}}


@pytest.mark.parametrize("with_redis", [True, False])
async def test_a_killed_ingest_gives_the_rows_of_an_undisturbed_one(
    provisioned: Client, nats_url: str, redis_url: str, unique: str, with_redis: bool
) -> None:
    source, pipeline = documents()
    subject = await apply(provisioned, source, pipeline)
    sent, kills, total = 0, 3, 600
    redis = redis_url if with_redis else None
    for part in range(kills + 1):
        async with ingest(nats_url, redis, unique) as process:
            for i in range(sent, total * (part + 1) // (kills + 1)):
                await send(provisioned, f"cell-{i % 7}", report(i // 7))
            sent = total * (part + 1) // (kills + 1)
            enough = partial(has, sent - 20 if part < kills else total)
            found = await features(provisioned, subject, enough)
            if part == kills:
                refused = sum(r == SkipReason.QUARANTINED for _, _, r in outcomes(found)[1])
                await quarantined(provisioned, refused)
            process.send_signal(signal.SIGKILL if part < kills else signal.SIGTERM)
            await process.wait()
    assert process.returncode == 0
    assert counted(found) == total
    assert outcomes(found) == outcomes(await plainly(provisioned, source, pipeline))
    quarantine = await provisioned.jetstream().stream_info(streams.QUARANTINE.name)
    assert quarantine.state.messages == refused > 0


BAD: list[tuple[str, dict[str, Any] | bytes, str]] = [
    ("c1", b"load=0.5", "not-json"),
    ("c1", b'{"element":"c1","time_ms":1,"values":{"load":NaN}}', "not-json"),
    ("c1", {"time_ms": 1, "values": {"load": "0.5"}}, "bad-shape"),
    ("c1", {"time_ms": 1, "values": {"load": 0.5}, "vendor": "x"}, "bad-shape"),
    ("c1", {"time_ms": 253_402_300_799_000, "values": {"load": 0.5}}, "future-time"),
    ("c1", {"time_ms": 1, "values": {"load": 7}}, "out-of-range:load"),
    ("c1", {"time_ms": 1, "values": {"laod": 0.5}}, "unknown-metric:laod"),
    ("c1", {"time_ms": 1, "values": {}}, "no-values"),
    ("c1", {"values": {"load": 0.5}}, "no-time"),
    ("c1", {"time_ms": 1, "values": {f"m{i}": 1 for i in range(2_000)}}, "too-many-fields"),
    ("c1", b"{" + b" " * MAX_REPORT_BYTES + b"}", "report-too-large"),
    ("c1", {"element": "c2", "time_ms": 1, "values": {"load": 0.5}}, "element-mismatch"),
    ("c1", {"element": "c 1", "time_ms": 1, "values": {"load": 0.5}}, "bad-element"),
    ("c1", {"element": "c*", "time_ms": 1, "values": {"load": 0.5}}, "bad-element"),
    ("c1", {"time_ms": 1, "values": {"load": 0.5}, "labels": {"vendor": "x"}}, "unknown-label"),
    ("c.1", {"time_ms": 1, "values": {"load": 0.5}}, "bad-subject"),
    ("c.1.x", {"time_ms": 1, "values": {"load": 0.5}}, "bad-subject"),
    ("_x", {"time_ms": 1, "values": {"load": 0.5}}, "bad-element"),
]


async def test_every_bad_report_lies_in_quarantine_untouched_and_disturbs_nothing(
    provisioned: Client, nats_url: str, redis_url: str, unique: str
) -> None:
    source, pipeline = documents()
    subject = await apply(provisioned, source, pipeline)
    sent: list[tuple[int, str, bytes, str]] = []
    async with ingest(nats_url, redis_url, unique):
        for i, (element, body, code) in enumerate(BAD):
            await send(provisioned, "good", {"time_ms": T0_MS + i, "values": {"load": 0.5}})
            sequence = await send(provisioned, element, body)
            stored = await provisioned.jetstream().get_msg(streams.METRICS.name, sequence)
            sent.append((sequence, element, stored.data or b"", code))
        binary = await send(
            provisioned, "c1", b"\x0a\xff", **{CONTENT_TYPE: "application/x-protobuf"}
        )
        found = await quarantined(provisioned, len(BAD) + 1)
        total = len(BAD) * 2 + 1
        batches = await features(provisioned, subject, partial(has, total))
    assert found[-1].headers[REASONS] == "not-protobuf"
    assert found[-1].headers[CONTENT_TYPE] == "application/x-protobuf"
    assert found[-1].headers[KEY] == f"{binary} 0"
    for message, (sequence, element, data, code) in zip(found, sent, strict=False):
        assert message.headers[REASONS] == code
        assert message.headers[ORIGINAL_SEQUENCE] == str(sequence)
        assert message.headers[ORIGINAL_SUBJECT] == f"metrics.ran.{element}"
        assert message.data == data
    rows, skipped = outcomes(batches)
    assert {row[0] for row in rows} == {"good"}
    assert len(rows) + sum(n for _, n, r in skipped if r != SkipReason.QUARANTINED) == len(BAD)


async def test_a_report_larger_than_the_broker_takes_is_refused_by_the_broker(
    provisioned: Client,
) -> None:
    with pytest.raises((MaxPayloadError, NatsError)):
        await send(provisioned, "c1", b" " * (MAX_PAYLOAD_BYTES + 1))


async def test_a_report_that_is_gone_is_still_named(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    source, pipeline = documents()
    subject = await apply(provisioned, source, pipeline)
    js = provisioned.jetstream()
    info = await js.stream_info(streams.QUARANTINE.name)
    await js.delete_stream(streams.QUARANTINE.name)
    async with ingest(nats_url, None, unique):
        sequence = await send(provisioned, "c1", b"bad")
        await features(provisioned, subject, partial(has, 1))
        await send(provisioned, "c1", report(1))
        await js.delete_msg(streams.METRICS.name, sequence)
        await js.add_stream(info.config)
        (found,) = await quarantined(provisioned, 1)
    assert (found.data, found.headers[REASONS]) == (b"", "not-json,payload-purged")


async def test_a_changed_pipeline_with_the_same_features_goes_on_and_with_others_starts_anew(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    source, pipeline = documents()
    subject = await apply(provisioned, source, pipeline)
    async with ingest(nats_url, None, unique):
        for i in range(3):
            await send(provisioned, "c1", report(i))
        first = await features(provisioned, subject, partial(has, 3))
        narrow, _ = documents(metrics=[{"name": "load", "range": [0, 0.01]}, "power"])
        assert await apply(provisioned, narrow, pipeline) == subject
        before = first[-1].flow.revisions["source"]
        tick = await features(
            provisioned, subject, lambda b: b[-1:] and b[-1].flow.revisions["source"] > before
        )
        await send(provisioned, "c1", report(4))
        changed = await features(provisioned, subject, partial(has, 4))
        assert len(changed) > len(first)
        assert outcomes(changed)[1][-1][2] == SkipReason.QUARANTINED
        other, _ = documents(emit="watermark")
        moved = await apply(provisioned, other, pipeline)
        assert moved != subject
        await send(provisioned, "c1", {"time_ms": T0_MS + 10**6, "values": {"load": 0.5}})
        anew = await features(provisioned, moved, partial(has, 4))
    assert tick
    assert anew[0].flow.first == 1


async def test_a_mark_goes_through_behind_the_rows_before_it(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    source, pipeline = documents()
    subject = await apply(provisioned, source, pipeline)
    js = provisioned.jetstream()
    async with ingest(nats_url, None, unique):
        for i in range(4):
            await send(provisioned, "c1", report(i))
        body = json.dumps({"id": "m1", "time_ms": T0_MS + 4_000}).encode()
        await js.publish(subjects.stored_metrics("ran", 0, subjects.MARK), body)
        await send(provisioned, "c1", report(5))
        batches = await features(provisioned, subject, partial(has, 5))
    marked = next(i for i, b in enumerate(batches) if b.flow.mark is not None)
    assert batches[marked].flow.mark == Mark("m1", T0_MS + 4_000)
    assert counted(batches[: marked + 1]) == 4


async def test_each_partition_has_its_own_rows_and_quarantine(
    provisioned: Client, nats_url: str, unique: str
) -> None:
    js = provisioned.jetstream()
    for info in await js.streams_info():
        await js.delete_stream(info.config.name or "")
    await provision_streams(provisioned, partitions=2)
    source, pipeline = documents()
    first = await apply(provisioned, source, pipeline)
    elements = {subjects.partition_of(f"c{i}", 2): f"c{i}" for i in range(8)}
    async with ingest(nats_url, None, unique, FLYBALL_PARTITIONS="2"):
        for element in elements.values():
            for i in range(3):
                await send(provisioned, element, report(i))
            await send(provisioned, element, b"bad")
        found = await quarantined(provisioned, 2)
        for partition, element in elements.items():
            subject = f"{first[:-1]}{partition}"
            batches = await features(provisioned, subject, partial(has, 4))
            assert {row[0] for row in outcomes(batches)[0]} == {element}
    assert {m.subject for m in found} == {"quarantine.ran.0", "quarantine.ran.1"}


async def test_a_source_that_reports_seldom_does_not_hold_back_the_purge_of_another(
    provisioned: Client,
) -> None:
    js = provisioned.jetstream()
    info = await js.stream_info(streams.METRICS.name)
    epoch = info.created.isoformat() if info.created else ""
    await js.publish("metrics.host.me", b"x" * 100)
    for _ in range(99):
        await js.publish("metrics.ran.c1", b"x" * 100)
    for reader, sequence in (("host", 0), ("ran", 90)):
        seen = Registered(sequence, f"metrics.{reader}.>", epoch)
        await register(js, streams.METRICS.name, reader, seen)
    assert await purge_behind(js, streams.METRICS.name, "metrics.host.>", keep_bytes=0) == 0
    assert await purge_behind(js, streams.METRICS.name, "metrics.ran.>", keep_bytes=0) == 90
    state = (await js.stream_info(streams.METRICS.name)).state
    assert (state.first_seq, state.messages) == (1, 12)
    held = state.bytes
    assert await purge_behind(js, streams.METRICS.name, "metrics.ran.>", keep_bytes=held // 2) == 0
