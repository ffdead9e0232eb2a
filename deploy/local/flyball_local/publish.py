"""One report through the running stack, and in words what became of it."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import nats.errors
import numpy as np
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from flyball_kit.clock import new_id, wall_ms
from flyball_kit.errors import TransientError
from flyball_local.control import status
from flyball_local.invalid import InvalidInputError
from flyball_local.session import Session
from flyball_local.showing.tail import follow
from flyball_proto import subjects
from flyball_proto.columns import Category, SkipReason, Verdict, Verdicts, decode_verdicts
from flyball_proto.headers import MESSAGE_ID
from flyball_proto.report import parse_time_ms
from flyball_proto.spec import Pipeline, warm_up_rows
from flyball_proto.streams import PIPELINES, VERDICTS

WAIT_S: Final = 20.0

Values = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pipeline made of a report; `sentence` is for people, `values` for `--json`."""

    pipeline: str
    sentence: str
    values: dict[str, Any]


def parse_values(pairs: list[str]) -> Values:
    """`metric=value` words; an empty value says that it could not be measured.

    Raises:
        InvalidInputError: One has no `=`.
    """
    values: Values = {}
    for metric, text in parse_pairs(pairs, "metric=value, e.g. RRU.PrbTotDl=71").items():
        try:
            values[metric] = float(text) if text else None
        except ValueError:
            values[metric] = text  # goes out as it is, and ends in quarantine with its reason
    return values


def parse_pairs(pairs: list[str], valid: str) -> dict[str, str]:
    """`name=text` words.

    Raises:
        InvalidInputError: One has no `=`, or no name.
    """
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidInputError(f"{pair!r}: found no name and `=`; valid: {valid}")
        found[name] = text
    return found


async def publish(
    session: Session,
    source: str,
    element: str,
    values: Values,
    *,
    labels: dict[str, str] | None = None,
    time: str | None = None,
    rows: int = 1,
) -> list[Outcome]:
    """Publish one report and wait until every pipeline of the source has judged its last row.

    With several rows the same values are reported as of `rows` seconds, the last one now.

    Raises:
        InvalidInputError: The source or element cannot be named so, or nothing reads the source.
        TransientError: No verdict in time.
    """
    _check_names(source, element)
    samples = _samples(values, time, rows)
    body = {"element": element, "labels": labels or {}, "samples": samples}
    subject, report = subjects.metrics(source, element), msgspec.json.encode(body)
    _, found = await publish_raw(session, subject, report, {}, source)
    return found


async def publish_raw(
    session: Session,
    subject: str,
    report: bytes,
    headers: dict[str, str],
    source: str | None = None,
) -> tuple[int, list[Outcome]]:
    """Publish a report as it is; its METRICS sequence and what the source's pipelines made of it.

    Without a source nobody is waited for.

    Raises:
        InvalidInputError: Nothing reads the source.
        TransientError: No verdict in time.
    """
    operator, adapter = await session.connect("operator"), await session.connect("adapter")
    try:
        pipelines = await _readers(operator, source) if source else []
        before = (await adapter.jetstream().stream_info(VERDICTS.name)).state.last_seq
        sequence = await _send(adapter, subject, report, headers)
        return sequence, [
            await _outcome(operator, adapter, pipeline, sequence, before) for pipeline in pipelines
        ]
    finally:
        await operator.close()
        await adapter.close()


async def _readers(operator: Client, source: str) -> list[str]:
    applied = (await status(operator)).pipelines
    if found := [p.pipeline for p in applied if p.source == source]:
        return found
    known = ", ".join(sorted({p.source for p in applied})) or "none"
    raise InvalidInputError(
        f"source {source!r}: found no applied pipeline that reads it, only of: {known}; "
        "apply one: flyball apply -f FILE, and see flyball status"
    )


