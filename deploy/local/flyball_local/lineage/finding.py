"""Reads a trail together: streams and buckets under role `operator`, bundles from the object store."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

import numpy as np
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pydantic import TypeAdapter, ValidationError

from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_local.audit.stored import read
from flyball_local.invalid import InvalidInputError
from flyball_local.lineage.trail import DecidedRow, Trail
from flyball_proto import streams, subjects
from flyball_proto.bundles import (
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    manifest_key,
    signature_key,
)
from flyball_proto.columns import Category, Quality, Verdict, Verdicts, decode_verdicts
from flyball_proto.deployments import CanaryMoved, DeploymentActivated
from flyball_proto.events import (
    Action,
    Event,
    Manifest,
    ModelRecord,
    ModelRefused,
    ModelTrained,
    PipelineApplied,
    Signature,
)
from flyball_proto.headers import CHAIN, COVERS
from flyball_proto.holds import Hold
from flyball_proto.judgements import AnyJudgement, Judgement

MAX_EVENTS: Final = 100_000
"""Of one pipeline; older ones are not looked at."""
MAX_PARTITIONS: Final = 256
SIGNALS: Final = ("novelty", "disagreement", "confidence", "credibility", "error")
DECISION: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,62})\.(\d+)\.(\d+)")
_KINDS: Final[dict[str, type[Event]]] = {
    f"{kind.domain}.{kind.what}": kind
    for kind in (
        PipelineApplied,
        ModelTrained,
        ModelRefused,
        DeploymentActivated,
        CanaryMoved,
    )
}
_JUDGEMENTS: Final[TypeAdapter[AnyJudgement]] = TypeAdapter(AnyJudgement)

E = TypeVar("E", bound=Event)
W = TypeVar("W", Manifest, Signature)


class NotFoundHereError(PermanentError):
    """No such decision or model is stored."""

    kind = "not-found"


async def lineage(client: Client, objects: Objects, wanted: str) -> Trail:
    """The trail of a decision (`<pipeline>.<METRICS sequence>.<sample>`) or of a model's digest.

    Raises:
        InvalidInputError: `wanted` is neither, or several models begin so.
        NotFoundHereError: Nothing of the kind is stored any more.
    """
    if (found := DECISION.fullmatch(wanted)) is not None:
        pipeline, sequence, sample = found[1], int(found[2]), int(found[3])
        row = await decided_row(client, pipeline, sequence, sample)
        trail = Trail(pipeline, row.model, row=row)
        trail = replace(trail, action=await _action(client, row), hold=await _hold(client, row.id))
    else:
        record = await _model(client, wanted)
        trail = Trail(record.pipeline, record.digest)
    events = await _events(client, trail.pipeline)
    trail = await _with_bundle(_with_events(trail, events), objects)
    models: Kv[ModelRecord] = Kv(lambda: client, streams.MODELS, ModelRecord)
    record_now, _ = await models.load(f"{trail.pipeline}.{trail.digest}")
    return replace(trail, record=record_now)


async def _model(client: Client, prefix: str) -> ModelRecord:
    """The model whose digest begins so."""
    if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
        raise InvalidInputError(
            f"{prefix!r} is neither a decision (<pipeline>.<METRICS sequence>.<sample>) nor the "
            "beginning of a model's digest (4 to 64 hexadecimal digits); flyball models list, or "
            "flyball tail 'actions.>' shows some"
        )
    models: Kv[ModelRecord] = Kv(lambda: client, streams.MODELS, ModelRecord)
    every = [record for record, _ in (await models.items()).values()]
    found = [record for record in every if record.digest.startswith(prefix)]
    if not found:
        raise NotFoundHereError(
            f"no model begins with {prefix}; {len(every)} are known: flyball models list"
        )
    if len(found) > 1:
        names = ", ".join(sorted(record.digest[:16] for record in found)[:5])
        raise InvalidInputError(
            f"{len(found)} models begin with {prefix}: {names}; give more of it"
        )
    return found[0]


async def decided_row(client: Client, pipeline: str, sequence: int, sample: int) -> DecidedRow:
    """The decision's row of VERDICTS; asks every partition that has some."""
    js = client.jetstream()
    pattern = subjects.verdicts(pipeline, 0).rsplit(".", 1)[0]
    info = await js.stream_info(streams.VERDICTS.name, subjects_filter=f"{pattern}.*")
    for subject in sorted(info.state.subjects or {})[:MAX_PARTITIONS]:
        first, last = info.state.first_seq, info.state.last_seq
        batch = await _covering(client, subject, sequence, first, last)
        if batch is not None and (row := pick(batch, sequence, sample)) is not None:
            return row
    raise NotFoundHereError(
        f"decision {pipeline}.{sequence}.{sample} is not stored: VERDICTS keeps hours of rows; "
        f"flyball tail 'verdicts.{pipeline}.>' --all shows what it has"
    )


