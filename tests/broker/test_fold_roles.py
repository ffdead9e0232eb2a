"""The chain of folds as it really runs: each under its own role, on the provisioned streams."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from tests.chaos.foldlab.lab import FAST, Lab, running
from tests.chaos.foldlab.sums import RollingSum, pack, rolling, source_rows, unpack

from flyball_kit.fold import Dispatch, Dispatcher, DispatchOptions, Endpoint, FoldRunner, Input
from flyball_kit.fold.positions import registered
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.provision import provision_streams
from flyball_proto.roles import inbox_prefix

pytestmark = pytest.mark.broker

ROWS = 120
FEATURES = Endpoint("FEATURES", "features.congestion.0a1b2c3d.0")
DECISIONS = Endpoint("DECISIONS", "decisions.congestion.0")
VERDICTS = Endpoint("VERDICTS", "verdicts.congestion.0")
METRICS = Endpoint("METRICS", "metrics.ran.0.>", also=("labels.congestion.0.>",))
HUNGRY = replace(FAST, retain_bytes=1, register_s=0.02)


class Site:
    """A broker with every role's key, and whom it refused what."""

    def __init__(self, engine: NatsEngine, credentials: Credentials) -> None:
        self.engine, self.credentials = engine, credentials
        self.refused: list[str] = []

    async def connect(self, role: str, name: str) -> Client:
        async def on_error(error: Exception) -> None:
            self.refused.append(f"{name}: {error}")

        return await nats.connect(
            self.engine.url,
            name=name,
            nkeys_seed=str(self.credentials.seed_file(role)),
            inbox_prefix=inbox_prefix(role).encode(),
            error_cb=on_error,
        )

    def connector(self, role: str) -> Any:
        async def connect(name: str) -> Client:
            return await self.connect(role, name)

        return connect

    def fold(self, role: str, source: Endpoint, target: Endpoint, **more: Any) -> FoldRunner:
        return FoldRunner(
            f"{role}.congestion.0",
            connect=self.connector(role),
            source=source,
            target=target,
            fold=RollingSum,
            options=replace(HUNGRY, **more),
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    credentials = Credentials(tmp_path / "creds")
    credentials.prepare()
    engine = NatsEngine(tmp_path / "nats", conf=lambda: NatsConf(users=credentials.users()))
    engine.start()
    yield Site(engine, credentials)
    engine.stop()


def route(message: Input) -> Sequence[Dispatch]:
    return [
        Dispatch(f"actions.congestion.e{index % 3}", (index, 0), pack([(index, value)]))
        for index, value in unpack(message.data)
    ]


async def test_every_fold_has_the_permissions_that_it_needs(site: Site) -> None:
    stack = await site.connect("stack", "stack")
    await provision_streams(stack, partitions=1)
    adapter = await site.connect("adapter", "adapter")
    chain = [
        site.fold("ingest", METRICS, FEATURES, retain_source_bytes=1),
        site.fold("inference", FEATURES, DECISIONS),
        site.fold("risk", DECISIONS, VERDICTS),
    ]
    sender = Dispatcher(
        "risk.dispatch.congestion.0",
        connect=site.connector("risk"),
        source=VERDICTS,
        target="ACTIONS",
        route=route,
        options=DispatchOptions(save_every_s=0.05, retain_source_bytes=1, housekeep_s=0.02),
    )
    lab = Lab(site.engine, stack)
    async with running(*chain, sender):
        for row in source_rows(ROWS):
            await adapter.jetstream().publish(f"metrics.ran.c{row[0] % 5}", pack([row]))

        async def is_sent() -> bool:
            return (await lab.js.stream_info("ACTIONS")).state.messages >= ROWS

        await lab.until(is_sent, "all actions")

        async def is_purged() -> bool:
            states = [(await lab.js.stream_info(s)).state for s in ("METRICS", "VERDICTS")]
            return all(state.first_seq > 1 for state in states)

        await lab.until(is_purged, "room was made")
    wanted = rolling(rolling(rolling(source_rows(ROWS))))
    for element in range(3):
        messages = await lab.messages(f"actions.congestion.e{element}", stream="ACTIONS")
        rows = [row for m in messages for row in unpack(m.data or b"")]
        assert rows == [row for row in wanted if row[0] % 3 == element]
    assert list(await registered(lab.js, "METRICS")) == ["ingest.congestion.0"]
    assert site.refused == []
    await adapter.close()
    await stack.close()
