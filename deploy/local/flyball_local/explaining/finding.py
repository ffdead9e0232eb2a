"""Reads the story of a decision from a running stack, under role `operator`."""

from collections.abc import Iterable
from typing import Final

from nats.aio.client import Client

from flyball_kit.direct import read_behind
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.segments import Entry
from flyball_local.explaining.story import Answer, Label, Sent, Story, Vouched
from flyball_local.invalid import InvalidInputError
from flyball_local.lineage.finding import DECISION, lineage
from flyball_local.lineage.trail import DecidedRow
from flyball_proto import streams, subjects
from flyball_proto.acts import Act
from flyball_proto.chains import Place
from flyball_proto.columns import decode_samples
from flyball_proto.events import Action
from flyball_proto.headers import COVERS
from flyball_proto.holds import Hold
from flyball_proto.outcomes import ActionOutcome, AnyRecord, action_outcomes, told_key

SAMPLE_BATCHES: Final = 2_000
"""Batches of samples behind the decision that are looked through for its label."""


def parts_of(decision: str) -> tuple[str, int, int]:
    """Pipeline, METRICS sequence and sample of a decision.

    Raises:
        InvalidInputError: it names none.
    """
    if (found := DECISION.fullmatch(decision)) is None:
        raise InvalidInputError(
            f"{decision!r} is no decision; valid: <pipeline>.<METRICS sequence>.<sample>, as "
            "flyball tail 'actions.>' and flyball holds list show them"
        )
    return found[1], int(found[2]), int(found[3])


async def explain(client: Client, objects: Objects, decision: str) -> Story:
    """The story of a decision.

    Raises:
        NotFoundHereError: VERDICTS does not hold it any more; an export or the archive may.
        InvalidInputError: it is no decision.
    """
    pipeline, sequence, sample = parts_of(decision)
    trail = await lineage(client, objects, decision)
    row = trail.row
    if row is None:
        raise InvalidInputError(f"{decision!r} is no decision")
    return Story(
        row,
        trail,
        answer=_answer(trail.hold) if trail.hold else None,
        sent=await _sent(client, pipeline, row),
        outcome=await _outcome(client, pipeline, decision, row.element),
        label=await _label(client, row, pipeline, sequence, sample),
        vouched=await _vouched(client, row, pipeline),
    )


def _answer(hold: Hold) -> Answer:
    code = hold.answered_code or ""
    return Answer(hold.state, hold.answered_by, code, hold.answered_why, hold.answered_at)


async def _sent(client: Client, pipeline: str, row: DecidedRow) -> Sent | None:
    subject, after = subjects.actions(pipeline, row.element), 0
    while batch := await read_behind(client, streams.ACTIONS.name, subject, after):
        for _, entry in batch:
            if row.id.encode() in entry.data:
                action = Action.model_validate_json(entry.data)
                if action.decision == row.id:
                    return Sent(action.action, action.element, entry.at)
        after = batch[-1][1].sequence
    return None


async def _outcome(
    client: Client, pipeline: str, decision: str, element: str
) -> ActionOutcome | None:
    kept: Kv[AnyRecord] = Kv(lambda: client, streams.ACKNOWLEDGED, AnyRecord)
    found: dict[str, AnyRecord] = {}
    for key in (decision, told_key(decision, element), f"{decision}.overdue"):
        value, _ = await kept.load(key)
        if value is not None:
            found[key] = value
    outcomes = [one for one in action_outcomes(found) if one.pipeline == pipeline]
    return outcomes[0] if outcomes else None


async def _label(
    client: Client, row: DecidedRow, pipeline: str, sequence: int, sample: int
) -> Label | None:
    """The sample that ingest made of the decision; it comes once the truth is known."""
    subject = subjects.samples(pipeline, row.feature_digest[:8], row.partition)
    after = looked = 0
    while looked < SAMPLE_BATCHES and (
        batch := await read_behind(client, streams.SAMPLES.name, subject, after)
    ):
        for _, entry in batch:
            if not entry.data or _ends_before(entry, sequence):
                continue
            looked += 1
            if (found := _labelled(entry.data, sequence, sample)) is not None:
                return found
        after = batch[-1][1].sequence
    return None


def _ends_before(entry: Entry, sequence: int) -> bool:
    words = entry.headers.get(COVERS, "").split()
    return len(words) == 3 and int(words[2]) < sequence


def _labelled(data: bytes, sequence: int, sample: int) -> Label | None:
    batch = decode_samples(data)
    hits = ((batch.rows.sequence == sequence) & (batch.rows.sample == sample)).nonzero()[0]
    if not len(hits):
        return None
    i = int(hits[0])
    return Label(float(batch.label[i]), int(batch.known_ms[i]), bool(batch.censored[i]))


async def _vouched(client: Client, row: DecidedRow, pipeline: str) -> Vouched | None:
    if not row.chain:
        return None
    subject, after = subjects.audit("risk"), 0
    while batch := await read_behind(client, streams.AUDIT.name, subject, after):
        if (found := vouched_by((entry for _, entry in batch), row, pipeline)) is not None:
            return found
        after = batch[-1][1].sequence
    return None


def vouched_by(acts: Iterable[Entry], row: DecidedRow, pipeline: str) -> Vouched | None:
    """The first checkpoint among these acts that covers the decision's verdict."""
    wanted, number = subjects.verdicts(pipeline, row.partition), Place.parse(row.chain).number
    for entry in acts:
        if b'"heads"' not in entry.data:
            continue
        act = Act.model_validate_json(entry.data)
        made = act.checkpoint
        if made is None or act.link is None:
            continue
        if any(head.subject == wanted and head.number >= number for head in made.heads):
            key = made.signature.key if made.signature else ""
            return Vouched(f"audit.{act.service}", act.link.number, made.at, key)
    return None
