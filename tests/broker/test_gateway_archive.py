"""The archive: every entry once in S3, nothing purged before, and what is given up is said."""

import asyncio
import io

import pyarrow.parquet as pq
import pytest
from nats.aio.client import Client
from tests.unit.risk_rows import Row, judged

from flyball_gateway.archiving.archive import PREFIX, READER, Archive, withdraw
from flyball_kit.acts import Acts
from flyball_kit.errors import TransientError
from flyball_kit.fold.positions import find, purge_behind
from flyball_kit.objects import Objects
from flyball_kit.segments import Entry, Name, read
from flyball_kit.settings import KitSettings
from flyball_proto import streams
from flyball_proto.acts import Act
from flyball_proto.chains import Place, beginning
from flyball_proto.columns import encode_verdicts
from flyball_proto.headers import CHAIN

pytestmark = pytest.mark.broker
MAX_BYTES = 16 << 20


class Judge:
    """Writes verdicts as risk does."""

    def __init__(self, client: Client, subject: str) -> None:
        self.client, self.subject, self.place = client, subject, beginning(subject)
        self.minute = 0

    async def judge(self, count: int, rows: int = 3) -> list[bytes]:
        written = []
        for _ in range(count):
            self.minute += 1
            made = [Row(f"cell-{i}", self.minute * 60_000, 0.9) for i in range(rows)]
            data = encode_verdicts(judged(made))
            self.place = self.place.then(data)
            await self.client.jetstream().publish(
                self.subject, data, headers={CHAIN: self.place.text}
            )
            written.append(data)
        headers = {CHAIN: self.place.text, "Flyball-Position": "1 1 0 0 x"}
        await self.client.jetstream().publish(self.subject, b"", headers=headers)  # a keepalive
        return written


def archive(client: Client, objects: Objects, keep_days: int = 30) -> Archive:
    return Archive(
        streams.VERDICTS,
        lambda: client,
        objects,
        Acts(lambda: client, "gateway"),
        every_s=0.0,
        keep_days=keep_days,
    )


async def archived(objects: Objects, subject: str) -> list[Entry]:
    found: list[Entry] = []
    for key in await objects.keys(f"{PREFIX}VERDICTS/{subject}/", 1000):
        if key.endswith(".jsonl"):
            found += read(await objects.get(key, MAX_BYTES), key)
    return found


def unreachable(settings: KitSettings) -> Objects:
    return Objects(settings.model_copy(update={"s3_endpoint": "127.0.0.1:1"}))


