import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel

from flyball_kit import connect, service, settle
from flyball_kit.connect import client_of, follow
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.settings import KitSettings
from flyball_kit.settle import Retry
from flyball_proto import headers, streams, subjects
from flyball_proto.commands import Failure, Reply

pytestmark = pytest.mark.broker

QUICK = Retry(deliveries=3, first_s=0.01)
EVENT = "model.p.trained"


class Body(BaseModel):
    n: int


class ConflictError(PermanentError):
    kind = "conflict"


@asynccontextmanager
async def started(broker: NatsBroker) -> AsyncIterator[None]:
    await broker.start()
    await service._subscribed(client_of(broker))
    try:
        yield
    finally:
        await broker.stop()


class Handler:
    """Fails as told and counts how often it was asked."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls, self.succeeded = list(failures), 0, asyncio.Event()

    def __call__(self) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        self.succeeded.set()


def broker_with(handler: Handler, settings: KitSettings, durable: str) -> NatsBroker:
    broker = connect.broker(settings, "registry", QUICK)

    @broker.subscriber(EVENT, **follow("registry", streams.EVENTS, durable))
    async def on_event(body: Body) -> None:
        handler()

    return broker


async def letter(client: Client) -> Msg:
    sub = await client.jetstream().subscribe(subjects.dead("registry"))
    return await sub.next_msg(10)


async def letters(client: Client) -> int:
    return (await client.jetstream().stream_info("DEAD")).state.messages


async def settled(client: Client, durable: str, sequence: int) -> None:
    """Wait until the consumer has done with everything up to `sequence`."""
    async with asyncio.timeout(10):
        while True:
            info = await client.jetstream().consumer_info("EVENTS", durable)
            if info.ack_floor and info.ack_floor.stream_seq >= sequence:
                return


@pytest.mark.parametrize(
    ("failures", "calls", "dead"),
    [
        ([], 1, 0),
        ([PermanentError("poison")], 1, 1),
        ([OSError("down")], 2, 0),
        ([TransientError("later", delay_s=0.01)], 2, 0),
        ([OSError("down")] * 3, 3, 1),
    ],
    ids=["good", "poison", "a hiccup", "asks for a delay", "never succeeds"],
)
async def test_how_often_a_message_is_delivered_and_whether_it_ends_as_a_dead_letter(
    provisioned: Client,
    kit_settings: KitSettings,
    unique: str,
    failures: list[Exception],
    calls: int,
    dead: int,
) -> None:
    handler = Handler(*failures)
    async with started(broker_with(handler, kit_settings, unique)):
        ack = await provisioned.jetstream().publish(EVENT, b'{"n": 1}')
        await settled(provisioned, unique, ack.seq)
    assert (handler.calls, await letters(provisioned)) == (calls, dead)


async def test_a_dead_letter_keeps_payload_and_headers_and_says_where_from_and_why(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    payload = b'\x20{ "n":  1 }\n'
    async with started(broker_with(Handler(PermanentError("bad\nnews")), kit_settings, unique)):
        await provisioned.jetstream().publish(EVENT, payload, headers={"Colour": "red"})
        found = await letter(provisioned)
    assert found.data == payload
    told = found.headers or {}
    assert told["Colour"] == "red"
    assert told[headers.ORIGINAL_SUBJECT] == EVENT
    assert told[headers.ORIGINAL_SEQUENCE] == "1"
    assert told[headers.ERROR] == "PermanentError: bad news"


@pytest.mark.parametrize("payload", [b"{broken", b'{"n": "x"}', b"\xff\xfe", b""])
async def test_a_body_that_cannot_be_read_is_a_dead_letter_at_once(
    provisioned: Client, kit_settings: KitSettings, unique: str, payload: bytes
) -> None:
    handler = Handler()
    async with started(broker_with(handler, kit_settings, unique)):
        kind = {"content-type": "application/json"}
        await provisioned.jetstream().publish(EVENT, payload, headers=kind)
        found = await letter(provisioned)
    assert (found.data, handler.calls) == (payload, 0)


async def test_a_message_is_not_given_up_while_its_dead_letter_cannot_be_stored(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    js = provisioned.jetstream()
    config = (await js.stream_info("DEAD")).config
    await js.delete_stream("DEAD")
    handler = Handler(*[PermanentError("poison")] * 100)
    async with started(broker_with(handler, kit_settings, unique)):
        await js.publish(EVENT, b'{"n": 1}')
        async with asyncio.timeout(10):
            while handler.calls < 2:
                await provisioned.flush()
        await js.add_stream(config)
        assert (await letter(provisioned)).data == b'{"n": 1}'


async def test_a_retried_message_holds_back_those_behind_it(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    broker = connect.broker(kit_settings, "registry", QUICK)
    seen: list[int] = []
    done = asyncio.Event()

    @broker.subscriber(EVENT, **follow("registry", streams.EVENTS, unique))
    async def on_event(body: Body) -> None:
        seen.append(body.n)
        if seen == [1]:
            raise OSError("down")
        if body.n == 3:
            done.set()

    async with started(broker), asyncio.timeout(10):
        for n in (1, 2, 3):
            await provisioned.jetstream().publish(EVENT, b'{"n": %d}' % n)
        await done.wait()
    assert seen == [1, 1, 2, 3]


async def test_a_long_handler_keeps_its_message(
    provisioned: Client, kit_settings: KitSettings, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A handler that takes three times as long as the broker waits for a sign of life.
    monkeypatch.setattr(connect, "ACK_WAIT_S", 0.5)
    monkeypatch.setattr(settle, "HEARTBEAT_S", 0.1)
    calls = 0

    def instance() -> NatsBroker:
        broker = connect.broker(kit_settings, "registry", QUICK)

        @broker.subscriber(EVENT, **follow("registry", streams.EVENTS, unique, in_order=False))
        async def on_event(body: Body) -> None:
            nonlocal calls
            calls += 1
            await asyncio.sleep(1.5)

        return broker

    # The second instance would be given the message of the first.
    async with started(instance()), started(instance()):
        ack = await provisioned.jetstream().publish(EVENT, b'{"n": 1}')
        await settled(provisioned, unique, ack.seq)
    assert calls == 1


def commands(settings: KitSettings, service: str) -> NatsBroker:
    broker = connect.broker(settings, service)

    @broker.subscriber(subjects.command(service, "apply"))
    async def on_apply(body: Body) -> Reply:
        if body.n == 1:
            raise ConflictError("revision 3, not 2")
        if body.n == 2:
            raise OSError("S3 is away")
        return Reply(ok=True)

    return broker


@pytest.mark.parametrize(
    ("payload", "reply"),
    [
        (b'{"n": 0}', Reply(ok=True)),
        (b'{"n": 1}', Reply(ok=False, error=Failure(kind="conflict", message="revision 3, not 2"))),
        (b'{"n": 2}', Reply(ok=False, error=Failure(kind="internal", message="S3 is away"))),
    ],
)
async def test_a_command_is_answered_once_with_what_was_done_or_why_not(
    connection: Client, kit_settings: KitSettings, unique: str, payload: bytes, reply: Reply
) -> None:
    async with started(commands(kit_settings, unique)):
        answer = await connection.request(subjects.command(unique, "apply"), payload, timeout=5)
    assert Reply.model_validate_json(answer.data) == reply


@pytest.mark.parametrize("payload", [b'{"n": "x"}', b"{broken"])
async def test_a_command_that_cannot_be_read_is_answered_too(
    connection: Client, kit_settings: KitSettings, unique: str, payload: bytes
) -> None:
    kind = {"content-type": "application/json"}
    async with started(commands(kit_settings, unique)):
        answer = await connection.request(
            subjects.command(unique, "apply"), payload, timeout=5, headers=kind
        )
    found = Reply.model_validate_json(answer.data)
    assert not found.ok
    assert found.error is not None
    assert found.error.message
