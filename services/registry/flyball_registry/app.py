"""Wiring of the registry: trained models and samples in, records, scoreboards and judgements out."""

import threading

from faststream import FastStream
from faststream.nats import NatsBroker

from flyball_kit import connect
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of, follow
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.lockstep import Settlements
from flyball_kit.objects import Objects
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.settle import Retry
from flyball_kit.specifications import Specifications
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.commands import CompareModels, CompareReply
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import (
    ModelAdmitted,
    ModelMeasured,
    ModelRecord,
    ModelRefused,
    ModelTrained,
    ModelTripped,
    TrainerSettled,
)
from flyball_proto.judgements import (
    CanaryJudged,
    Concluded,
    Degraded,
    Drifted,
    Refreshed,
    RefreshRefused,
    RegistrySettled,
    Restarted,
    ScoresSkewed,
    Superior,
)
from flyball_proto.progress import ModelsScored
from flyball_proto.spec import Pipeline, Source
from flyball_registry.admission.admitting import Admission
from flyball_registry.admission.claims import Signers
from flyball_registry.admission.isolation import Examiner
from flyball_registry.admission.store import Specs
from flyball_registry.comparing.comparing import Comparing
from flyball_registry.contract import Contract
from flyball_registry.evidence import drift
from flyball_registry.judging.evaluating import Evaluation
from flyball_registry.judging.pipelines import SERVICE, Pipelines
from flyball_registry.judging.placing import Placing
from flyball_registry.judging.surroundings import Surroundings
from flyball_registry.judging.telling import Telling
from flyball_registry.records.boards import Boards
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.records.showing import Showing
from flyball_registry.scoring.models import MODELS_A_TRAINER, Models
from flyball_registry.scoring.reports import Reports
from flyball_registry.settings import Settings

PATIENT = Retry(deliveries=3_000)
"""S3 may be away for a day before an event becomes a dead letter."""


UNCHECKED = (
    "degraded: model signatures are not checked, "
    "FLYBALL_REGISTRY_MODEL_SIGNING_PUBLIC_KEY_FILES is not set"
)


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE, PATIENT)
    tasks, health = Tasks(SERVICE), Health()
    sources: Kv[Source] = Kv(lambda: client_of(broker), streams.PIPELINES, Source)
    specs: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    records: Kv[ModelRecord] = Kv(lambda: client_of(broker), streams.MODELS, ModelRecord)
    seats: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    boards: Kv[Scoreboard] = Kv(lambda: client_of(broker), streams.SCOREBOARD, Scoreboard)
    shown: Kv[bytes] = Kv(lambda: client_of(broker), streams.STANDINGS, bytes)
    trainers = Settlements(lambda: client_of(broker), TrainerSettled)
    objects = Objects(settings)
    judgements = (Superior, Concluded, Refreshed, RefreshRefused, Degraded, CanaryJudged, Restarted)
    announcer = Announcer(
        broker,
        ModelAdmitted,
        ModelRefused,
        ModelsScored,
        *judgements,
        Drifted,
        ScoresSkewed,
        RegistrySettled,
    )

    def make(contract: Contract) -> tuple[Evaluation, Surroundings]:
        name = contract.pipeline
        around = Surroundings(
            name,
            deployments=seats,
            records=records,
            models=Models(
                objects, contract.max_bundle_bytes, MODELS_A_TRAINER * len(contract.trainers)
            ),
            reports=Reports(objects),
            trainers=trainers,
            examined=admission.examined,
        )
        evaluation = Evaluation(
            contract,
            settings.partitions,
            boards=Boards(boards, name),
            around=around,
            telling=Telling(announcer, name),
            showing=Showing(shown, announcer, name),
            save_every_s=settings.save_every_s,
        )
        return evaluation, around

    pipelines = Pipelines(
        settings.partitions,
        make,
        placing=Placing(records),
        connect=connect.connector(settings, SERVICE),
        client=lambda: client_of(broker),
        tasks=tasks,
        health=health,
    )
    specifications = Specifications(applied=pipelines.apply, gone=pipelines.end, health=health)
    examiner = Examiner(settings.limits, settings.signers)
    admission = Admission(
        Specs(specs, sources),
        objects,
        records,
        announcer,
        examiner=examiner,
        position=pipelines.position,
        admitted=pipelines.admitted,
    )

    _subscribe(broker, admission, pipelines)
    _answer_people(broker, Comparing(pipelines.evaluation, records, objects))
    tasks.add("examiner", examiner)
    tasks.spawn("warm-up", _warm_up)
    tasks.spawn("sources", lambda: specifications.follow_sources(sources))
    tasks.spawn("pipelines", lambda: specifications.follow_pipelines(specs))
    tasks.spawn("sweep", lambda: admission.sweep_for_ever(settings.sweep_s))
    _say_what_is_unchecked(health, settings.signers)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="Knows every model, where it comes from, and how good it is right now.",
    )


def _answer_people(broker: NatsBroker, comparing: Comparing) -> None:
    @broker.subscriber(subjects.command(SERVICE, "compare"), queue=SERVICE)
    async def on_compare(asked: CompareModels) -> CompareReply:
        """Put two models side by side on rows that neither was fitted to."""
        return await comparing.compare(asked)


def _subscribe(broker: NatsBroker, admission: Admission, pipelines: Pipelines) -> None:
    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        ModelTrained.pattern(),
        **follow(SERVICE, streams.EVENTS, "registry-trained", in_order=False),
    )
    async def on_trained(event: ModelTrained) -> None:
        """Examine the model and say what became of it."""
        await admission.admit(event)

    @broker.subscriber(  # type: ignore[untyped-decorator] # as above
        ModelMeasured.pattern(), **follow(SERVICE, streams.EVENTS, "registry-measured")
    )
    async def on_measured(event: ModelMeasured) -> None:
        """Hear how long models take while a canary answers."""
        pipelines.measured(event)

    @broker.subscriber(  # type: ignore[untyped-decorator] # as above
        ModelTripped.pattern(), **follow(SERVICE, streams.EVENTS, "registry-tripped")
    )
    async def on_tripped(event: ModelTripped) -> None:
        """Hear that a model cannot answer."""
        pipelines.tripped(event)


def _say_what_is_unchecked(health: Health, signers: Signers) -> None:
    unsigned = "degraded: signatures are not checked, FLYBALL_REGISTRY_TRAINER_KEYS is not set"
    if not signers.nkeys:
        health.add("signatures", lambda: unsigned, "note")
    if not signers.pem:
        health.add("model signatures", lambda: UNCHECKED, "note")


async def _warm_up() -> None:
    """In a thread that nobody waits for: a stop would else last as long as the import."""
    threading.Thread(target=drift.warm_up, name="warm-up", daemon=True).start()
