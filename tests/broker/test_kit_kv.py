import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from pydantic import BaseModel

from flyball_kit.errors import TransientError
from flyball_kit.kv import Change, Kv, LostRaceError, UnreadableRecordError
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams
from flyball_proto.streams import Bucket

pytestmark = pytest.mark.broker


class Seat(BaseModel):
    model: str
    epoch: int = 0


@pytest.fixture
async def seats(provisioned: Client) -> Kv[Seat]:
    return Kv(lambda: provisioned, streams.DEPLOYMENTS, Seat)


async def take(changes: AsyncIterator[Change[Seat]], count: int) -> list[Change[Seat]]:
    async with asyncio.timeout(15):
        return [await anext(changes) for _ in range(count)]


async def test_what_is_saved_is_loaded_with_its_revision(seats: Kv[Seat]) -> None:
    assert await seats.load("a") == (None, 0)
    revision = await seats.save("a", Seat(model="m"), revision=0)
    assert await seats.load("a") == (Seat(model="m"), revision)


async def test_of_two_writers_that_read_the_same_revision_one_loses(seats: Kv[Seat]) -> None:
    await seats.save("a", Seat(model="first"), revision=0)
    with pytest.raises(LostRaceError, match="a: changed since revision 0"):
        await seats.save("a", Seat(model="second"), revision=0)
    assert (await seats.load("a"))[0] == Seat(model="first")


async def test_of_twenty_concurrent_increments_none_is_lost(seats: Kv[Seat]) -> None:
    async def increment() -> None:
        while True:
            seat, revision = await seats.load("a")
            after = Seat(model="m", epoch=seat.epoch + 1 if seat else 1)
            try:
                await seats.save("a", after, revision=revision)
            except LostRaceError:
                continue
            return

    async with asyncio.timeout(15):
        await asyncio.gather(*(increment() for _ in range(20)))
    assert (await seats.load("a"))[0] == Seat(model="m", epoch=20)


async def test_a_deleted_key_is_absent_and_can_be_written_again(seats: Kv[Seat]) -> None:
    revision = await seats.save("a", Seat(model="m"), revision=0)
    gone = await seats.delete("a", revision=revision)
    assert await seats.load("a") == (None, gone)
    assert await seats.items() == {}
    await seats.save("a", Seat(model="n"), revision=gone)
    assert (await seats.load("a"))[0] == Seat(model="n")


async def test_items_gives_whole_tokens_under_a_prefix(seats: Kv[Seat]) -> None:
    for key in ("source.ran", "pipeline.ran", "source.rans"):
        await seats.save(key, Seat(model=key), revision=0)
    assert {k: v.model for k, (v, _) in (await seats.items("source.")).items()} == {
        "source.ran": "source.ran",
        "source.rans": "source.rans",
    }
    assert set(await seats.items("source.ran")) == {"source.ran"}


async def test_items_of_an_empty_bucket_are_none(seats: Kv[Seat]) -> None:
    async with asyncio.timeout(1.0):
        assert await seats.items() == {}


async def test_items_reads_more_keys_than_one_batch(seats: Kv[Seat]) -> None:
    for number in range(250):
        await seats.save(f"k{number}", Seat(model="m", epoch=number), revision=0)
    found = await seats.items()
    assert sorted(v.epoch for v, _ in found.values()) == list(range(250))


async def test_a_watch_shows_what_is_there_and_then_every_change(seats: Kv[Seat]) -> None:
    first = await seats.save("a", Seat(model="m"), revision=0)
    synced: list[str] = []
    async with aclosing(seats.watch(synced=lambda: synced.append("yes"))) as watch:
        assert await take(watch, 1) == [Change("a", Seat(model="m"), first)]
        second = await seats.save("a", Seat(model="n"), revision=first)
        third = await seats.delete("a", revision=second)
        assert await take(watch, 2) == [
            Change("a", Seat(model="n"), second),
            Change("a", None, third),
        ]
    assert synced == ["yes"]


async def test_a_value_of_another_version_is_skipped_by_a_watch_and_refused_by_load(
    seats: Kv[Seat], provisioned: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await provisioned.jetstream().publish("$KV.deployments.bad", b'{"other": 1}')
    good = await seats.save("good", Seat(model="m"), revision=0)
    async with aclosing(seats.watch()) as watch:
        assert await take(watch, 1) == [Change("good", Seat(model="m"), good)]
    assert "deployments/bad" in caplog.text
    with pytest.raises(UnreadableRecordError, match="deployments/bad revision 1"):
        await seats.load("bad")


async def test_a_watch_survives_its_consumer_being_deleted(
    seats: Kv[Seat], provisioned: Client
) -> None:
    js = provisioned.jetstream()
    first = await seats.save("a", Seat(model="m"), revision=0)
    async with aclosing(seats.watch()) as watch:
        assert len(await take(watch, 1)) == 1
        for consumer in await js.consumers_info("KV_deployments"):
            await js.delete_consumer("KV_deployments", consumer.name)
        second = await seats.save("a", Seat(model="n"), revision=first)
        assert await take(watch, 1) == [Change("a", Seat(model="n"), second)]


async def test_a_watch_survives_the_broker_being_killed(tmp_path: Path) -> None:
    engine = NatsEngine(tmp_path)
    engine.start()
    client = await nats.connect(
        engine.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=_quiet
    )
    try:
        await provision_streams(client)
        seats: Kv[Seat] = Kv(lambda: client, streams.DEPLOYMENTS, Seat)
        first = await seats.save("a", Seat(model="m"), revision=0)
        kept = await seats.save("b", Seat(model="kept"), revision=0)
        async with aclosing(seats.watch()) as watch:
            assert len(await take(watch, 2)) == 2
            engine.kill()
            engine.start()
            second = await save_when_back(seats, "a", Seat(model="n"), first)
            # What had been shown is not shown again: the very next change is the new one.
            assert await take(watch, 1) == [Change("a", Seat(model="n"), second)]
            assert (await seats.load("b"))[1] == kept
    finally:
        await client.close()
        engine.stop()


async def test_no_answer_from_the_broker_is_a_transient_error(connection: Client) -> None:
    absent: Kv[Seat] = Kv(lambda: connection, Bucket("absent-bucket", 1 << 20), Seat)
    with pytest.raises(TransientError, match="bucket absent-bucket"):
        await absent.save("a", Seat(model="m"), revision=0)


async def save_when_back(seats: Kv[Seat], key: str, value: Seat, revision: int) -> int:
    async with asyncio.timeout(15):
        while True:
            try:
                return await seats.save(key, value, revision=revision)
            except LostRaceError:
                return (await seats.load(key))[1]  # an earlier try was stored after all
            except TransientError:
                continue


async def _quiet(error: Exception) -> None:
    """Reconnecting is the point of the test."""
