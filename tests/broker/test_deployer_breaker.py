"""The deployer hears of breakers with a real broker; risk and the registry are played by the test."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from faststream import FastStream
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.deploying import NOW, Others

from flyball_deployer.app import build
from flyball_deployer.settings import Settings
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.breakers import BreakerRecord, BreakerTurned
from flyball_proto.deployments import DeploymentActivated

pytestmark = pytest.mark.broker


@pytest.fixture
def deployer(common: dict[str, Any]) -> Callable[[], FastStream]:
    settings = Settings(**common)
    return lambda: build(settings)


@pytest.mark.parametrize("how", ["event", "restart"])
async def test_nobody_comes_while_the_breaker_is_open_and_it_goes_on_when_it_closes(
    provisioned: Client, deployer: Callable[[], FastStream], unique: str, how: str
) -> None:
    others = Others(provisioned, unique)
    records = Kv(lambda: provisioned, streams.BREAKERS, BreakerRecord)

    def turned(state: Literal["open", "closed"]) -> BreakerRecord:
        return BreakerRecord(
            pipeline=unique, partition=0, state=state, number=1, reason="r", clock_ms=0,
            until_ms=0, at=NOW,
        )  # fmt: skip

    revision = await records.save(f"{unique}.0", turned("open"), revision=0)
    await others.apply(promotion={"canary": [100]})
    await others.admit("b1", "a1")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.tell(others.superior("a1", "baseline"))
        await chain.settled(provisioned, "deployer-judged")
        record = await others.record()
        assert (record.digest, len(record.put_off)) == ("b1", 1)
        if how == "event":  # comes before the record
            event = BreakerTurned(pipeline=unique, at=NOW, breaker=turned("closed"))
            data = event.model_dump_json().encode()
            await provisioned.jetstream().publish(event.subject, data)
            await chain.event(provisioned, DeploymentActivated, unique, nth=2)
    if how == "restart":
        await records.save(f"{unique}.0", turned("closed"), revision=revision)
        async with chain.running(deployer()):
            await chain.event(provisioned, DeploymentActivated, unique, nth=2)
    record = await others.record()
    assert (record.digest, record.put_off) == ("a1", ())
