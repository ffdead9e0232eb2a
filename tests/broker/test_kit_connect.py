"""The kit under the real table of roles: what a service needs is allowed, what it may not is said."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel
from tests.conftest import started

from flyball_kit import connect
from flyball_kit.connect import ForbiddenError, client_of, connector, follow
from flyball_kit.errors import PermanentError
from flyball_kit.kv import Kv
from flyball_kit.settings import KitSettings
from flyball_kit.telemetry import inject
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams, subjects
from flyball_proto.commands import Reply

pytestmark = pytest.mark.broker

EVENT = "model.p.trained"


class Body(BaseModel):
    n: int


@dataclass
class Secured:
    """A provisioned server that knows the roles and nobody else."""

    engine: NatsEngine
    credentials: Credentials

    def settings(self, role: str) -> KitSettings:
        seed = self.credentials.seed_file(role)
        return KitSettings(nats_url=self.engine.url, nats_seed_file=seed)

    async def connect(self, role: str) -> Client:
        return await connector(self.settings(role), role)("test")


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    credentials = Credentials(tmp_path / "creds")
    credentials.prepare()
    engine = NatsEngine(tmp_path / "nats", conf=lambda: NatsConf(users=credentials.users()))
    with started(engine):
        made = Secured(engine, credentials)
        admin = await made.connect("stack")
        await provision_streams(admin)
        await admin.close()
        yield made


async def test_a_service_can_do_all_that_the_kit_does_within_its_role(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    broker = connect.broker(secured.settings("registry"), "registry")
    models: Kv[Body] = Kv(lambda: client_of(broker), streams.MODELS, Body)
    shown: asyncio.Queue[int] = asyncio.Queue()

    @broker.subscriber(EVENT, **follow("registry", streams.EVENTS, "registry-trained"))
    async def on_trained(body: Body) -> None:
        if body.n == 0:
            raise PermanentError("poison")
        _, revision = await models.load("m")
        await models.save("m", body, revision=revision)

    @broker.subscriber(subjects.command("registry", "status"))
    async def on_status(body: Body) -> Reply:
        return Reply(ok=True)

    async def watch() -> None:
        async for change in models.watch():
            shown.put_nowait(change.value.n if change.value else 0)

    await broker.start()
    watching = asyncio.create_task(watch())
    trainer, operator = await secured.connect("trainer"), await secured.connect("operator")
    try:
        async with asyncio.timeout(20):
            await trainer.jetstream().publish(EVENT, b'{"n": 0}')
            await trainer.jetstream().publish(EVENT, b'{"n": 5}')
            assert await shown.get() == 5
            answer = await operator.request(subjects.command("registry", "status"), b'{"n": 1}')
            assert Reply.model_validate_json(answer.data).ok
            letter = await operator.jetstream().get_last_msg("DEAD", subjects.dead("registry"))
            assert letter.data == b'{"n": 0}'
    finally:
        watching.cancel()
        await trainer.close()
        await operator.close()
        await broker.stop()
    assert "forbids" not in caplog.text


async def test_what_the_broker_forbids_is_an_error_in_the_log(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    client = await secured.connect("inference")
    with caplog.at_level(logging.ERROR):
        await client.publish("actions.p.cell-1", b"off")
        async with asyncio.timeout(5):
            while "the broker forbids it" not in caplog.text:
                await client.flush()
    await client.close()
    assert "actions.p.cell-1" in caplog.text


async def test_a_key_that_the_broker_does_not_know_is_refused_at_once(
    secured: Secured, tmp_path: Path
) -> None:
    stranger = Credentials(tmp_path / "stranger")
    stranger.prepare()
    settings = KitSettings(
        nats_url=secured.engine.url, nats_seed_file=stranger.seed_file("registry")
    )
    async with asyncio.timeout(5):
        with pytest.raises(ForbiddenError, match="FLYBALL_NATS_SEED_FILE"):
            await connector(settings, "registry")("test")


async def test_a_connection_outlives_its_broker(secured: Secured) -> None:
    client = await secured.connect("stack")
    secured.engine.kill()
    secured.engine.start()
    async with asyncio.timeout(15):
        while True:
            # What was asked of the dead broker gets no answer; what is asked of the new one does.
            with suppress(NatsError):
                await client.flush(timeout=0.5)
                break
    await client.close()


async def test_a_handler_continues_the_trace_of_the_message(secured: Secured) -> None:
    broker = connect.broker(secured.settings("registry"), "registry")
    seen: asyncio.Queue[int] = asyncio.Queue()

    @broker.subscriber(EVENT, **follow("registry", streams.EVENTS, "registry-trained"))
    async def on_trained(body: Body) -> None:
        seen.put_nowait(trace.get_current_span().get_span_context().trace_id)

    cause = TracerProvider().get_tracer("test").start_span("cause")
    await broker.start()
    trainer = await secured.connect("trainer")
    try:
        async with asyncio.timeout(10):
            await trainer.jetstream().publish(EVENT, b'{"n": 1}', headers=inject({}, cause))
            assert await seen.get() == cause.get_span_context().trace_id
    finally:
        await trainer.close()
        await broker.stop()


async def test_handlers_go_on_after_the_broker_was_killed(secured: Secured) -> None:
    broker = connect.broker(secured.settings("registry"), "registry")
    seen: asyncio.Queue[int] = asyncio.Queue()

    @broker.subscriber(EVENT, **follow("registry", streams.EVENTS, "registry-trained"))
    async def on_trained(body: Body) -> None:
        seen.put_nowait(body.n)

    @broker.subscriber(subjects.command("registry", "status"))
    async def on_status(body: Body) -> Reply:
        return Reply(ok=True)

    await broker.start()
    trainer = await secured.connect("trainer")
    try:
        async with asyncio.timeout(30):
            await publish(trainer, b'{"n": 1}')
            assert await seen.get() == 1
            secured.engine.kill()
            secured.engine.start()
            await publish(trainer, b'{"n": 2}')
            while await seen.get() != 2:
                """A message whose acknowledgement was lost comes again."""
    finally:
        await trainer.close()
        await broker.stop()


async def publish(client: Client, body: bytes) -> None:
    while True:
        with suppress(NatsError, APIError):
            await client.jetstream().publish(EVENT, body, timeout=0.5)
            return
