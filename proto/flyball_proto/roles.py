"""Who may say and hear what on NATS: least privilege, one role a service, one an element.

A role is a NATS user with an NKey. What is not listed here is denied by the server. The embedded
stack renders this table into the server's configuration; `tests/broker/test_permissions.py` tries
every cell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flyball_proto import streams, subjects
from flyball_proto.streams import Bucket, Stream


@dataclass(frozen=True, slots=True)
class Role:
    """Subjects a user may publish to and subscribe to, as NATS patterns.

    `allow_responses` lets a command handler answer on the requester's inbox.
    """

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    allow_responses: bool = False

    @property
    def inbox_prefix(self) -> str:
        """Replies arrive here and nobody else may listen: `_INBOX.<name>`."""
        return inbox_prefix(self.name)


def inbox_prefix(user: str) -> str:
    """The inbox of a user, one token: dots become underscores, so that no two users share one.

    Source names have no underscore, so `element.<source>.<element>` stays unambiguous.
    """
    return "_INBOX." + user.replace(".", "_")


def element_role(source: str, element: str) -> Role:
    """An element: publishes its own metrics, labels and outcomes, receives its own actions."""
    name = f"element.{source}.{element}"
    return Role(
        name,
        publish=(
            subjects.metrics(source, element),
            subjects.labels("*", element),
            subjects.outcomes("*", element),
        ),
        subscribe=(subjects.actions("*", element), f"{inbox_prefix(name)}.>"),
    )


def _info(name: str) -> list[str]:
    return [f"$JS.API.STREAM.INFO.{name}"]


def _get(name: str) -> list[str]:
    return [
        f"$JS.API.STREAM.MSG.GET.{name}",
        f"$JS.API.DIRECT.GET.{name}",
        f"$JS.API.DIRECT.GET.{name}.>",
    ]


def _consume(name: str) -> list[str]:
    return [
        f"$JS.API.CONSUMER.CREATE.{name}",
        f"$JS.API.CONSUMER.CREATE.{name}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.>",
        f"$JS.API.CONSUMER.INFO.{name}.>",
        f"$JS.API.CONSUMER.DELETE.{name}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.{name}.>",
        f"$JS.ACK.{name}.>",
        f"$JS.FC.{name}.>",
    ]


def _read(*read: Stream) -> list[str]:
    return [s for x in read for s in (*_info(x.name), *_get(x.name), *_consume(x.name))]


def _write_fold(*written: Stream) -> list[str]:
    """A fold's writer reads its own last commit back and purges behind its readers."""
    return [
        s
        for x in written
        for s in (*_info(x.name), *_get(x.name), f"$JS.API.STREAM.PURGE.{x.name}")
    ]


def _read_kv(*buckets: Bucket) -> list[str]:
    return [
        s
        for x in buckets
        for s in (*_info(f"KV_{x.name}"), *_get(f"KV_{x.name}"), *_consume(f"KV_{x.name}"))
    ]


def _write_kv(*buckets: Bucket) -> list[str]:
    return [f"$KV.{x.name}.>" for x in buckets]


def _role(name: str, publish: Iterable[str], subscribe: Iterable[str] = ()) -> Role:
    publish = ("$JS.API.INFO", *publish)
    return Role(name, tuple(dict.fromkeys(publish)), (*subscribe, f"{inbox_prefix(name)}.>"))


def _service(
    name: str,
    *,
    reads: Iterable[Stream] = (),
    folds: Iterable[Stream] = (),
    kv_reads: Iterable[Bucket] = (),
    kv_writes: Iterable[Bucket] = (),
    publish: Iterable[str] = (),
    hears: Iterable[str] = (),
) -> Role:
    """A service: answers its own commands, writes its own audit, dead letters and runtime events.

    `hears` are events that it waits for as they are published, see `flyball_kit.lockstep`.
    """
    every = [
        *_read(*reads),
        *_write_fold(*folds),
        *_read_kv(*kv_reads, streams.POSITIONS),
        *_write_kv(*kv_writes, streams.POSITIONS),
        *publish,
        "runtime.>",
        subjects.dead(name),
        subjects.audit(name),
        *_get(streams.AUDIT.name),  # the act before, to chain behind it
        subjects.pulse(name),
    ]
    role = _role(name, every, subscribe=(f"cmd.{name}.>", *hears))
    return Role(role.name, role.publish, role.subscribe, allow_responses=True)


