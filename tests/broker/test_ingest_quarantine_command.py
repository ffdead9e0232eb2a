"""`cmd.ingest.quarantine` against a real broker: what was refused, newest first and bounded."""

import base64
import json
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.ingest_process import T0_MS, apply, documents, ingest, quarantined, send

from flyball_kit.newest import newest
from flyball_proto import streams, subjects
from flyball_proto.commands import ListQuarantined, QuarantinedReply
from flyball_proto.headers import CONTENT_TYPE, ORIGINAL_SEQUENCE, REASONS
from flyball_proto.streams import MAX_REPORT_BYTES, QUARANTINE

pytestmark = pytest.mark.broker
BROKEN = b"\xff\xfe load"


async def ask(client: Client, source: str = "ran", **wanted: Any) -> QuarantinedReply:
    command = ListQuarantined(source=source, **wanted).model_dump_json().encode()
    message = await client.request(subjects.command("ingest", "quarantine"), command, timeout=10)
    return QuarantinedReply.model_validate_json(message.data)


async def refuse(client: Client, sequence: int, subject: str = "quarantine.ran") -> None:
    """Put a refused report where ingest's quarantine would."""
    headers = {ORIGINAL_SEQUENCE: str(sequence), REASONS: "not-json"}
    await client.jetstream().publish(subject, b"x" * 10, headers=headers)


async def test_refused_reports_are_listed_newest_first_and_shown_one_by_one(
    provisioned: Client, nats_url: str, redis_url: str, unique: str
) -> None:
    await apply(provisioned, *documents())
    high = {"time_ms": T0_MS, "values": {"load": 7, "laod": 1}}
    sequences = [
        await send(provisioned, "c1", high),
        await send(provisioned, "c2", BROKEN, **{CONTENT_TYPE: "application/x-protobuf"}),
        await send(provisioned, "c.3", {"time_ms": T0_MS, "values": {"load": 0.5}}),
        await send(provisioned, "c4", b"{" + b" " * MAX_REPORT_BYTES + b"}"),
    ]
    async with ingest(nats_url, redis_url, unique):
        await quarantined(provisioned, len(sequences))
        found = await ask(provisioned)
        assert (found.ok, found.total) == (True, 4)
        assert [report.sequence for report in found.reports] == sequences[::-1]
        assert [report.element for report in found.reports] == ["c4", "c.3", "c2", "c1"]
        assert all(report.payload is None for report in found.reports)
        first = found.reports[-1]
        assert set(first.codes) == {"out-of-range", "unknown-metric"}
        assert "out-of-range:load" in first.detail
        assert first.size_bytes == len(json.dumps({"element": "c1", **high}))

        assert [r.sequence for r in (await ask(provisioned, limit=1)).reports] == sequences[-1:]
        (one,) = (await ask(provisioned, sequence=sequences[0])).reports
        assert json.loads(one.payload or "") == {"element": "c1", **high}
        (bytes_,) = (await ask(provisioned, sequence=sequences[1])).reports
        assert base64.b64decode(bytes_.payload or "") == BROKEN
        assert bytes_.content_type == "application/x-protobuf"
        (large,) = (await ask(provisioned, sequence=sequences[3])).reports
        assert (large.payload, large.codes) == (None, ("report-too-large",))

        unknown = await ask(provisioned, sequence=sequences[3] + 1)
        assert not unknown.ok
        assert unknown.error
        assert unknown.error.kind == "not-found"
        assert "4 are" in unknown.error.message
        assert (await ask(provisioned, "nobody")).total == 0
        wrong = await ask(provisioned, "Ran*")
        assert wrong.error
        assert "names no source" in wrong.error.message


async def test_a_report_is_found_among_many_of_other_sources_and_partitions(
    provisioned: Client, nats_url: str, redis_url: str, unique: str
) -> None:
    for sequence in range(1, 301):
        source, partition = ("core", sequence % 2) if sequence % 5 == 0 else ("host", 0)
        await refuse(provisioned, sequence, f"quarantine.{source}.{partition}")
    await refuse(provisioned, 400, "quarantine._labels.congestion.0")
    await apply(provisioned, *documents())
    await send(provisioned, "c1", BROKEN)
    async with ingest(nats_url, redis_url, unique):
        await quarantined(provisioned, 302)
        found = await ask(provisioned, "core", limit=7)
        assert found.total == 60
        assert [r.sequence for r in found.reports] == [300, 295, 290, 285, 280, 275, 270]
        for sequence in (5, 10, 150, 295):
            one = await ask(provisioned, "core", sequence=sequence)
            assert [report.sequence for report in one.reports] == [sequence]
        for other in (1, 7, 299, 301):
            assert not (await ask(provisioned, "core", sequence=other)).ok
        labels = await ask(provisioned, "_labels.congestion")
        assert [report.sequence for report in labels.reports] == [400]


async def test_the_newest_messages_can_be_paged_without_doubles(provisioned: Client) -> None:
    for sequence in range(1, 51):
        await refuse(provisioned, sequence, f"quarantine.{'ran' if sequence % 3 else 'host'}")
    await provisioned.jetstream().delete_msg(QUARANTINE.name, 49)
    before, found = None, []
    while page := await newest(provisioned, QUARANTINE, ["quarantine.ran"], 10, before=before):
        found += [message.sequence for message in page]
        before = page[-1].sequence
    assert found == [s for s in range(50, 0, -1) if s % 3 and s != 49]
    assert await newest(provisioned, QUARANTINE, ["quarantine.none"], 10) == []
    assert await newest(provisioned, streams.DEAD, ["dead.>"], 10) == []
    info = await provisioned.jetstream().stream_info(QUARANTINE.name)
    assert info.state.consumer_count == 0