@dataclass(frozen=True, slots=True)
class StoredVerdicts:
    """A batch of verdicts and where it is kept."""

    verdicts: Verdicts
    subject: str
    at: datetime
    sequence: int
    chain: str


async def _covering(
    client: Client, subject: str, sequence: int, first: int, last: int
) -> StoredVerdicts | None:
    """The message of `subject` that covers a METRICS sequence: covers only grow, so by bisection."""
    while first <= last:
        middle = (first + last) // 2
        found = await _next_covering(client, subject, middle, last)
        if found is None:
            last = middle - 1
            continue
        at, (begin, end), message = found
        if begin <= sequence <= end:
            stored_at = message.time or datetime.fromtimestamp(0, UTC)
            chain = (message.headers or {}).get(CHAIN, "")
            verdicts = decode_verdicts(message.data or b"")
            return StoredVerdicts(verdicts, subject, stored_at, at, chain)
        if sequence < begin:
            last = middle - 1
        else:
            first = at + 1
    return None


async def _next_covering(
    client: Client, subject: str, start: int, last: int
) -> tuple[int, tuple[int, int], RawStreamMsg] | None:
    """The first message from `start` on that covers rows; claims and ticks are passed over."""
    js = client.jetstream()
    while start <= last:
        try:
            found = await js.get_msg(
                streams.VERDICTS.name, seq=start, subject=subject, next=True, direct=True
            )
        except NotFoundError:
            return None
        at = found.seq or start
        words = ((found.headers or {}).get(COVERS) or "").split()
        if at <= last and len(words) == 3 and words[2] != "0":
            return at, (int(words[1]), int(words[2])), found
        start = at + 1
    return None


def pick(stored: StoredVerdicts, sequence: int, sample: int) -> DecidedRow | None:
    """The row of one sample; None when the batch has none."""
    batch, rows = stored.verdicts, stored.verdicts.rows
    hits = np.flatnonzero((rows.sequence == sequence) & (rows.sample == sample))
    if not len(hits):
        return None
    i = int(hits[0])
    element, model = int(rows.element_index[i]), batch.model[int(batch.model_index[i])]
    action, reason = int(batch.action_index[i]), int(batch.reason_index[i])
    return DecidedRow(
        id=f"{batch.pipeline}.{sequence}.{sample}",
        element=rows.element[element],
        labels=rows.label_set[int(rows.label_index[element])],
        time_ms=int(rows.time_ms[i]),
        score=float(batch.score[i]),
        class_name=batch.class_name[int(batch.class_index[i])] if batch.class_name else None,
        action=batch.action[action - 1] if action else None,
        verdict=Verdict(int(batch.verdict[i])),
        category=Category(int(batch.category[i])),
        risk=float(batch.risk[i]),
        reason=batch.reason[reason - 1] if reason else None,
        model=model.digest,
        trainer=model.trainer,
        stage=model.stage,
        epoch=model.epoch,
        feature_digest=batch.feature_digest,
        revisions=dict(batch.flow.revisions),
        stored_at=stored.at,
        partition=int(stored.subject.rsplit(".", 1)[1]),
        metrics=(batch.flow.first, batch.flow.last),
        sequence=stored.sequence,
        chain=stored.chain,
        quality=tuple(f.name.lower() for f in Quality(int(batch.quality[i])) if f.name),
        signals=_signals(batch, i),
        policy=batch.policy_hash,
    )


