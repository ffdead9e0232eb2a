"""Proposals for more autonomy: recorded and told once, and a person declines."""

from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import risk_service, stored
from tests.broker.test_risk_holds import acts, apply, events
from tests.unit.test_risk_earning import GOOD, calibration

from flyball_kit.acts import Acts
from flyball_kit.announce import Announcer
from flyball_kit.connect import broker as broker_of
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.autonomy import (
    AutonomyDeclined,
    AutonomyProposed,
    AutonomyRecord,
    AutonomyReply,
    DeclineAutonomy,
)
from flyball_risk.settings import Settings
from flyball_risk.steering.autonomy import Proposals
from flyball_risk.steering.onrecord import OnRecord

pytestmark = pytest.mark.broker


async def decline(client: Client) -> AutonomyReply:
    command = DeclineAutonomy(pipeline="congestion", by="ana", why="not before winter")
    data = command.model_dump_json().encode()
    reply = await client.request("cmd.risk.decline-autonomy", data, timeout=20)
    return AutonomyReply.model_validate_json(reply.data)


async def record(client: Client) -> AutonomyRecord | None:
    found = await Kv(lambda: client, streams.AUTONOMY, AutonomyRecord).load("congestion")
    return found[0]


async def test_what_is_earned_is_proposed_and_told_once_and_a_person_declines_it(
    provisioned: Client, nats_url: str, common: dict[str, Any]
) -> None:
    broker = broker_of(Settings(**common), "risk")
    proposals = Proposals(
        Kv(lambda: provisioned, streams.AUTONOMY, AutonomyRecord),
        Announcer(broker, AutonomyProposed, AutonomyDeclined),
        OnRecord(Acts(lambda: provisioned, "risk")),
        lambda: (),
    )
    async with broker:
        await broker.start()
        for _ in range(2):
            await proposals.look("congestion", GOOD, calibration())
        found = await record(provisioned)
        assert found is not None
        assert (found.state, found.proposed) == ("proposed", "autonomous")
        assert len(await events(provisioned, "autonomy-proposed")) == 1
        await apply(provisioned)
        async with risk_service(nats_url):
            reply = await decline(provisioned)
            again = await decline(provisioned)
        assert reply.proposal == await record(provisioned)
        assert again.error is not None
        assert again.error.kind == "not-found"
        await proposals.look("congestion", GOOD, calibration())
    declined = await record(provisioned)
    assert declined is not None
    assert (declined.state, declined.by, declined.why) == ("declined", "ana", "not before winter")
    assert len(await events(provisioned, "autonomy-declined")) == 1
    assert [act[:3] for act in await acts(provisioned)] == [
        ("decline-autonomy", "pipeline congestion", "ana")
    ] * 2
    assert await stored(provisioned, "ACTIONS") == []
