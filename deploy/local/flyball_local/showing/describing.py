"""One stored message as one line for people, or as one object for programs. Pure."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from flyball_gateway.picturing import telling
from flyball_kit.newest import Stored
from flyball_local.showing.tail import Followed
from flyball_proto.acts import Act
from flyball_proto.columns import (
    Category,
    Column,
    Decisions,
    Flow,
    Rows,
    Samples,
    SkipReason,
    Verdict,
    Verdicts,
    decode_decisions,
    decode_features,
    decode_samples,
    decode_verdicts,
)
from flyball_proto.events import Action
from flyball_proto.headers import ERROR, ORIGINAL_SUBJECT
from flyball_proto.holds import Answer, BulkAnswer, Withdrawal
from flyball_proto.subjects import EVENT_DOMAINS

_SPOKEN: Final[TypeAdapter[Answer | BulkAnswer | Withdrawal]] = TypeAdapter(
    Answer | BulkAnswer | Withdrawal
)

DIGEST_CHARS: Final = 8
MAX_RAW_CHARS: Final = 300
"""Of a message that no line is known for."""

Message = Followed | Stored


def describe(message: Message) -> str | None:
    """One line for people; None for ticks and for what only moves a position."""
    if not message.data:
        return None
    words = _words(message, message.subject.split(".", 1)[0])
    return None if words is None else f"{message.subject}  {words}"


def as_json(message: Message) -> dict[str, Any] | None:
    """The message decoded, with its place; None where `describe` is silent."""
    words = describe(message)
    if words is None:
        return None
    return {
        "sequence": message.sequence,
        "subject": message.subject,
        "words": words.removeprefix(f"{message.subject}  "),
        "content": _content(message, message.subject.split(".", 1)[0]),
    }


def _words(message: Message, kind: str) -> str | None:
    data = message.data
    if kind == "features":
        features = decode_features(data)
        words = f"{_rows(features.rows)} of {features.feature.shape[1]} features"
        return _line(words, features.rows, features.flow)
    if _is_decisions(message):
        decisions = decode_decisions(data)
        return _line(_decisions(decisions), decisions.rows, decisions.flow)
    if kind == "verdicts":
        verdicts = decode_verdicts(data)
        ends = "".join(f"; {_released(verdicts, i)}" for i in range(len(verdicts.released)))
        return _line(_verdicts(verdicts), verdicts.rows, verdicts.flow, ends)
    if kind == "samples":
        samples = decode_samples(data)
        return _line(_samples(samples), samples.rows, samples.flow)
    return _control(message, kind)


def _control(message: Message, kind: str) -> str:
    """Events, actions, acts, answers and dead letters."""
    if kind in EVENT_DOMAINS:
        told = telling.line(message.subject, message.data)
        return told[1].text if told else _raw(message.data)
    if kind == "dead":
        about = message.headers.get(ORIGINAL_SUBJECT, "a message")
        return f"{about} could not be handled: {message.headers.get(ERROR, 'no reason is given')}"
    try:
        return _SAID.get(kind, _raw)(message.data)
    except ValidationError:
        return _raw(message.data)


def _line(words: str, rows: Rows, flow: Flow, ends: str = "") -> str | None:
    """Rows and what travels with them; None for a mere tick."""
    beside = _flow(flow) + ends
    if not len(rows) and not beside:
        return None
    return f"{words if len(rows) else 'no rows'}{beside}"


def _decisions(batch: Decisions) -> str:
    proposing = np.flatnonzero(batch.action_index)
    words = f"{_rows(batch.rows)}, {len(proposing)} action(s) proposed"
    if not len(proposing):
        return words
    i = int(proposing[np.argmax(batch.score[proposing])])
    action = batch.action[batch.action_index[i] - 1]
    return f"{words}, highest {_element(batch.rows, i)} {action} at {_score(batch, i)}"


def _verdicts(batch: Verdicts) -> str:
    """Counts, and of the rows with an action the one at the highest risk with its figures."""
    counts = {v.name.lower(): int((batch.verdict == v).sum()) for v in Verdict}
    summed = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    words = f"{_rows(batch.rows)}: {summed or 'none'}"
    acting = np.flatnonzero(batch.action_index)
    if not len(acting):
        return words
    return f"{words}; {_row(batch, int(acting[np.argmax(batch.risk[acting])]))}"


def _score(batch: Decisions | Verdicts, i: int) -> str:
    """`score 0.91`, of several classes `score 0.91 of storm`."""
    of = f" of {batch.class_name[batch.class_index[i]]}" if batch.class_name else ""
    return f"score {batch.score[i]:g}{of}"


def _row(batch: Verdicts, i: int) -> str:
    action = batch.action[batch.action_index[i] - 1]
    reason = batch.reason[batch.reason_index[i] - 1] if batch.reason_index[i] else ""
    return (
        f"{_element(batch.rows, i)} {action} at {_score(batch, i)}: "
        f"{Verdict(int(batch.verdict[i])).name.lower()}, "
        f"{Category(int(batch.category[i])).name.lower()} risk {batch.risk[i]:g}"
        f"{f' ({reason})' if reason else ''}"
    )


def _released(batch: Verdicts, i: int) -> str:
    end = batch.released[i]
    by = f" by {end.by}" if end.by else ""
    return (
        f"{end.hold.action} on {end.hold.element} {end.outcome.name.lower()}{by}{_because(end.why)}"
    )


def _samples(batch: Samples) -> str:
    words = f"{_rows(batch.rows)} with their truth"
    if not len(batch.rows):
        return words
    censored = int(batch.censored.sum())
    said, was = float(batch.score.mean()), float(batch.label.mean())
    left = f", {censored} under an action" if censored else ""
    return f"{words}: mean score {said:.3f}, mean label {was:.3f}{left}"


def _action(data: bytes) -> str:
    found = Action.model_validate_json(data)
    return (
        f"{found.action} on {found.element}: score {found.score:g}, {found.verdict}, "
        f"{found.category} risk {found.risk:g}, by {found.model[:DIGEST_CHARS]} epoch {found.epoch}"
    )


def _act(data: bytes) -> str:
    act = Act.model_validate_json(data)
    detail = f" ({act.detail})" if act.detail else ""
    return f"{act.by}: {act.verb} {act.object}{_because(act.why)}: {act.outcome}{detail}"


def _answer(data: bytes) -> str:
    answer = _SPOKEN.validate_json(data)
    because = _because(answer.why)
    if isinstance(answer, BulkAnswer):
        return f"{answer.by} answers {answer.answer} to {len(answer.holds)} holds{because}"
    if isinstance(answer, Withdrawal):
        return f"{answer.by} withdraws the approvals of {answer.withdrawn}{because}"
    return f"{answer.by} answers {answer.answer} to {answer.hold}{because}"


def _because(why: str) -> str:
    return f", because {why!r}" if why else ""


_SAID: Final[Mapping[str, Callable[[bytes], str]]] = {
    "actions": _action,
    "audit": _act,
    "decisions": _answer,  # what people said lies in one order with what models said
}


def _rows(rows: Rows) -> str:
    if len(rows) == 1:
        return f"row {rows.sequence[0]}.{rows.sample[0]} of {rows.element[rows.element_index[0]]}"
    return f"{len(rows)} rows of {len(rows.element)} element(s)"


def _element(rows: Rows, i: int) -> str:
    name: str = rows.element[int(rows.element_index[i])]
    return name


def _flow(flow: Flow) -> str:
    words = ""
    if skipped := int(flow.skipped.rows.sum()):
        reasons = {SkipReason(int(r)).name.lower().replace("_", " ") for r in flow.skipped.reason}
        words += f", {skipped} skipped ({', '.join(sorted(reasons))})"
    if flow.mark:
        words += f", mark {flow.mark.id}"
    return words


def _raw(data: bytes) -> str:
    """The scalars of a JSON object; else the text as it is."""
    try:
        found = json.loads(data)
    except ValueError:
        return data.decode(errors="replace")[:MAX_RAW_CHARS]
    if not isinstance(found, dict):
        return json.dumps(found)[:MAX_RAW_CHARS]
    shown = {k: v for k, v in found.items() if k not in {"version", "pipeline", "at"}}
    words = ", ".join(f"{k.replace('_', ' ')} {_scalar(k, v)}" for k, v in shown.items())
    return words[:MAX_RAW_CHARS]


def _scalar(key: str, value: Any) -> str:
    if "digest" in key and isinstance(value, str):
        return value[:DIGEST_CHARS] or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _content(message: Message, kind: str) -> Any:
    if kind == "features":
        return {"rows": _row_objects(decode_features(message.data).rows, {})}
    if _is_decisions(message):
        decisions = decode_decisions(message.data)
        return {"rows": _row_objects(decisions.rows, _proposed(decisions))}
    if kind == "verdicts":
        return _verdict_object(decode_verdicts(message.data))
    if kind == "samples":
        samples = decode_samples(message.data)
        columns = {"score": samples.score, "label": samples.label, "censored": samples.censored}
        return {"rows": _row_objects(samples.rows, {k: v.tolist() for k, v in columns.items()})}
    try:
        return json.loads(message.data)
    except ValueError:
        return message.data.decode(errors="replace")


def _verdict_object(batch: Verdicts) -> dict[str, Any]:
    columns = {
        **_proposed(batch),
        "verdict": [Verdict(v).name.lower() for v in batch.verdict.tolist()],
        "category": [Category(c).name.lower() for c in batch.category.tolist()],
        "risk": batch.risk.tolist(),
        "reason": [batch.reason[i - 1] if i else "" for i in batch.reason_index.tolist()],
    }
    ends = [
        {"hold": r.hold.decision, "outcome": r.outcome.name.lower(), "by": r.by, "why": r.why}
        for r in batch.released
    ]
    return {"rows": _row_objects(batch.rows, columns), "released": ends}


def _proposed(batch: Decisions | Verdicts) -> dict[str, list[Any]]:
    models = [batch.model[i] for i in batch.model_index.tolist()]
    classes = [batch.class_name[i] for i in batch.class_index.tolist()]
    return {
        "score": batch.score.tolist(),
        **({"class": classes} if classes else {}),
        "action": [batch.action[i - 1] if i else None for i in batch.action_index.tolist()],
        "model": [model.digest for model in models],
        "trainer": [model.trainer for model in models],
        "epoch": [model.epoch for model in models],
    }


def _row_objects(rows: Rows, columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    known = {
        "element": [rows.element[i] for i in rows.element_index.tolist()],
        "sequence": _list(rows.sequence),
        "sample": _list(rows.sample),
        "time_ms": _list(rows.time_ms),
        **columns,
    }
    return [dict(zip(known, values, strict=True)) for values in zip(*known.values(), strict=True)]


def _list(column: Column) -> list[Any]:
    found: list[Any] = column.tolist()
    return found


def _is_decisions(message: Message) -> bool:
    """Decisions, not people's answers, which lie in one order with them."""
    return message.subject.startswith("decisions.") and not message.subject.endswith(".answers")