_OF_RISK: Final = (
    streams.CALIBRATION,
    streams.HOLDS,
    streams.CONTEXTS,
    streams.STOPS,
    streams.BREAKERS,
    streams.AUTONOMY,
    streams.REVIEWS,
    streams.ACKNOWLEDGED,
)
_STACK: Final = Role("stack", (">",), (">",))
_SERVICES: Final = (
    _service(
        "ingest",
        reads=(streams.METRICS, streams.FEATURES, streams.VERDICTS, streams.SAMPLES),
        folds=(streams.METRICS, streams.FEATURES, streams.SAMPLES, streams.QUARANTINE),
        kv_reads=(streams.PIPELINES,),
        publish=("features.>", "samples.>", "quarantine.>", *_consume(streams.QUARANTINE.name)),
    ),
    _service(
        "inference",
        reads=(streams.FEATURES, streams.EVENTS),
        folds=(streams.DECISIONS,),
        kv_reads=(streams.PIPELINES, streams.DEPLOYMENTS, streams.MODELS, streams.RUNTIMES),
        kv_writes=(streams.RUNTIMES,),
        publish=("decisions.>",),
        hears=("runtime.*.settled.deployer",),
    ),
    _service(
        "risk",
        reads=(
            streams.DECISIONS,
            streams.VERDICTS,
            streams.SAMPLES,
            streams.OUTCOMES,
        ),
        folds=(streams.VERDICTS, streams.ACTIONS),
        kv_reads=(streams.PIPELINES, *_OF_RISK),
        kv_writes=_OF_RISK,
        publish=(
            "verdicts.>",
            "actions.>",
            "risk.>",
            "decisions.*.*.answers",
            "quarantine._outcomes.*",
            f"$JS.API.STREAM.PURGE.{streams.OUTCOMES.name}",
            *_get(streams.QUARANTINE.name),
            f"$JS.API.STREAM.PURGE.{streams.DECISIONS.name}",
            *(
                f"$JS.API.STREAM.PURGE.KV_{bucket.name}"
                for bucket in (streams.HOLDS, streams.CONTEXTS, streams.REVIEWS)
            ),
            *_get(streams.EVENTS.name),
        ),
    ),
    _service(
        "trainer",
        reads=(streams.EVENTS, streams.SAMPLES),
        kv_reads=(streams.PIPELINES, streams.PROGRESS),
        kv_writes=(streams.PROGRESS,),
        publish=("model.*.trained", "model.*.training-failed"),
    ),
    _service(
        "registry",
        reads=(streams.EVENTS, streams.SAMPLES),
        kv_reads=(
            streams.PIPELINES,
            streams.MODELS,
            streams.DEPLOYMENTS,
            streams.SCOREBOARD,
            streams.STANDINGS,
        ),
        kv_writes=(streams.MODELS, streams.SCOREBOARD, streams.STANDINGS),
        publish=(
            "model.*.admitted",
            "model.*.refused",
            "model.*.scored",
            "evaluation.>",
            "drift.>",
        ),
        hears=("runtime.*.settled.trainer",),
    ),
    _service(
        "deployer",
        reads=(streams.EVENTS,),
        kv_reads=(
            streams.PIPELINES,
            streams.MODELS,
            streams.DEPLOYMENTS,
            streams.RUNTIMES,
            streams.BREAKERS,
        ),
        kv_writes=(streams.DEPLOYMENTS,),
        publish=("deployment.>",),
    ),
    _service(
        "gateway",
        reads=(
            streams.EVENTS,
            streams.AUDIT,
            streams.DEAD,
            streams.DECISIONS,
            streams.VERDICTS,
            streams.ACTIONS,
            streams.OUTCOMES,
        ),
        kv_reads=streams.BUCKETS,
        kv_writes=(streams.PIPELINES, streams.ELEMENTS, streams.ACCESS),
        publish=(
            "pipeline.>",
            "metrics.*.*",
            "labels.*.*",
            "outcomes.*.*",
            "cmd.>",
            *_info(streams.METRICS.name),
            *_info(streams.FEATURES.name),
            *_info(streams.QUARANTINE.name),
            f"$JS.API.STREAM.PURGE.KV_{streams.ACCESS.name}",
        ),
        hears=("pulse.*",),
    ),
)
_PEOPLE_AND_TOOLS: Final = (
    _role(
        "operator",
        [
            "cmd.>",
            *_read(
                streams.EVENTS,
                streams.AUDIT,
                streams.DEAD,
                streams.FEATURES,
                streams.SAMPLES,
                streams.DECISIONS,
                streams.VERDICTS,
                streams.ACTIONS,
                streams.OUTCOMES,
            ),
            *_info(streams.METRICS.name),
            *_info(streams.QUARANTINE.name),
            *_read_kv(*(b for b in streams.BUCKETS if b is not streams.ACCESS)),
        ],
        subscribe=("actions.>", "pulse.*"),
    ),
    _role(
        "adapter",
        [
            "metrics.*.*",
            "labels.*.*",
            "outcomes.*.*",
            f"metrics.*.*.{subjects.MARK}",
            *_info(streams.METRICS.name),
            *_read(streams.VERDICTS, streams.EVENTS),
        ],
        subscribe=("actions.>",),
    ),
    _role("auditor", _read(streams.METRICS, streams.VERDICTS, streams.ACTIONS, streams.EVENTS)),
)

ROLES: Final[dict[str, Role]] = {r.name: r for r in (_STACK, *_SERVICES, *_PEOPLE_AND_TOOLS)}
"""Every role but the elements'. `stack` provisions streams and belongs to the installer alone."""
