"""Wires risk together; decides nothing."""

from faststream import FastStream
from faststream.nats import NatsBroker

from flyball_kit import connect
from flyball_kit.acts import Acts
from flyball_kit.announce import Announcer
from flyball_kit.checkpoints import Checkpoints
from flyball_kit.connect import Connect, client_of
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.autonomy import (
    AutonomyDeclined,
    AutonomyProposed,
    AutonomyRecord,
    AutonomyReply,
    DeclineAutonomy,
)
from flyball_proto.breakers import BreakerRecord, BreakerReply, BreakerTurned, ResetBreaker
from flyball_proto.calibrations import Calibrated, SteppedBackNow
from flyball_proto.commands import (
    AnswerHold,
    AnswerHolds,
    HoldReply,
    HoldsReply,
    ResumePipeline,
    StopPipeline,
    StopReply,
    WithdrawApprovals,
    WithdrawReply,
)
from flyball_proto.holds import ActionsStopped, Held, Hold, HoldAnswered, Resumed, Stop, Stopped
from flyball_proto.outcomes import ActionRejected, ActionsUnacknowledged
from flyball_proto.reviews import (
    AnswerReview,
    Review,
    ReviewReply,
    SummariseReviews,
    SummaryReply,
)
from flyball_risk.acknowledging.following import Acknowledging
from flyball_risk.answering.replies import Replies
from flyball_risk.calibrating.wiring import calibrate
from flyball_risk.pipelines import Pipelines
from flyball_risk.reviewing.desk import Desk
from flyball_risk.reviewing.watching import Reviewing
from flyball_risk.settings import Settings
from flyball_risk.steering.autonomy import Proposals
from flyball_risk.steering.breakers import Breakers
from flyball_risk.steering.many import Many
from flyball_risk.steering.onrecord import OnRecord
from flyball_risk.steering.people import People
from flyball_risk.steering.reviews import Reviews
from flyball_risk.steering.room import Room
from flyball_risk.steering.stops import Stops

SERVICE = "risk"


def build(settings: Settings | None = None) -> FastStream:
    """The service, ready to run; settings come from the environment unless given."""
    settings = settings or load(Settings)
    broker, tasks, health = connect.broker(settings, SERVICE), Tasks(SERVICE), Health()
    connector, replies = connect.connector(settings, SERVICE), Replies()
    holds: Kv[Hold] = Kv(lambda: client_of(broker), streams.HOLDS, Hold)
    records: Kv[Stop] = Kv(lambda: client_of(broker), streams.STOPS, Stop)
    announcer = Announcer(
        broker,
        Stopped,
        Resumed,
        Held,
        HoldAnswered,
        ActionsStopped,
        BreakerTurned,
        AutonomyProposed,
        AutonomyDeclined,
        ActionRejected,
        ActionsUnacknowledged,
        Calibrated,
        SteppedBackNow,
    )
    acknowledging = Acknowledging(lambda: client_of(broker), announcer)
    calibrations = calibrate(
        settings,
        connect=connector,
        client=lambda: client_of(broker),
        announcer=announcer,
        tasks=tasks,
        health=health,
        not_applied=acknowledging.not_applied,
    )
    stops = Stops(records, announcer, lambda: client_of(broker), settings.partitions)
    pipelines = Pipelines(
        tasks, connector, lambda: client_of(broker), settings, stops, replies, calibrations
    )
    acts = Acts(lambda: client_of(broker), SERVICE)
    on_record = OnRecord(acts)
    people = People(holds, stops, replies, on_record, lambda: client_of(broker), pipelines.find)
    many = Many(
        holds,
        replies,
        on_record,
        lambda: client_of(broker),
        pipelines.find,
        lambda: pipelines.names,
        settings.partitions,
    )
    room = Room(holds, lambda: client_of(broker), lambda: pipelines.names, settings.partitions)

    _answer_people(broker, people)
    _answer_about_many(broker, many)
    _answer_about_reviews(broker, settings, tasks, connector, on_record)
    _hear_of_breakers(broker, settings, replies, acts, pipelines)
    _hear_of_autonomy(broker, tasks, announcer, on_record, pipelines)
    health.add("pipelines", lambda: None if pipelines.synced else "not read yet")
    health.add("leases", pipelines.leasing.check, "note")
    tasks.spawn("checkpoints", Checkpoints(acts, settings.nats_seed_file, pipelines.heads).forever)
    tasks.spawn("stops", stops.follow)
    tasks.spawn("untold", stops.tell_untold)
    tasks.spawn("pipelines", pipelines.follow)
    tasks.spawn("room", room.forever)
    tasks.spawn("acknowledged", acknowledging.follow)
    tasks.spawn("unacknowledged", acknowledging.watch)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="Judges every decision before it may reach the network.",
    )


