"""Who may say and hear what, tried cell by cell against a real server with the real configuration.

The tables below are written by hand and say what we want, not what `flyball_proto.roles` says.
`stack` may everything and is left out of them; an `-` means that nobody else may.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import nkeys
import pytest
from nats.aio.client import Client

from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_proto.roles import ROLES, inbox_prefix

pytestmark = pytest.mark.broker

ELEMENT_A, ELEMENT_B = "element.ran.a", "element.ran.b"
EVERYBODY = frozenset(ROLES) - {"stack"} | {ELEMENT_A, ELEMENT_B}
SERVICES = frozenset({"ingest", "inference", "risk", "trainer", "registry", "deployer", "gateway"})

MAY_PUBLISH = {
    # the data plane
    "metrics.ran.a": "gateway adapter element.ran.a",
    "metrics.ran.b": "gateway adapter element.ran.b",
    "metrics.other.a": "gateway adapter",
    "metrics.ran.0.a": "-",
    "metrics.ran.0._mark": "adapter",
    "labels.congestion.a": "gateway adapter element.ran.a",
    "labels.congestion.b": "gateway adapter element.ran.b",
    "labels.congestion.0.a": "-",
    "outcomes.congestion.a": "gateway adapter element.ran.a",
    "outcomes.congestion.b": "gateway adapter element.ran.b",
    "quarantine._outcomes.congestion": "ingest risk",
    "features.congestion.0a1b2c3d.0": "ingest",
    "samples.congestion.0a1b2c3d.0": "ingest",
    "quarantine.ran": "ingest",
    "quarantine._labels.congestion.0": "ingest",
    "quarantine._unread.congestion.0": "ingest",
    "decisions.congestion.0": "inference",
    "decisions.congestion.0.answers": "inference risk",
    "verdicts.congestion.0": "risk",
    "actions.congestion.a": "risk",
    # events, audit, dead letters, commands
    "model.congestion.trained": "trainer",
    "model.congestion.training-failed": "trainer",
    "model.congestion.admitted": "registry",
    "model.congestion.refused": "registry",
    "model.congestion.scored": "registry",
    "evaluation.congestion.reached": "registry",
    "drift.congestion.detected": "registry",
    "deployment.congestion.activated": "deployer",
    "risk.congestion.tripped": "risk",
    "pipeline.congestion.applied": "gateway",
    "runtime.ingest.input-lost": " ".join(SERVICES),
    **{f"audit.{name}": name for name in SERVICES},
    **{f"dead.{name}": name for name in SERVICES},
    **{f"pulse.{name}": name for name in SERVICES},
    "cmd.risk.stop": "gateway operator",
    "cmd.risk.answer-holds": "gateway operator",
    "cmd.risk.withdraw-approvals": "gateway operator",
    "cmd.risk.answer-review": "gateway operator",
    "cmd.trainer.reproduce": "gateway operator",
    "cmd.gateway.apply": "gateway operator",
    # key-value buckets
    "$KV.pipelines.pipeline.congestion": "gateway",
    "$KV.elements.ran.a": "gateway",
    "$KV.models.congestion.1": "registry",
    "$KV.scoreboard.congestion": "registry",
    "$KV.deployments.congestion": "deployer",
    "$KV.calibration.congestion": "risk",
    "$KV.holds.1": "risk",
    "$KV.contexts.1": "risk",
    "$KV.reviews.1": "risk",
    "$KV.stops.congestion": "risk",
    "$KV.progress.congestion.recent": "trainer",
    "$KV.standings.congestion": "registry",
    "$KV.access.token.1": "gateway",
    "$KV.positions.x": " ".join(SERVICES),
    # reading streams
    "$JS.API.STREAM.MSG.GET.METRICS": "ingest auditor",
    "$JS.API.DIRECT.GET.METRICS": "ingest auditor",
    "$JS.API.DIRECT.GET.METRICS.metrics.ran.0.a": "ingest auditor",
    "$JS.API.CONSUMER.CREATE.METRICS": "ingest auditor",
    "$JS.API.CONSUMER.CREATE.METRICS.x.metrics.>": "ingest auditor",
    "$JS.API.CONSUMER.DURABLE.CREATE.METRICS.x": "ingest auditor",
    "$JS.API.CONSUMER.MSG.NEXT.METRICS.x": "ingest auditor",
    "$JS.API.CONSUMER.CREATE.QUARANTINE.x": "ingest",
    "$JS.API.CONSUMER.MSG.NEXT.KV_access.x": "gateway",
    "$JS.API.DIRECT.GET.KV_access.$KV.access.token.1": "gateway",
    "$JS.API.CONSUMER.MSG.NEXT.KV_holds.x": "risk gateway operator",
    "$JS.API.CONSUMER.MSG.NEXT.KV_contexts.x": "risk gateway operator",
    "$JS.API.CONSUMER.MSG.NEXT.KV_reviews.x": "risk gateway operator",
    "$JS.API.CONSUMER.MSG.NEXT.FEATURES.x": "ingest inference operator",
    "$JS.API.CONSUMER.MSG.NEXT.SAMPLES.x": "ingest risk trainer registry operator",
    "$JS.API.CONSUMER.MSG.NEXT.DECISIONS.x": "risk gateway operator",
    "$JS.API.CONSUMER.MSG.NEXT.VERDICTS.x": "ingest risk gateway operator adapter auditor",
    "$JS.API.CONSUMER.MSG.NEXT.ACTIONS.x": "gateway operator auditor",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.x": (
        "trainer registry deployer inference gateway operator adapter auditor"
    ),
    "$JS.API.CONSUMER.MSG.NEXT.AUDIT.x": "gateway operator",
    "$JS.API.STREAM.MSG.GET.AUDIT": (
        "ingest inference risk trainer registry deployer gateway operator"  # to chain behind its last
    ),
    "$JS.API.CONSUMER.MSG.NEXT.DEAD.x": "gateway operator",
    # administration
    "$JS.API.STREAM.PURGE.METRICS": "ingest",
    "$JS.API.STREAM.PURGE.VERDICTS": "risk",
    "$JS.API.STREAM.PURGE.DECISIONS": "inference risk",
    "$JS.API.STREAM.PURGE.KV_access": "gateway",
    "$JS.API.STREAM.PURGE.KV_holds": "risk",
    "$JS.API.STREAM.PURGE.KV_contexts": "risk",
    "$JS.API.STREAM.PURGE.KV_reviews": "risk",
    "$JS.API.STREAM.PURGE.AUDIT": "-",
    "$JS.API.STREAM.PURGE.EVENTS": "-",
    "$JS.API.STREAM.CREATE.MINE": "-",
    "$JS.API.STREAM.UPDATE.METRICS": "-",
    "$JS.API.STREAM.DELETE.METRICS": "-",
    "$JS.API.STREAM.DELETE.KV_holds": "-",
    "$JS.API.STREAM.MSG.DELETE.AUDIT": "-",
    "$JS.API.STREAM.LIST": "-",
    "$JS.API.STREAM.NAMES": "-",
    "$JS.API.STREAM.SNAPSHOT.METRICS": "-",
    "$JS.API.STREAM.RESTORE.METRICS": "-",
    "$JS.API.ACCOUNT.PURGE.X": "-",
    "$SYS.REQ.SERVER.PING": "-",
    # forged answers
    "_INBOX.gateway.x": "-",
    "_INBOX.element_ran_a.x": "-",
    "something.else": "-",
}

MAY_SUBSCRIBE = {
    ">": "-",
    "*.*.*": "-",
    "metrics.>": "-",
    "metrics.ran.a": "-",
    "labels.>": "-",
    "outcomes.>": "-",
    "features.>": "-",
    "decisions.>": "-",
    "verdicts.>": "-",
    "quarantine.>": "-",
    "actions.>": "operator adapter",
    "actions.*.a": "operator adapter element.ran.a",
    "actions.congestion.a": "operator adapter element.ran.a",
    "actions.*.b": "operator adapter element.ran.b",
    "actions.*.*": "operator adapter",
    "audit.>": "-",
    "cmd.>": "-",
    **{f"cmd.{name}.>": name for name in SERVICES},
    "runtime.>": "-",
    "runtime.*.settled.deployer": "inference",
    "runtime.*.settled.trainer": "registry",
    "pulse.*": "gateway operator",
    "pulse.risk": "gateway operator",
    "$KV.>": "-",
    "$JS.API.>": "-",
    "$JS.EVENT.>": "-",
    "$SYS.>": "-",
    "_INBOX.>": "-",
    "_INBOX.*.x": "-",
    **{f"{inbox_prefix(name)}.x": name for name in EVERYBODY},
}


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    made = Credentials(tmp_path_factory.mktemp("creds"))
    made.prepare()
    for element in ("a", "b"):
        made.add_element("ran", element)
    return made


@pytest.fixture(scope="module")
def server(
    credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NatsEngine]:
    engine = NatsEngine(
        tmp_path_factory.mktemp("nats"), conf=lambda: NatsConf(users=credentials.users())
    )
    engine.start()
    yield engine
    engine.stop()


class Person:
    """A connected user who notes every refusal."""

    def __init__(self, client: Client, refused: list[str]) -> None:
        self.client = client
        self._refused = refused

    async def may_publish(self, subject: str) -> bool:
        # Without a reply subject: a request that is allowed is dropped by JetStream unanswered.
        await self.client.publish(subject, b"")
        return await self._allowed()

    async def may_subscribe(self, subject: str) -> bool:
        subscription = await self.client.subscribe(subject)
        allowed = await self._allowed()
        await subscription.unsubscribe()
        return allowed

    async def _allowed(self) -> bool:
        # The server answers in order: a refusal arrives before the answer to a ping. Twice, because
        # the client's ping overtakes what it has not written yet.
        await self.client.flush()
        await self.client.flush()
        allowed = not self._refused
        self._refused.clear()
        return allowed


@asynccontextmanager
async def connected(server: NatsEngine, seed: Path, user: str) -> AsyncIterator[Person]:
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            refused.append(str(error))

    client = await nats.connect(
        server.url,
        nkeys_seed=str(seed),
        inbox_prefix=inbox_prefix(user).encode(),
        error_cb=on_error,
        allow_reconnect=False,
    )
    yield Person(client, refused)
    await client.close()


def seed_of(credentials: Credentials, user: str) -> Path:
    if user.startswith("element."):
        _, source, element = user.split(".")
        return credentials.element_seed_file(source, element)
    return credentials.seed_file(user)


async def introduce(server: NatsEngine, seed: Path | None) -> str:
    """Say who one is, and return what the server answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
    connect = {"verbose": False}
    if seed is not None:
        pair = nkeys.from_seed(bytearray(seed.read_bytes()))
        signature = base64.urlsafe_b64encode(pair.sign(info["nonce"].encode())).decode()
        connect |= {"nkey": pair.public_key.decode(), "sig": signature.rstrip("=")}
    writer.write(b"CONNECT " + json.dumps(connect).encode() + b"\r\nPING\r\n")
    answer = (await reader.readline()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


def expected(table: dict[str, str], user: str) -> set[str]:
    return {subject for subject, may in table.items() if user in may.split()}


@pytest.mark.parametrize("user", sorted(EVERYBODY))
async def test_a_user_may_publish_exactly_what_the_table_says(
    user: str, server: NatsEngine, credentials: Credentials
) -> None:
    async with connected(server, seed_of(credentials, user), user) as person:
        allowed = {subject for subject in MAY_PUBLISH if await person.may_publish(subject)}
    assert allowed == expected(MAY_PUBLISH, user)


@pytest.mark.parametrize("user", sorted(EVERYBODY))
async def test_a_user_may_hear_exactly_what_the_table_says(
    user: str, server: NatsEngine, credentials: Credentials
) -> None:
    async with connected(server, seed_of(credentials, user), user) as person:
        allowed = {subject for subject in MAY_SUBSCRIBE if await person.may_subscribe(subject)}
    assert allowed == expected(MAY_SUBSCRIBE, user)


async def test_the_installer_may_everything(server: NatsEngine, credentials: Credentials) -> None:
    async with connected(server, credentials.seed_file("stack"), "stack") as person:
        assert await person.may_publish("$JS.API.STREAM.LIST")
        assert await person.may_subscribe(">")


async def test_the_tables_name_only_users_that_exist() -> None:
    named = {
        name
        for table in (MAY_PUBLISH, MAY_SUBSCRIBE)
        for may in table.values()
        for name in may.split()
    }
    assert named - {"-"} <= EVERYBODY


async def test_a_stranger_is_not_let_in(
    server: NatsEngine, credentials: Credentials, tmp_path: Path
) -> None:
    stranger = Credentials(tmp_path)
    stranger.prepare()
    assert "PONG" in await introduce(server, credentials.seed_file("ingest"))
    for seed in (None, stranger.seed_file("ingest")):
        assert "Authorization Violation" in await introduce(server, seed)


async def test_a_command_is_answered_although_the_service_may_not_write_to_the_inbox(
    server: NatsEngine, credentials: Credentials
) -> None:
    async with (
        connected(server, credentials.seed_file("risk"), "risk") as risk,
        connected(server, credentials.seed_file("operator"), "operator") as operator,
    ):

        async def answer(message: nats.aio.msg.Msg) -> None:
            await message.respond(b"stopped")

        await risk.client.subscribe("cmd.risk.stop", cb=answer)
        await risk.client.flush()
        reply = await operator.client.request("cmd.risk.stop", timeout=5)
        assert reply.data == b"stopped"
        assert not await risk.may_publish(reply.subject)


async def test_an_element_receives_its_own_actions_and_not_its_neighbours(
    server: NatsEngine, credentials: Credentials
) -> None:
    async with (
        connected(server, credentials.seed_file("risk"), "risk") as risk,
        connected(server, credentials.element_seed_file("ran", "a"), ELEMENT_A) as element,
    ):
        mine = await element.client.subscribe("actions.*.a")
        other = await element.client.subscribe("actions.*.b")
        await element.client.flush()
        await risk.client.publish("actions.congestion.b", b"for b")
        await risk.client.publish("actions.congestion.a", b"for a")
        message = await mine.next_msg(timeout=5)
        assert message.data == b"for a"
        assert other.pending_msgs == 0


async def test_a_new_element_is_admitted_without_disturbing_those_connected(
    server: NatsEngine, credentials: Credentials
) -> None:
    async with connected(server, credentials.seed_file("ingest"), "ingest") as ingest:
        seed = credentials.add_element("ran", "new")
        await asyncio.to_thread(server.reload)
        async with connected(server, seed, "element.ran.new") as element:
            assert await element.may_publish("metrics.ran.new")
            assert not await element.may_publish("metrics.ran.a")
        assert await ingest.may_publish("quarantine.ran")
        assert ingest.client.stats["reconnects"] == 0