def judged(batch: Verdicts, sequence: int) -> Outcome | None:
    """What a batch says of the report; None when it says nothing."""
    found = np.flatnonzero(batch.rows.sequence == sequence)
    if len(found):
        return _decided(batch, int(found[-1]))
    skipped = batch.flow.skipped
    found = np.flatnonzero(skipped.sequence == sequence)
    if not len(found):
        return None
    reason = SkipReason(int(skipped.reason[found[0]]))
    detail = skipped.detail[found[0]] if skipped.detail else ""
    words = reason.name.lower().replace("_", " ")
    sentence = f"{words}: {detail.replace(',', ', ')}" if detail else words
    if reason is SkipReason.QUARANTINED:
        sentence += " (kept untouched in QUARANTINE)"
    return Outcome(
        batch.pipeline,
        sentence,
        {"outcome": reason.name.lower(), "reasons": detail.split(",") if detail else []},
    )


def _decided(batch: Verdicts, i: int) -> Outcome:
    verdict, category = Verdict(int(batch.verdict[i])), Category(int(batch.category[i]))
    action = batch.action[batch.action_index[i] - 1] if batch.action_index[i] else None
    reason = batch.reason[batch.reason_index[i] - 1] if batch.reason_index[i] else ""
    model = batch.model[batch.model_index[i]]
    score, risk = float(batch.score[i]), float(batch.risk[i])
    sentence = (
        f"score {score:g} by {model.trainer} {model.digest[:8]}, "
        f"{f'proposes {action}' if action else 'proposes nothing'}: "
        f"{verdict.name.lower()}, {category.name.lower()} risk {risk:g}"
    )
    values = {
        "outcome": "decided",
        "score": score,
        "action": action,
        "verdict": verdict.name.lower(),
        "category": category.name.lower(),
        "risk": risk,
        "reason": reason,
        "model": model.digest,
        "epoch": model.epoch,
    }
    return Outcome(batch.pipeline, f"{sentence} ({reason})" if reason else sentence, values)


def _samples(values: Values, time: str | None, rows: int) -> list[dict[str, object]]:
    end_ms = parse_time_ms(time) if time else wall_ms()
    return [{"time_ms": end_ms - 1000 * (rows - 1 - i), "values": values} for i in range(rows)]


async def _send(adapter: Client, subject: str, report: bytes, headers: dict[str, str]) -> int:
    try:
        acknowledged = await adapter.jetstream().publish(
            subject, report, headers={**headers, MESSAGE_ID: new_id()}
        )
    except (TimeoutError, nats.errors.Error) as error:
        raise TransientError(
            f"METRICS did not acknowledge the report ({error}); see flyball status, and try again"
        ) from error
    return acknowledged.seq


async def _outcome(
    operator: Client, adapter: Client, pipeline: str, sequence: int, before: int
) -> Outcome:
    pattern = f"verdicts.{pipeline}.*"
    try:
        async with (
            asyncio.timeout(WAIT_S),
            aclosing(follow(adapter, VERDICTS.name, pattern, before)) as messages,
        ):
            async for message in messages:
                found = judged(decode_verdicts(message.data), sequence) if message.data else None
                if found is None:
                    continue
                if found.values["outcome"] == "warming_up":
                    return await _warming_up(operator, found)
                return found
    except TimeoutError as error:
        raise TransientError(
            f"pipeline {pipeline} has no verdict on METRICS {sequence} after {WAIT_S:.0f} s; with "
            "`emit: watermark` it waits for a later row, else see flyball status and the logs"
        ) from error
    raise AssertionError("follow ends by an exception alone")


async def _warming_up(operator: Client, found: Outcome) -> Outcome:
    """Say how many rows it takes, if the pipeline's record can be read."""
    key = f"$KV.{PIPELINES.name}.pipeline.{found.pipeline}"
    try:
        record = await operator.jetstream().get_last_msg(f"KV_{PIPELINES.name}", key, direct=True)
    except NotFoundError:
        return found
    needed = warm_up_rows(Pipeline.model_validate_json(record.data or b""))
    sentence = f"warming up: decides from row {needed} of an element on; publish again"
    return Outcome(found.pipeline, sentence, {**found.values, "needed_rows": needed})


def _check_names(source: str, element: str) -> None:
    if not subjects.is_name(source):
        raise InvalidInputError(
            f"source {source!r}: valid are lower-case letters, digits and dashes, e.g. ran"
        )
    if not subjects.is_element(element):
        raise InvalidInputError(
            f"element {element!r}: valid are 1 to {subjects.MAX_ELEMENT_CHARS} of "
            "A-Z a-z 0-9 _ - : @ / = + , % ~, the first not an underscore"
        )
