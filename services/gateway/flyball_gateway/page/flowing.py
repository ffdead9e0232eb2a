"""The flow from a metric to an action, and the services around it, as HTML. Pure."""

from collections.abc import Mapping
from html import escape
from typing import Final

from flyball_gateway.page import wording
from flyball_gateway.picturing.picture import Loop, Part, Picture, Stage, Stored

_FLOW: Final = (
    ("ingest", "Ingest", "ingest", "checks metrics, makes features"),
    ("inference", "Inference", "inference", "the active model scores"),
    ("risk", "Risk", "risk", "judges every decision"),
    ("actions", "Actions", "risk", "cleared ones reach elements"),
)
_BETWEEN: Final = {"inference": "FEATURES", "risk": "DECISIONS", "actions": "VERDICTS"}
_AROUND: Final = (
    ("trainer", "Trainer", "fits models"),
    ("registry", "Registry", "admits and compares them"),
    ("deployer", "Deployer", "moves the seat"),
    ("gateway", "Gateway", "this page"),
)
_SIGNS: Final = {"well": "●", "not ready": "◐", "broken": "✕", "silent": "✕", "not heard yet": "○"}


def flow(picture: Picture, loop: Loop) -> str:
    """Everything that a metric passes, and who stands beside."""
    stages = {stage.name: stage for stage in loop.stages}
    stored = {stored.stream: stored for stored in picture.stored}
    steps = "".join(
        _between(name, stored)
        + _step(title, what, picture.part(service), stages.get(name), is_output=name == "actions")  # type: ignore[call-overload] # names of stages
        for name, title, service, what in _FLOW
    )
    labels = stages.get("labels")
    around = "".join(
        _beside(title, what, picture.part(service)) for service, title, what in _AROUND
    )
    labelled = (
        f'<p class="note">Labels that became known: {wording.rate(labels.rows_per_s)} go back to '
        "the trainers and to the registry, which closes the loop.</p>"
        if labels
        else ""
    )
    return f'<ol class="flow">{steps}</ol><ul class="around">{around}</ul>{labelled}'


def _between(name: str, stored: Mapping[str, Stored]) -> str:
    stream = stored.get(_BETWEEN.get(name, ""))
    if stream is None:
        return '<li class="arrow" aria-hidden="true">→</li>' if name in _BETWEEN else ""
    return (
        f'<li class="arrow"><span aria-hidden="true">→</span><small>{stream.stream.lower()}<br>'
        f"{wording.size(stream.size_bytes)} kept</small></li>"
    )


def _step(title: str, what: str, part: Part | None, stage: Stage | None, *, is_output: bool) -> str:
    latency = (
        f"{wording.milliseconds(stage.p50_ms)} <i>p50</i> · "
        f"{wording.milliseconds(stage.p99_ms)} <i>p99</i>"
        if stage
        else wording.DASH
    )
    rate = wording.rate(stage.rows_per_s if stage else None, "actions" if is_output else "rows")
    lag = f"{wording.count(stage.lag)} waiting" if stage else "not running for this pipeline"
    behind = " behind" if stage and stage.lag > 1_000 else ""
    return (
        f'<li class="box {_class(part)}"><h3>{title} {_sign(part)}</h3>'
        f'<p class="big">{rate}</p><p>{latency}</p><p class="lag{behind}">{lag}</p>'
        f"{_reason(part) or f'<p class=note>{what}</p>'}</li>"
    )


def _beside(title: str, what: str, part: Part | None) -> str:
    return (
        f'<li class="box {_class(part)}"><h3>{title} {_sign(part)}</h3>'
        f"{_reason(part) or f'<p class=note>{what}</p>'}</li>"
    )


def _class(part: Part | None) -> str:
    if part is None or part.health == "not heard yet":
        return "unknown"
    return {"well": "well", "not ready": "unready"}.get(part.health, "dead")


def _sign(part: Part | None) -> str:
    health = part.health if part else "not heard yet"
    return f'<span class="sign">{_SIGNS[health]} {health}</span>'


def _reason(part: Part | None) -> str:
    if part is None or part.is_well:
        return ""
    found = "; ".join(part.reasons) or "it gives no reason"
    return f'<p class="reason">{escape(found)}</p>'
