"""Reads the story of a decision from an export or a copy of the archive: no broker, no S3."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from flyball_kit.segments import Entry
from flyball_local.explaining.finding import parts_of, vouched_by
from flyball_local.explaining.story import Answer, Story
from flyball_local.lineage.finding import NotFoundHereError, StoredVerdicts, pick
from flyball_local.lineage.trail import DecidedRow
from flyball_local.record.folders import entries, segments
from flyball_proto import streams, subjects
from flyball_proto.columns import Verdict, decode_verdicts
from flyball_proto.headers import CHAIN, COVERS


def explain_from(folder: Path, decision: str) -> Story:
    """The story of a decision, as far as verdicts and acts tell it.

    Raises:
        InvalidInputError: it is no decision, or the folder is none of ours.
        NotFoundHereError: the folder does not hold it.
    """
    pipeline, sequence, sample = parts_of(decision)
    own = f"verdicts.{pipeline}."
    of_pipeline = [s for stream, s in sorted(segments(folder)) if s.startswith(own)]
    for subject in of_pipeline:
        following = entries(folder, streams.VERDICTS.name, subject)
        for entry in following:
            row = _row(entry, subject, sequence, sample)
            if row is not None:
                return _story(folder, row, entry, following, pipeline)
    known = ", ".join(of_pipeline) or "no verdicts of that pipeline"
    raise NotFoundHereError(f"decision {decision} is not in {folder}; it holds {known}")


def _row(entry: Entry, subject: str, sequence: int, sample: int) -> DecidedRow | None:
    words = entry.headers.get(COVERS, "").split()
    if len(words) != 3 or not int(words[1]) <= sequence <= int(words[2]):
        return None
    place = entry.headers.get(CHAIN, "")
    verdicts = decode_verdicts(entry.data)
    stored = StoredVerdicts(verdicts, subject, entry.at, entry.sequence, place)
    return pick(stored, sequence, sample)


def _story(
    folder: Path, row: DecidedRow, entry: Entry, following: Iterator[Entry], pipeline: str
) -> Story:
    answer = _answer(row, entry, following) if row.verdict is Verdict.HOLD else None
    acts = entries(folder, streams.AUDIT.name, subjects.audit("risk"))
    return Story(
        row,
        answer=answer,
        vouched=vouched_by(acts, row, pipeline) if row.chain else None,
        source="verdicts and acts",
        missing=("actions, outcomes, labels and models are not part of the record of verdicts",),
    )


def _answer(row: DecidedRow, entry: Entry, following: Iterator[Entry]) -> Answer | None:
    """How the hold ended, as a later output says; None when the row opened none."""
    if all(hold.decision != row.id for hold in decode_verdicts(entry.data).opened):
        return None
    for later in chain((entry,), following):
        for end in decode_verdicts(later.data).released:
            if end.hold.decision == row.id:
                at = datetime.fromtimestamp(end.at_ms / 1000, UTC) if end.at_ms else None
                return Answer(end.outcome.name.lower(), end.by, end.code, end.why, at)
    return Answer("open")