def _answer_people(broker: NatsBroker, people: People) -> None:
    @broker.subscriber(subjects.command(SERVICE, "answer-hold"), queue=SERVICE)
    async def on_answer(command: AnswerHold) -> HoldReply:
        """Approve or deny a decision that waits for a person."""
        return await people.answer(command)

    @broker.subscriber(subjects.command(SERVICE, "stop"), queue=SERVICE)
    async def on_stop(command: StopPipeline) -> StopReply:
        """Let no action of a pipeline out."""
        return await people.stop(command)

    @broker.subscriber(subjects.command(SERVICE, "resume"), queue=SERVICE)
    async def on_resume(command: ResumePipeline) -> StopReply:
        """Let a stopped pipeline act again."""
        return await people.resume(command)


def _answer_about_many(broker: NatsBroker, many: Many) -> None:
    @broker.subscriber(subjects.command(SERVICE, "answer-holds"), queue=SERVICE)
    async def on_answers(command: AnswerHolds) -> HoldsReply:
        """Approve or deny many decisions that wait for a person."""
        return await many.answer(command)

    @broker.subscriber(subjects.command(SERVICE, "withdraw-approvals"), queue=SERVICE)
    async def on_withdraw(command: WithdrawApprovals) -> WithdrawReply:
        """Let the approvals of somebody count no longer."""
        return await many.withdraw(command)


def _answer_about_reviews(
    broker: NatsBroker, settings: Settings, tasks: Tasks, connector: Connect, on_record: OnRecord
) -> None:
    desk = Desk(
        Kv(lambda: client_of(broker), streams.REVIEWS, Review),
        lambda: client_of(broker),
        settings.control_key,
        settings.seeded_share,
    )
    reviewing = Reviewing(
        desk,
        settings.control_key,
        tasks=tasks,
        connect=connector,
        client=lambda: client_of(broker),
        partitions=settings.partitions,
    )
    reviewing.spawn()
    reviews = Reviews(desk, reviewing, on_record)

    @broker.subscriber(subjects.command(SERVICE, "answer-review"), queue=SERVICE)
    async def on_review(command: AnswerReview) -> ReviewReply:
        """Take down whether a person finds a decision right."""
        return await reviews.answer(command)

    @broker.subscriber(subjects.command(SERVICE, "summarise-reviews"), queue=SERVICE)
    async def on_summary(command: SummariseReviews) -> SummaryReply:
        """Say what people found when they looked at decisions."""
        return await reviews.summarise(command)


def _hear_of_breakers(
    broker: NatsBroker, settings: Settings, replies: Replies, acts: Acts, pipelines: Pipelines
) -> None:
    breakers = Breakers(
        Kv(lambda: client_of(broker), streams.BREAKERS, BreakerRecord),
        replies,
        acts,
        lambda: client_of(broker),
        settings.partitions,
        lambda name: pipelines.find(name) is not None,
    )

    @broker.subscriber(subjects.command(SERVICE, "reset-breaker"), queue=SERVICE)
    async def on_reset(command: ResetBreaker) -> BreakerReply:
        """Close a pipeline's breaker, because a person says so."""
        return await breakers.reset(command)


def _hear_of_autonomy(
    broker: NatsBroker,
    tasks: Tasks,
    announcer: Announcer,
    on_record: OnRecord,
    pipelines: Pipelines,
) -> None:
    proposals = Proposals(
        Kv(lambda: client_of(broker), streams.AUTONOMY, AutonomyRecord),
        announcer,
        on_record,
        pipelines.facts,
    )
    tasks.spawn("autonomy", proposals.forever)

    @broker.subscriber(subjects.command(SERVICE, "decline-autonomy"), queue=SERVICE)
    async def on_decline(command: DeclineAutonomy) -> AutonomyReply:
        """Leave a pipeline the autonomy that it has, because a person says so."""
        return await proposals.decline(command)