async def test_every_output_is_archived_once_as_it_was_stored_and_as_rows(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    objects, judges = (
        Objects(kit_settings),
        [Judge(provisioned, f"verdicts.{unique}.{p}") for p in (0, 1)],
    )
    written = [await judge.judge(4) for judge in judges]
    running = archive(provisioned, objects)
    assert await running.step()
    assert not await running.step()  # nothing new
    written[0] += await judges[0].judge(2)
    assert await archive(provisioned, objects).step()  # another one goes on
    for judge, data in zip(judges, written, strict=True):
        found = await archived(objects, judge.subject)
        assert [entry.data for entry in found] == data
        place = beginning(judge.subject)
        for entry in found:
            place = place.then(entry.data)
            assert Place.parse(entry.headers[CHAIN]) == place
    rows = [
        pq.read_table(io.BytesIO(await objects.get(key, MAX_BYTES)))
        for key in await objects.keys(f"{PREFIX}VERDICTS/verdicts.{unique}.0/", 100)
        if key.endswith(".parquet")
    ]
    assert [table.num_rows for table in rows] == [12, 6]
    assert rows[1].column("number").to_pylist() == [5, 5, 5, 6, 6, 6]
    assert set(rows[0].column("element").to_pylist()) == {"cell-0", "cell-1", "cell-2"}


async def test_while_s3_is_away_nothing_is_purged_and_the_same_files_are_written_later(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    judge = Judge(provisioned, f"verdicts.{unique}.0")
    written = await judge.judge(5)
    away = archive(provisioned, unreachable(kit_settings))
    with pytest.raises(TransientError):
        await away.step()  # it planned, and died over it
    assert not await away.give_way()  # there is room
    written += await judge.judge(2)
    js = provisioned.jetstream()
    assert await purge_behind(js, "VERDICTS", judge.subject, keep_bytes=0) == 0
    objects = Objects(kit_settings)
    again = archive(provisioned, objects)
    assert await again.step()
    assert await again.step()
    assert [entry.data for entry in await archived(objects, judge.subject)] == written
    names = [Name.parse(key.removeprefix(PREFIX)) for key in await objects.keys(PREFIX, 1000)]
    own = [n for n in names if n and n.subject == judge.subject]
    assert sorted({(n.first, n.last) for n in own}) == [(1, 5), (7, 8)]  # the planned, and the rest
    assert await purge_behind(js, "VERDICTS", judge.subject, keep_bytes=0) > 0


async def test_before_verdicts_is_full_the_archive_goes_without_and_says_what(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    js, judge = provisioned.jetstream(), Judge(provisioned, f"verdicts.{unique}.0")
    config = (await js.stream_info("VERDICTS")).config
    config.max_bytes = 100_000
    await js.update_stream(config)
    away = archive(provisioned, unreachable(kit_settings))
    while (await js.stream_info("VERDICTS")).state.bytes < 0.8 * 100_000:
        await judge.judge(2, rows=40)
    with pytest.raises(TransientError):
        await away.step()
    assert await away.give_way()
    acts = await js.get_last_msg("AUDIT", "audit.gateway")
    gap = Act.model_validate_json(acts.data or b"").gap
    assert gap is not None
    assert (gap.subject, gap.first) == (judge.subject, 1)
    assert 0 < gap.last <= judge.place.number
    assert await purge_behind(js, "VERDICTS", judge.subject, keep_bytes=0) > 0
    written = await judge.judge(1)
    objects = Objects(kit_settings)
    assert await archive(provisioned, objects).step()
    found = await archived(objects, judge.subject)
    assert [entry.data for entry in found][-1:] == written
    if gap.last < judge.place.number - 1:
        assert Place.parse(found[0].headers[CHAIN]).number == gap.last + 1


async def test_without_any_gateway_a_nearly_full_stream_is_purged_and_the_gap_told_later(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    js, judge = provisioned.jetstream(), Judge(provisioned, f"verdicts.{unique}.0")
    config = (await js.stream_info("VERDICTS")).config
    config.max_bytes = 100_000
    await js.update_stream(config)
    objects = Objects(kit_settings)
    await judge.judge(1)
    assert await archive(provisioned, objects).step()
    while (await js.stream_info("VERDICTS")).state.bytes < 0.85 * 100_000:
        await judge.judge(1, rows=40)
    assert await purge_behind(js, "VERDICTS", judge.subject, keep_bytes=0) <= 2  # what is archived
    while (await js.stream_info("VERDICTS")).state.bytes < 0.9 * 100_000:
        await judge.judge(1, rows=40)
    assert await purge_behind(js, "VERDICTS", judge.subject, keep_bytes=0) > 0
    assert 0.6 * 100_000 < (await js.stream_info("VERDICTS")).state.bytes < 0.8 * 100_000
    assert await archive(provisioned, objects).step()
    acts = await js.get_last_msg("AUDIT", "audit.gateway")
    gap = Act.model_validate_json(acts.data or b"").gap
    assert gap is not None
    assert (gap.subject, gap.first) == (judge.subject, 2)


async def test_a_small_stream_is_archived_long_before_it_is_full(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    js, judge = provisioned.jetstream(), Judge(provisioned, f"verdicts.{unique}.0")
    config = (await js.stream_info("VERDICTS")).config
    config.max_bytes = 200_000
    await js.update_stream(config)
    patient = Archive(
        streams.VERDICTS,
        lambda: provisioned,
        Objects(kit_settings),
        Acts(lambda: provisioned, "gateway"),
        every_s=600.0,
        keep_days=30,
    )
    await judge.judge(1)
    assert not await patient.step()
    while (await js.stream_info("VERDICTS")).state.bytes < 0.2 * 200_000:
        await judge.judge(1, rows=40)
    assert await patient.step()


async def test_two_gateways_write_no_entry_twice(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    judge, objects = Judge(provisioned, f"verdicts.{unique}.0"), Objects(kit_settings)
    written = await judge.judge(3)
    rivals = [archive(provisioned, objects) for _ in range(3)]
    running = [asyncio.create_task(rival.forever()) for rival in rivals]
    for _ in range(5):
        written += await judge.judge(2)
    while len(await archived(objects, judge.subject)) < len(written):
        await asyncio.sleep(0.05)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert [entry.data for entry in await archived(objects, judge.subject)] == written
    assert [rival.problem for rival in rivals] == [None, None, None]


async def test_files_older_than_they_are_kept_are_removed(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    judge, objects = Judge(provisioned, f"verdicts.{unique}.0"), Objects(kit_settings)
    await judge.judge(1)
    running = archive(provisioned, objects, keep_days=0)
    assert await running.step()
    assert await archive(provisioned, objects, keep_days=1).sweep() == 0
    assert await running.sweep() >= 2
    assert await archived(objects, judge.subject) == []


async def test_an_archive_that_is_switched_off_holds_nothing_back(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    judge = Judge(provisioned, f"verdicts.{unique}.0")
    await judge.judge(2)
    await archive(provisioned, Objects(kit_settings)).step()
    js = provisioned.jetstream()
    assert await find(js, "VERDICTS", READER) is not None
    await withdraw(lambda: provisioned)
    assert await find(js, "VERDICTS", READER) is None
