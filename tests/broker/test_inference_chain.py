"""From `cmd.gateway.apply` to decisions: five services, real servers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faststream import FastStream
from nats.aio.client import Client
from tests.broker import chain
from tests.conftest import started

from flyball_deployer import app as deployer
from flyball_deployer.settings import Settings as DeployerSettings
from flyball_gateway import app as gateway
from flyball_gateway.settings import Settings as GatewaySettings
from flyball_inference import app as inference
from flyball_inference.settings import Settings as InferenceSettings
from flyball_local.embedded.access import connect
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.provision import provision_streams
from flyball_proto.commands import StatusReply
from flyball_proto.deployments import DeploymentActivated
from flyball_proto.events import ModelAdmitted, ModelFlipped, ModelTrained, PipelineApplied
from flyball_registry import app as registry
from flyball_registry.settings import Settings as RegistrySettings
from flyball_trainer import app as trainer
from flyball_trainer.settings import Settings as TrainerSettings

pytestmark = pytest.mark.broker

Services = dict[str, Callable[[], FastStream]]

BUILDERS: dict[str, tuple[Any, Any]] = {
    "gateway": (gateway.build, GatewaySettings),
    "trainer": (trainer.build, TrainerSettings),
    "registry": (registry.build, RegistrySettings),
    "deployer": (deployer.build, DeployerSettings),
    "inference": (inference.build, InferenceSettings),
}


@pytest.fixture
def services(common: dict[str, Any]) -> Services:
    """How to make each service anew."""

    def make(name: str) -> Callable[[], FastStream]:
        build, settings = BUILDERS[name]
        return lambda: build(settings(**common))

    return {name: make(name) for name in BUILDERS}


async def test_an_applied_pipeline_decides_by_its_baseline(
    provisioned: Client, services: Services, unique: str
) -> None:
    async with chain.running(*(make() for make in services.values())):
        reply = await chain.apply(provisioned, chain.documents(unique))
        assert reply.ok, reply.error
        activated = await chain.event(provisioned, DeploymentActivated, unique)
        flipped = await chain.event(provisioned, ModelFlipped, unique)
        await chain.publish_features(provisioned, unique, [0.1, 0.9, 1.0, np.nan])
        (batch,) = await chain.decisions(provisioned, unique, 4)
        status = await chain.ask(provisioned, "gateway", "status", b"{}", StatusReply)
    assert (activated.trainer, activated.epoch) == ("baseline", 1)
    assert (flipped.digest, flipped.epoch) == (activated.digest, 1)
    assert batch.score.tolist() == pytest.approx([0.0, 0.5, 0.880797, 0.5], abs=1e-6)
    proposed = [("", *batch.action)[i] for i in batch.action_index]
    assert proposed == ["", "watch", "offload", "watch"]
    (model,) = batch.model
    assert (model.digest, model.epoch, model.stage) == (activated.digest, 1, "active")
    assert batch.flow.revisions == {
        "pipeline": 1,
        "deployment": 1,
        "decisions": reply.applied[1].revision,
    }
    (seen,) = status.pipelines
    assert (seen.pipeline, seen.model, seen.epoch) == (unique, activated.digest, 1)


async def test_each_service_may_be_down_while_the_others_do_their_part(
    provisioned: Client, services: Services, unique: str
) -> None:
    async with chain.running(services["gateway"]()):
        await chain.apply(provisioned, chain.documents(unique))
    for service, kind in (
        ("trainer", ModelTrained),
        ("registry", ModelAdmitted),
        ("deployer", DeploymentActivated),
        ("inference", ModelFlipped),
    ):
        async with chain.running(services[service]()):
            await chain.event(provisioned, kind, unique)
    await chain.publish_features(provisioned, unique, [0.2] * 3)
    async with chain.running(services["inference"]()):
        await chain.decisions(provisioned, unique, 3)


async def test_restarting_everything_trains_activates_and_announces_nothing_anew(
    provisioned: Client, services: Services, unique: str
) -> None:
    kinds = (PipelineApplied, ModelTrained, ModelAdmitted, DeploymentActivated)
    for time in range(3):
        async with chain.running(*(make() for make in services.values())):
            await chain.apply(provisioned, chain.documents(unique))
            await chain.event(provisioned, ModelFlipped, unique, nth=time + 1)
    assert [await chain.count(provisioned, kind, unique) for kind in kinds] == [1, 1, 1, 1]


async def test_events_lost_with_a_purged_stream_do_not_stop_the_chain(
    provisioned: Client, services: Services, unique: str
) -> None:
    async with chain.running(services["gateway"]()):
        await chain.apply(provisioned, chain.documents(unique))
    await provisioned.jetstream().purge_stream("EVENTS")
    others = [services[name]() for name in ("trainer", "registry", "deployer", "inference")]
    async with chain.running(*others):
        await chain.event(provisioned, ModelFlipped, unique)


async def test_each_service_gets_by_with_the_permissions_of_its_role(
    tmp_path: Path, common: dict[str, Any], unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = Credentials(tmp_path / "creds")
    credentials.prepare()
    engine = NatsEngine(tmp_path / "nats", conf=lambda: NatsConf(users=credentials.users()))

    def within(name: str) -> FastStream:
        build, settings = BUILDERS[name]
        found = {"nats_url": engine.url, "nats_seed_file": credentials.seed_file(name)}
        made: FastStream = build(settings(**common | found))
        return made

    with started(engine):
        admin = await connect(engine.url, "stack", credentials.seed_file("stack"))
        await provision_streams(admin)
        async with chain.running(*map(within, BUILDERS)):
            await chain.apply(admin, chain.documents(unique))
            await chain.event(admin, ModelFlipped, unique)
            await chain.publish_features(admin, unique, [0.1])
            await chain.decisions(admin, unique, 1)
        await admin.close()
    assert "forbids" not in caplog.text
