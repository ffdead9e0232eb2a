"""The deployer with a real broker; the registry and inference are played by the test."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from faststream import FastStream
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.deploying import NOW, Others
from tests.conftest import started

from flyball_deployer.activating import Activation
from flyball_deployer.app import build
from flyball_deployer.fleet import Runtimes
from flyball_deployer.settings import Settings
from flyball_deployer.store import Seats
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.connect import broker as broker_of
from flyball_kit.connect import client_of
from flyball_kit.kv import Kv
from flyball_local.embedded.access import connect
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams
from flyball_proto.acts import Act
from flyball_proto.breakers import BreakerRecord
from flyball_proto.commands import (
    DeploymentReply,
    PinSeat,
    PromoteModel,
    RollBackSeat,
    UnpinSeat,
)
from flyball_proto.deployments import (
    ActiveModel,
    CanaryMoved,
    DeployerSettled,
    DeploymentActivated,
    PersonAsked,
    Placed,
)
from flyball_proto.events import ModelRecord, Variant
from flyball_proto.runtimes import GONE_S, RuntimeState
from flyball_proto.spec import Pipeline

pytestmark = pytest.mark.broker

AT_ONCE = {"canary": [100]}
"""A promotion without canary steps."""


@pytest.fixture
def deployer(common: dict[str, Any]) -> Callable[[], FastStream]:
    """How to make the service anew."""
    return lambda: build(Settings(**common))


@pytest.fixture
def others(provisioned: Client, unique: str) -> Others:
    return Others(provisioned, unique)


async def under_way(client: Client, durable: str) -> None:
    """Wait until the service has taken an event and has not done with it."""
    async with asyncio.timeout(chain.WAIT_S):
        while True:
            info = await client.jetstream().consumer_info(streams.EVENTS.name, durable)
            if info.num_ack_pending:
                return


async def test_evidence_moves_the_seat_through_canary_steps_and_a_rollback_takes_it_back(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply()
    await others.admit("b1", "a1", "a2")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.tell(others.superior("a1", "baseline"))
        await others.tell(others.looked("a1", "pass", 2))
        await others.tell(others.looked("a1", "pass", 3))
        await others.tell(others.refreshed("a2", "a1"))
        await others.tell(others.degraded("a2"))
        last = await chain.event(provisioned, DeploymentActivated, unique, nth=4)
        moved = [await chain.event(provisioned, CanaryMoved, unique, nth) for nth in (1, 2)]
        await chain.settled(provisioned, "deployer-judged")
    assert [(m.epoch, m.percent) for m in moved] == [(2, 5), (3, 25)]
    assert (last.change, last.digest, last.replaces, last.epoch, last.judgement) == (
        "rollback",
        "a1",
        "a2",
        6,
        5,
    )
    record = await others.record()
    assert (record.digest, record.epoch, record.handled) == ("a1", 6, 5)
    assert (record.rolled_back, record.may_refresh) == (("a2",), False)
    assert record.outcome.startswith("degraded: the active model does harm")


async def test_a_mark_is_answered_when_every_judgement_up_to_it_is_acted_on(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply(promotion=AT_ONCE)
    await others.admit("b1", "a1", "a2")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.settle("m1", number=2)
        await under_way(provisioned, "deployer-settled")
        await others.tell(others.superior("a1", "baseline"))
        await chain.settled(provisioned, "deployer-judged")
        assert await chain.count(provisioned, DeployerSettled, unique) == 0
        await others.tell(others.refreshed("a2", "a1"))
        answer = await others.answer()
    assert (answer.mark, answer.epoch) == ("m1", 3)


async def test_a_mark_that_comes_twice_is_answered_once_and_the_same(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply()
    await others.admit("b1")
    for _ in range(2):
        async with chain.running(deployer()):
            await others.settle("m1")
            await others.answer()
            await chain.settled(provisioned, "deployer-settled")
    async with chain.running(deployer()):
        await others.settle("m2")
        second = await others.answer(2)
    assert (second.mark, second.epoch) == ("m2", 1)
    assert await chain.count(provisioned, DeployerSettled, unique) == 2


async def test_while_nobody_is_active_a_mark_is_answered_with_epoch_0(
    others: Others, deployer: Callable[[], FastStream]
) -> None:
    async with chain.running(deployer()):
        await others.settle("m1")
        assert (await others.answer()).epoch == 0


async def test_a_baseline_admitted_before_a_mark_is_in_the_seat_when_it_is_answered(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    async with chain.running(deployer()):
        await others.settle("m1")
        await others.answer()
        await others.admit("b1", tell=False)  # its event is still under way
        await others.settle("m2")
        assert (await others.answer(2)).epoch == 1
    assert await chain.count(provisioned, DeploymentActivated, unique) == 1


async def test_stopped_while_it_waits_for_a_judgement_it_answers_the_mark_after_the_restart(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply(promotion=AT_ONCE)
    await others.admit("b1", "a1")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.settle("m1", number=1)
        await under_way(provisioned, "deployer-settled")
    assert await chain.count(provisioned, DeployerSettled, unique) == 0
    async with chain.running(deployer()):
        await others.tell(others.superior("a1", "baseline"))
        assert (await others.answer()).epoch == 2


async def test_a_judgement_waits_until_somebody_holds_the_seat(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply(promotion=AT_ONCE)
    await others.admit("a1", tell=False)
    async with chain.running(deployer()):
        await others.tell(others.superior("a1", "baseline"))
        await under_way(provisioned, "deployer-judged")
        await others.admit("b1")
        activated = await chain.event(provisioned, DeploymentActivated, unique, nth=2)
    assert (activated.digest, activated.change, activated.epoch) == ("a1", "succession", 2)


async def test_a_judgement_of_a_pipeline_that_is_not_applied_is_a_dead_letter_and_stops_nobody(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    stranger = Others(provisioned, f"{unique}x")
    await others.apply(promotion=AT_ONCE)
    await others.admit("b1", "a1")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await stranger.tell(stranger.superior("a1", "baseline"))
        await others.tell(others.superior("a1", "baseline"))
        await chain.event(provisioned, DeploymentActivated, unique, nth=2)
    letters = await provisioned.jetstream().stream_info(streams.DEAD.name)
    assert letters.state.messages == 1


async def test_two_instances_at_once_move_and_announce_once(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply(promotion=AT_ONCE)
    digests = [f"a{number}" for number in range(20)]
    await others.admit("b1", *digests)
    async with chain.running(deployer(), deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.tell(others.superior("a0", "baseline"))
        for before, after in pairwise(digests):
            await others.tell(others.refreshed(after, before))
        await others.settle("m1")
        answer = await others.answer()
        await chain.settled(provisioned, "deployer-judged")
    assert answer.epoch == 21
    assert await chain.count(provisioned, DeploymentActivated, unique) == 21
    assert (await others.record()).digest == digests[-1]


async def test_an_announcement_that_was_lost_is_told_again_from_the_record_alone(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    await others.apply()
    await others.admit("b1", "a1")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.tell(others.superior("a1", "baseline"))
        await others.tell(others.looked("a1", "inconclusive", 2))
        await chain.event(provisioned, PersonAsked, unique)
        await chain.settled(provisioned, "deployer-judged")
    js = provisioned.jetstream()
    kinds = (DeploymentActivated, CanaryMoved, PersonAsked)
    before = [await chain.event(provisioned, kind, unique) for kind in kinds]
    # As if it had been killed before it told, longer ago than the broker remembers ids.
    config = (await js.stream_info(streams.EVENTS.name)).config
    await js.delete_stream(streams.EVENTS.name)
    await js.add_stream(config)
    async with chain.running(deployer()):
        told = [await chain.event(provisioned, kind, unique) for kind in kinds]
    assert told == before


async def test_what_the_last_move_owes_is_told_before_the_next_move(
    provisioned: Client, others: Others, common: dict[str, Any], unique: str
) -> None:
    await others.apply(promotion=AT_ONCE)
    await others.admit("b1", "a1")
    facts = {"digest": "b1", "trainer": "baseline", "epoch": 1, "reason": "the seat was empty"}
    owed = DeploymentActivated(pipeline=unique, at=NOW, **facts)
    baseline = {"digest": "b1", "trainer": "baseline", "feature_digest": "f"}
    untold = ActiveModel(**facts | baseline, since=NOW, baseline=Placed(**baseline), activated=owed)
    await others.deployments.save(unique, untold, revision=0)
    settings = Settings(**common)
    broker = broker_of(settings, "deployer")
    kinds = (DeploymentActivated, CanaryMoved, PersonAsked)
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    models: Kv[ModelRecord] = Kv(lambda: client_of(broker), streams.MODELS, ModelRecord)
    states: Kv[RuntimeState] = Kv(lambda: client_of(broker), streams.RUNTIMES, RuntimeState)
    runtimes = Runtimes(states)
    breakers = Kv(lambda: provisioned, streams.BREAKERS, BreakerRecord)
    seats = Seats(others.deployments, models, pipelines, runtimes, breakers)
    activation = Activation(seats, Announcer(broker, *kinds))
    async with broker:
        await broker.start()
        following = asyncio.create_task(runtimes.follow())
        await activation.judge(others.superior("a1", "baseline"))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    first = await chain.event(provisioned, DeploymentActivated, unique)
    second = await chain.event(provisioned, DeploymentActivated, unique, nth=2)
    assert (first, second.digest, second.epoch) == (owed, "a1", 2)


async def test_it_gets_by_with_the_permissions_of_its_role(
    tmp_path: Path, common: dict[str, Any], unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = Credentials(tmp_path / "creds")
    credentials.prepare()
    engine = NatsEngine(tmp_path / "nats", conf=lambda: NatsConf(users=credentials.users()))
    with started(engine):
        admin = await connect(engine.url, "stack", credentials.seed_file("stack"))
        await provision_streams(admin)
        others = Others(admin, unique)
        await others.apply()
        await others.admit("b1", "a1")
        own = {"nats_url": engine.url, "nats_seed_file": credentials.seed_file("deployer")}
        async with chain.running(build(Settings(**common | own))):
            await chain.event(admin, DeploymentActivated, unique)
            await others.tell(others.superior("a1", "baseline"))
            await others.tell(others.looked("a1", "inconclusive", 2))
            await others.settle("m1")
            await others.answer()
            await others.trip("a1")
            await chain.event(admin, CanaryMoved, unique, nth=2)
        await admin.close()
    assert "forbids" not in caplog.text


async def test_a_person_promotes_pins_and_rolls_back_and_each_act_is_written_down(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    who = {"pipeline": unique, "by": "ann", "why": "storm"}

    async def order(verb: str, command: Any) -> DeploymentReply:
        body = command.model_dump_json().encode()
        return await chain.ask(provisioned, "deployer", verb, body, DeploymentReply)

    await others.apply(promotion=AT_ONCE)
    await others.admit("b1", "a1", "c1")
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        promoted = await order("promote", PromoteModel(digest="a1", **who))
        again = await order("promote", PromoteModel(digest="a1", **who))
        pinned = await order("pin", PinSeat(**who))
        await others.tell(others.superior("c1", "recent"))
        await chain.settled(provisioned, "deployer-judged")
        kept = await others.record()
        unpinned = await order("unpin", UnpinSeat(**who))
        back = await order("rollback", RollBackSeat(**who))
        told = [await chain.event(provisioned, DeploymentActivated, unique, n) for n in (2, 3)]
    assert promoted.deployment is not None
    assert (promoted.deployment.digest, promoted.deployment.epoch) == ("a1", 2)
    assert again.error is not None
    assert (again.error.kind, "active already" in again.error.message) == ("conflict", True)
    assert pinned.ok
    assert kept.digest == "a1"
    assert "pinned by ann: storm" in kept.outcome
    assert unpinned.ok
    assert back.deployment is not None
    assert back.deployment.digest == "b1"
    assert [(t.change, t.digest, t.by) for t in told] == [
        ("promotion", "a1", "ann"),
        ("rollback", "b1", "ann"),
    ]
    acts = await acts_of(provisioned, "deployer", 5)
    assert [(a.verb, a.outcome) for a in acts] == [
        ("promote", "done"),
        ("promote", "refused"),
        ("pin", "done"),
        ("unpin", "done"),
        ("rollback", "done"),
    ]
    assert {(a.by, a.why) for a in acts} == {("ann", "storm")}


async def test_a_model_is_placed_in_the_form_that_every_living_runtime_can_run(
    provisioned: Client, others: Others, deployer: Callable[[], FastStream], unique: str
) -> None:
    ago = clock.utc_now() - timedelta(seconds=2 * GONE_S)
    await others.run("hub", precisions=("float32", "float16", "int8"))
    await others.run("edge", precisions=("int8", "float32"), memory_mb=12)
    await others.run("gone", precisions=("float16",), at=ago)
    await Others(provisioned, f"{unique}x").run("elsewhere", precisions=("float16",))
    smaller = Variant(
        precision="int8", digest="v", size_bytes=250_000, difference=0.0, tolerance=0.01
    )
    await others.apply(promotion={"canary": [5, 100]})
    await others.admit("b1", tell=True)
    await others.admit("a1", size_bytes=1_000_000, variants=(smaller,))
    await others.admit("c1", size_bytes=1_000_000)
    async with chain.running(deployer()):
        await chain.event(provisioned, DeploymentActivated, unique)
        await others.tell(others.superior("a1", "baseline"))
        await others.tell(others.looked("a1", "pass", 2))
        await chain.event(provisioned, DeploymentActivated, unique, nth=2)
        won = await others.record()
        await others.tell(others.superior("c1", "recent"))
        asked = await chain.event(provisioned, PersonAsked, unique)
    assert (won.digest, won.precision) == ("a1", "int8")
    assert asked.digest == "c1"
    assert "float32 takes 8 MB of memory, and edge has 4" in asked.reason
    assert (await others.record()).digest == "a1"


async def acts_of(client: Client, service: str, count: int) -> list[Act]:
    """The last acts of a service, oldest first."""
    js = client.jetstream()
    info = await js.stream_info(streams.AUDIT.name)
    last = info.state.last_seq
    messages = [await js.get_msg(streams.AUDIT.name, n) for n in range(last - count + 1, last + 1)]
    return [Act.model_validate_json(m.data or b"") for m in messages]