def _signals(batch: Verdicts, i: int) -> dict[str, float]:
    """What was known about a proposal when it was judged."""
    if not batch.action_index[i]:
        return {}
    place = int(np.count_nonzero(batch.action_index[:i]))
    columns = {name: getattr(batch.assessment, name) for name in SIGNALS}
    found = {name: float(column[place]) for name, column in columns.items() if len(column)}
    return {name: value for name, value in found.items() if math.isfinite(value)}


async def _action(client: Client, row: DecidedRow) -> Action | None:
    subject, after = subjects.actions(row.id.split(".", 1)[0], row.element), 0
    while batch := await read(client, streams.ACTIONS.name, subject, after):
        for message in batch:
            action = Action.model_validate_json(message.data)
            if action.decision == row.id:
                return action
        after = batch[-1].sequence
    return None


async def _hold(client: Client, decision: str) -> Hold | None:
    holds: Kv[Hold] = Kv(lambda: client, streams.HOLDS, Hold)
    found, _ = await holds.load(decision)
    return found


async def _events(client: Client, pipeline: str) -> list[Event]:
    """What is stored of a pipeline and matters here, oldest first; unreadable ones are left out."""
    info = await client.jetstream().stream_info(streams.EVENTS.name)
    after, found = max(0, info.state.last_seq - MAX_EVENTS), list[Event]()
    while batch := await read(client, streams.EVENTS.name, f"*.{pipeline}.>", after):
        for message in batch:
            event = _event(message.subject, message.data)
            if event is not None:
                found.append(event)
        after = batch[-1].sequence
    return found


def _event(subject: str, data: bytes) -> Event | None:
    domain, _, what = subject.split(".", 2)
    try:
        if domain == "evaluation":
            return _JUDGEMENTS.validate_json(data)
        kind = _KINDS.get(f"{domain}.{what}")
        return None if kind is None else kind.model_validate_json(data)
    except ValidationError:
        return None


def _with_events(trail: Trail, events: Iterable[Event]) -> Trail:
    events = list(events)
    digest, row = trail.digest, trail.row
    placed = [
        event
        for event in events
        if isinstance(event, DeploymentActivated | CanaryMoved) and event.digest == digest
    ]
    if row is not None:
        placed = [event for event in placed if event.epoch <= row.epoch][-1:]
    numbers = {e.judgement for e in placed if isinstance(e, DeploymentActivated)}
    judged = [e for e in _of(events, Judgement) if e.number in numbers]
    trained = [e for e in _of(events, ModelTrained) if e.digest == digest]
    features = row.feature_digest if row else (trained[-1].feature_digest if trained else "")
    applied = [e for e in _of(events, PipelineApplied) if e.feature_digest == features]
    if row is not None:
        applied = [e for e in applied if e.at <= row.stored_at] or applied[:1]
    return replace(
        trail,
        placements=tuple(placed),
        judgement=_last(judged),
        trained=_last(trained),
        refused=_last([e for e in _of(events, ModelRefused) if e.digest == digest]),
        applied=_last(applied),
    )


def _of(events: Iterable[Event], *kinds: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kinds)]


def _last(found: list[E]) -> E | None:
    return found[-1] if found else None


async def _with_bundle(trail: Trail, objects: Objects) -> Trail:
    missing: list[str] = []
    manifest = await _object(
        objects, manifest_key(trail.digest), MAX_MANIFEST_BYTES, Manifest, missing
    )
    signed = await _object(
        objects, signature_key(trail.digest), MAX_SIGNATURE_BYTES, Signature, missing
    )
    return replace(trail, manifest=manifest, signature=signed, missing=tuple(missing))


async def _object(
    objects: Objects, key: str, limit: int, kind: type[W], missing: list[str]
) -> W | None:
    try:
        return kind.model_validate_json(await objects.get(key, limit))
    except (PermanentError, TransientError) as error:
        missing.append(str(error))
    except ValidationError:
        missing.append(f"{key} is no {kind.__name__} that this version reads")
    return None
