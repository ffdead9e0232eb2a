"""Wiring of the deployer: admissions, judgements, trips and marks in, deployments out."""

from faststream import FastStream
from faststream.nats import NatsBroker

from flyball_deployer.activating import Activation
from flyball_deployer.fleet import Runtimes
from flyball_deployer.ordering import Orders
from flyball_deployer.settings import Settings
from flyball_deployer.settling import Settling
from flyball_deployer.store import Seats
from flyball_kit import connect
from flyball_kit.acts import Acts
from flyball_kit.announce import Announcer
from flyball_kit.checkpoints import Checkpoints
from flyball_kit.connect import client_of, follow
from flyball_kit.kv import Kv
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.breakers import BreakerRecord, BreakerTurned
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
)
from flyball_proto.events import ModelAdmitted, ModelRecord, ModelTripped
from flyball_proto.judgements import AnyJudgement, RegistrySettled
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec import Pipeline

SERVICE = "deployer"
JUDGEMENTS = "evaluation.*.*"


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks = Tasks(SERVICE)
    deployments: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    records: Kv[ModelRecord] = Kv(lambda: client_of(broker), streams.MODELS, ModelRecord)
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    states: Kv[RuntimeState] = Kv(lambda: client_of(broker), streams.RUNTIMES, RuntimeState)
    runtimes = Runtimes(states)
    breakers: Kv[BreakerRecord] = Kv(lambda: client_of(broker), streams.BREAKERS, BreakerRecord)
    seats = Seats(deployments, records, pipelines, runtimes, breakers)
    announcer = Announcer(broker, DeploymentActivated, CanaryMoved, PersonAsked, DeployerSettled)
    activation = Activation(seats, announcer)
    settling = Settling(seats, activation, announcer)

    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        ModelAdmitted.pattern(), **follow(SERVICE, streams.EVENTS, "deployer-admitted")
    )
    async def on_admitted(event: ModelAdmitted) -> None:
        """Let the model take the seat if it should."""
        await activation.consider(await seats.model(event.pipeline, event.digest))

    @broker.subscriber(  # type: ignore[untyped-decorator] # as above
        JUDGEMENTS, **follow(SERVICE, streams.EVENTS, "deployer-judged")
    )
    async def on_judged(judgement: AnyJudgement) -> None:
        """Act on a judgement, once."""
        await activation.judge(judgement)

    @broker.subscriber(  # type: ignore[untyped-decorator] # as above
        RegistrySettled.pattern(), **follow(SERVICE, streams.EVENTS, "deployer-settled")
    )
    async def on_settled(event: RegistrySettled) -> None:
        """Say with which epoch everything judged up to the mark is in force."""
        await settling.settle(event)

    _hear_of_harm(broker, activation)
    _answer_people(broker, Orders(activation, _acts(broker, tasks, settings)))
    tasks.spawn("runtimes", runtimes.follow)
    tasks.spawn("sweep", lambda: activation.sweep_for_ever(settings.sweep_s))
    tasks.add("settling", settling)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        description="Decides which model is active where.",
    )


def _acts(broker: NatsBroker, tasks: Tasks, settings: Settings) -> Acts:
    acts = Acts(lambda: client_of(broker), SERVICE)
    tasks.spawn("checkpoints", Checkpoints(acts, settings.nats_seed_file).forever)
    return acts


def _hear_of_harm(broker: NatsBroker, activation: Activation) -> None:
    @broker.subscriber(  # type: ignore[untyped-decorator] # as above
        ModelTripped.pattern(), **follow(SERVICE, streams.EVENTS, "deployer-tripped")
    )
    async def on_tripped(event: ModelTripped) -> None:
        """Take a model that cannot answer out of its place."""
        await activation.trip(event)

    @broker.subscriber(  # type: ignore[untyped-decorator] # as above
        BreakerTurned.pattern(), **follow(SERVICE, streams.EVENTS, "deployer-breakers")
    )
    async def on_breaker(event: BreakerTurned) -> None:
        """Take up what was put off, once the pipeline's breaker is closed."""
        await activation.take_up(event.pipeline, event.breaker)


def _answer_people(broker: NatsBroker, orders: Orders) -> None:
    @broker.subscriber(subjects.command(SERVICE, "promote"), queue=SERVICE)
    async def on_promote(order: PromoteModel) -> DeploymentReply:
        """Make an admitted model the active one, because a person says so."""
        return await orders.carry_out(order)

    @broker.subscriber(subjects.command(SERVICE, "rollback"), queue=SERVICE)
    async def on_rollback(order: RollBackSeat) -> DeploymentReply:
        """Take the active model back to the anchor, because a person says so."""
        return await orders.carry_out(order)

    @broker.subscriber(subjects.command(SERVICE, "pin"), queue=SERVICE)
    async def on_pin(order: PinSeat) -> DeploymentReply:
        """Let nothing move by itself."""
        return await orders.carry_out(order)

    @broker.subscriber(subjects.command(SERVICE, "unpin"), queue=SERVICE)
    async def on_unpin(order: UnpinSeat) -> DeploymentReply:
        """Let evidence move the seat again."""
        return await orders.carry_out(order)
