"""What replay stands on: an outbox that keeps order, a tail that never ends, marks that name who
is late; against a real server that dies."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StreamConfig
from tests.conftest import started
from tests.unit.test_audit_ledger import verdicts

from flyball_local.embedded.engines import NatsEngine
from flyball_local.playing import outbox as outbox_module
from flyball_local.playing.marks import Marks, MarkTimeoutError, late_stages, mark_report
from flyball_local.playing.outbox import Outbox, PublishRefusedError
from flyball_local.showing.tail import follow
from flyball_proto import subjects
from flyball_proto.columns import Flow, Mark, encode_verdicts
from flyball_proto.headers import MARK

pytestmark = pytest.mark.broker


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[NatsEngine]:
    """A server of one's own, to be killed."""
    found = NatsEngine(tmp_path / "nats")
    with started(found):
        yield found


async def connected(engine: NatsEngine) -> Client:
    async def quiet(_: Exception) -> None:
        """The server is killed on purpose."""

    return await nats.connect(
        engine.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet
    )


async def stored(client: Client, stream: str, count: int) -> list[bytes]:
    async with aclosing(follow(client, stream, ">", 0)) as messages:
        return [(await anext(messages)).data for _ in range(count)]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
async def test_what_is_put_is_stored_once_though_the_broker_dies(
    engine: NatsEngine, ordered: bool
) -> None:
    client = await connected(engine)
    await client.jetstream().add_stream(StreamConfig(name="S", subjects=["s.>"]))
    sent = [b"%d" % i for i in range(600)]
    async with Outbox(client, "run", in_flight=50, ordered=ordered) as outbox:
        for i, data in enumerate(sent):
            if i in (100, 350):
                engine.kill()
                await asyncio.to_thread(engine.start)
            await outbox.put("s.x", data)
        await outbox.drain()
        assert outbox.stored == len(sent)
        assert outbox.last_sequence == len(sent)
    found = await stored(client, "S", len(sent))
    assert found == sent if ordered else sorted(found) == sorted(sent)
    assert (await client.jetstream().stream_info("S")).state.messages == len(sent)
    await client.close()


async def test_a_full_stream_is_waited_for_and_a_refused_message_is_not(
    connection: Client, unique: str
) -> None:
    js = connection.jetstream()
    config = StreamConfig(
        name=unique, subjects=[f"{unique}.>"], max_msgs=3, discard=DiscardPolicy.NEW
    )
    await js.add_stream(config)
    async with Outbox(connection, unique) as outbox:
        for i in range(3):
            await outbox.put(f"{unique}.x", b"%d" % i)
        await outbox.drain()
        await outbox.put(f"{unique}.x", b"3")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(outbox.drain(), 0.2)
        await js.purge_stream(unique)
        await outbox.drain()
        assert outbox.stored == 4
    await js.update_stream(StreamConfig(name=unique, subjects=[f"{unique}.>"], max_msg_size=8))
    async with Outbox(connection, f"{unique}-2") as outbox:
        await outbox.put(f"{unique}.x", b"far too long for it")
        with pytest.raises(PublishRefusedError, match=f"{unique}.x"):
            await outbox.drain()
    await js.delete_stream(unique)


async def test_silence_ends_in_a_sentence(
    connection: Client, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "GIVE_UP_S", 0.2)
    monkeypatch.setattr(outbox_module, "ACK_TIMEOUT_S", 0.1)
    async with Outbox(connection, unique) as outbox:
        await outbox.put(f"{unique}.nobody", b"x")
        with pytest.raises(PublishRefusedError, match="may this user publish there"):
            await outbox.drain()


async def test_a_tail_goes_on_where_it_was_when_its_consumer_and_the_broker_die(
    engine: NatsEngine,
) -> None:
    client = await connected(engine)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    found: list[bytes] = []
    async with aclosing(follow(client, "S", "s.>", 0)) as messages:
        for i in range(6):
            if i == 2:
                for consumer in await js.consumers_info("S"):
                    await js.delete_consumer("S", consumer.name)
            if i == 4:
                engine.kill()
                await asyncio.to_thread(engine.start)
                await client.flush(10)
            await js.publish("s.x", b"%d" % i)
            found.append((await anext(messages)).data)
    assert found == [b"%d" % i for i in range(6)]
    await client.close()


def marked(mark: str) -> bytes:
    batch = verdicts()
    flow = Flow(mark=Mark(mark, 1))
    object.__setattr__(batch, "flow", flow)
    return encode_verdicts(batch)


async def test_a_mark_is_waited_for_in_every_partition(provisioned: Client) -> None:
    js = provisioned.jetstream()
    marks = Marks(provisioned, "p", 2, 0)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(marks.watch())
        waiting = tasks.create_task(marks.wait("m-1", timeout_s=10))
        await js.publish(subjects.verdicts("p", 0), marked("m-1"))
        await js.publish(subjects.verdicts("p", 1), b"")
        with pytest.raises(MarkTimeoutError, match=r"m-1 .* partition\(s\) 1"):
            await marks.wait("m-1", timeout_s=0.3)
        await js.publish(subjects.verdicts("p", 1), marked("m-1"))
        await waiting
        watching.cancel()


async def test_the_stage_that_holds_a_mark_back_is_named(provisioned: Client) -> None:
    late = MarkTimeoutError("m-1", "p", [0, 1], 60)
    js = provisioned.jetstream()
    for partition, passed in ((0, ("features.p.d.0",)), (1, ("features.p.d.1", "decisions.p.1"))):
        for subject in passed:
            await js.publish(subject, b"x", headers={MARK: late.mark})
        assert partition in late.partitions
    words = await late_stages(provisioned, "p", "d", late)
    assert words == (
        "inference has not passed it in partition 0; risk has not passed it in partition 1"
    )


def test_a_mark_is_what_ingest_reads() -> None:
    assert mark_report("m-1", 5) == b'{"id": "m-1", "time_ms": 5}'
