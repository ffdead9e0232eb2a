"""Events as lines for people: what happened, and the figure that caused it. Pure."""

from collections.abc import Callable
from functools import singledispatch
from typing import Final

from pydantic import ValidationError

from flyball_gateway.picturing.picture import Line, Mood
from flyball_proto import (
    autonomy,
    breakers,
    calibrations,
    deployments,
    events,
    holds,
    judgements,
    outcomes,
)
from flyball_proto.events import Event

DIGEST_CHARS: Final = 8

_TOLD: Final[tuple[type[Event], ...]] = (
    events.PipelineApplied,
    events.ModelTrained,
    events.TrainingFailed,
    events.ModelAdmitted,
    events.ModelRefused,
    events.ModelTripped,
    events.InputLost,
    events.FoldFenced,
    deployments.DeploymentActivated,
    deployments.CanaryMoved,
    deployments.PersonAsked,
    judgements.Superior,
    judgements.Concluded,
    judgements.Refreshed,
    judgements.RefreshRefused,
    judgements.Degraded,
    judgements.CanaryJudged,
    judgements.Restarted,
    judgements.Drifted,
    judgements.ScoresSkewed,
    holds.Held,
    holds.HoldAnswered,
    holds.Stopped,
    holds.Resumed,
    holds.ActionsStopped,
    breakers.BreakerTurned,
    autonomy.AutonomyProposed,
    autonomy.AutonomyDeclined,
    outcomes.ActionRejected,
    outcomes.ActionsUnacknowledged,
    calibrations.Calibrated,
    calibrations.SteppedBackNow,
)
"""Kinds that are told; lockstep's marks and measurements are not."""

KINDS: Final[dict[tuple[str, str], type[Event]]] = {(k.domain, k.what): k for k in _TOLD}
PATTERNS: Final = tuple(kind.pattern() for kind in _TOLD)
"""Subjects to read."""

_CHANGES: Final = {
    "seat-zero": "The first model answers",
    "succession": "Another trainer took the seat",
    "refresh": "A newer model of the same trainer answers",
    "rollback": "Rolled back",
    "promotion": "A person chose the model",
}


def line(subject: str, data: bytes) -> tuple[str, Line] | None:
    """The pipeline and what happened to it; None for what is not told or cannot be read."""
    domain, pipeline, what = (*subject.split(".", 2), "", "")[:3]
    kind = KINDS.get((domain, what))
    if kind is None:
        return None
    try:
        event = kind.model_validate_json(data)
    except ValidationError:
        return None
    return pipeline, line_of(event)


def line_of(event: Event) -> Line:
    """An event in words."""
    mood, text = _tell(event)
    change = event.change if isinstance(event, deployments.DeploymentActivated) else ""
    return Line(event.at, event.domain, mood, text, change)


def short(digest: str) -> str:
    """A digest as people compare it."""
    return digest[:DIGEST_CHARS]


def change_words(change: str) -> str:
    """What kind of change of the seat it was."""
    return _CHANGES.get(change, change)


@singledispatch
def _tell(event: Event) -> tuple[Mood, str]:
    return "plain", f"{event.domain} {event.what}"


def _teller(kind: type[Event], mood: Mood) -> Callable[[Callable[..., str]], Callable[..., str]]:
    def register(words: Callable[..., str]) -> Callable[..., str]:
        _tell.register(kind, lambda event: (mood, words(event)))
        return words

    return register


@_teller(events.PipelineApplied, "plain")
def _applied(e: events.PipelineApplied) -> str:
    return f"Specification applied, revision {e.revision}, by {e.by}."


@_teller(events.ModelTrained, "plain")
def _trained(e: events.ModelTrained) -> str:
    rows = f" from {e.rows:,} rows" if e.rows else ""
    because = {"applied": "", "cadence": ", as its cadence asks", "drift": ", because of drift"}
    took = f" in {e.fit_ms:,.0f} ms" if e.fit_ms else ""
    return f"{e.trainer} trained model {short(e.digest)}{rows}{took}{because[e.because]}."


@_teller(events.TrainingFailed, "careful")
def _training_failed(e: events.TrainingFailed) -> str:
    return f"{e.trainer} gave no model: found {e.found}; needed {e.needed}."


@_teller(events.ModelAdmitted, "plain")
def _admitted(e: events.ModelAdmitted) -> str:
    return f"Model {short(e.digest)} of {e.trainer} passed admission."


@_teller(events.ModelRefused, "bad")
def _refused(e: events.ModelRefused) -> str:
    return (
        f"Model {short(e.digest)} of {e.trainer} was refused: {e.check}, found {e.found}, "
        f"limit {e.limit}."
    )


@_teller(events.ModelTripped, "bad")
def _tripped(e: events.ModelTripped) -> str:
    return f"Inference cannot answer with model {short(e.digest)}: {e.detail}"


@_teller(events.InputLost, "bad")
def _input_lost(e: events.InputLost) -> str:
    return f"{e.service} stopped, its input is lost: {e.detail}"


@_teller(events.FoldFenced, "bad")
def _fenced(e: events.FoldFenced) -> str:
    return f"A second {e.service} writes the same output, the older one stopped: {e.detail}"


@_teller(deployments.DeploymentActivated, "good")
def _activated(e: deployments.DeploymentActivated) -> str:
    over = f" instead of {short(e.replaces)}" if e.replaces else ""
    return (
        f"{change_words(e.change)}: {e.trainer} {short(e.digest)}{over}, epoch {e.epoch}; "
        f"{ended(e.reason)}"
    )


@_teller(deployments.CanaryMoved, "plain")
def _canary(e: deployments.CanaryMoved) -> str:
    what = f"answers for {e.percent} % of the elements" if e.percent else "ended"
    return f"Canary {e.trainer} {short(e.digest)} {what}; {ended(e.reason)}"


@_teller(deployments.PersonAsked, "careful")
def _asked(e: deployments.PersonAsked) -> str:
    return f"Automation stops here, a person has to decide. {sentence(e.reason)}"


@_teller(judgements.Superior, "good")
def _superior(e: judgements.Superior) -> str:
    return (
        f"{e.trainer} is better than {e.over}: log E {e.log_e:.2f} crossed {e.threshold:.2f} after "
        f"{e.blocks} blocks, better by at least {e.better_by:.4g}."
    )


@_teller(judgements.Concluded, "plain")
def _concluded(e: judgements.Concluded) -> str:
    outcome = {"inferior": "is not better than", "equivalent": "is no different from"}
    words = outcome.get(e.outcome, "is still undecided against")
    detail = f" {sentence(e.detail)}" if e.detail else ""
    return f"{e.trainer} {words} {e.over} after {e.blocks} blocks.{detail}"


@_teller(judgements.Refreshed, "good")
def _refreshed(e: judgements.Refreshed) -> str:
    return (
        f"Newer model {short(e.digest)} of {e.trainer} passed the gate on {e.rows:,} rows: at worst "
        f"its loss is {abs(e.upper_bound):.4f} {'above' if e.upper_bound > 0 else 'below'} the "
        "anchor's."
    )


@_teller(judgements.RefreshRefused, "plain")
def _refresh_refused(e: judgements.RefreshRefused) -> str:
    return f"Newer model {short(e.digest)} of {e.trainer} stays out ({e.outcome}). {sentence(e.detail)}"


@_teller(judgements.Degraded, "careful")
def _degraded(e: judgements.Degraded) -> str:
    then = {"roll-back": "rolls back", "retrain": "retrains", "compare": "compares further"}
    return (
        f"The watch sounded: harm {e.harm:.1f}, anchor better {e.relative:.1f}, bound "
        f"{e.threshold:.1f}, after {e.blocks} blocks; {then[e.decision]}."
    )


@_teller(judgements.CanaryJudged, "plain")
def _canary_judged(e: judgements.CanaryJudged) -> str:
    failed = [f"{g.name} {g.found}, limit {g.limit}" for g in e.guards if g.outcome != "pass"]
    reason = f" {'; '.join(failed)}." if failed else ""
    return f"Canary {short(e.digest)} judged on {e.rows:,} rows: {e.outcome}.{reason}"


_DRIFTED_ON: Final = {
    "loss": "the active model's loss",
    "harm": "the seat",
    "score": "scores",
    "features": "features",
}


@_teller(judgements.Drifted, "careful")
def _drifted(e: judgements.Drifted) -> str:
    return f"Drift noticed on {_DRIFTED_ON[e.on]}. {sentence(e.detail)}"


@_teller(judgements.Restarted, "careful")
def _restarted(e: judgements.Restarted) -> str:
    closed = f" Comparisons of {', '.join(e.closed)} began anew." if e.closed else ""
    return f"{e.upstream}, whose decisions come in here, has another model.{closed}"


@_teller(judgements.ScoresSkewed, "careful")
def _skewed(e: judgements.ScoresSkewed) -> str:
    return (
        f"{e.rows} of {e.looked_at} decisions by {short(e.digest)} carry another score than the model "
        f"gives for the same row, up to {e.apart:.2g} apart where {e.tolerance:.2g} is allowed."
    )


@_teller(holds.Held, "careful")
def _held(e: holds.Held) -> str:
    hold = e.hold
    return (
        f"{hold.action} on {hold.element} waits for a person: score {hold.score:.2f}, risk "
        f"{hold.risk:.2f}. {sentence(hold.reason)}"
    )


@_teller(holds.HoldAnswered, "plain")
def _answered(e: holds.HoldAnswered) -> str:
    hold = e.hold
    if hold.state == "expired":
        return f"{hold.action} on {hold.element} expired unanswered and was not sent."
    why = f": {hold.answered_why}" if hold.answered_why else ""
    return f"{hold.answered_by} {hold.state} {hold.action} on {hold.element}{why}."


@_teller(holds.Stopped, "bad")
def _stopped(e: holds.Stopped) -> str:
    return f"{e.by} stopped all actions{': ' + e.why if e.why else ''}."


@_teller(holds.Resumed, "good")
def _resumed(e: holds.Resumed) -> str:
    return f"{e.by} let the pipeline act again{': ' + e.why if e.why else ''}."


@_teller(breakers.BreakerTurned, "bad")
def _breaker_turned(e: breakers.BreakerTurned) -> str:
    found = e.breaker
    what = {
        "open": "The breaker opened, nothing is sent",
        "trial": "The breaker tries a tenth of the elements",
        "closed": "The breaker closed, actions go out again",
    }
    return sentence(f"{what[found.state]} (partition {found.partition}): {found.reason}")


@_teller(autonomy.AutonomyProposed, "good")
def _autonomy_proposed(e: autonomy.AutonomyProposed) -> str:
    found = e.proposal
    return (
        f"It earned a proposal: {found.proposed} instead of {found.now}. "
        f"{'; '.join(found.evidence)}. A person decides: flyball autonomy accept {e.pipeline}."
    )


@_teller(autonomy.AutonomyDeclined, "plain")
def _autonomy_declined(e: autonomy.AutonomyDeclined) -> str:
    return sentence(f"{e.proposal.by} left it {e.proposal.now}: {e.proposal.why}")


@_teller(holds.ActionsStopped, "careful")
def _actions_stopped(e: holds.ActionsStopped) -> str:
    return f"{len(e.decisions)} cleared action(s) were never sent: the pipeline is stopped."


@_teller(outcomes.ActionRejected, "bad")
def _action_rejected(e: outcomes.ActionRejected) -> str:
    why = f": {e.detail}" if e.detail else ""
    return sentence(f"{e.element} {e.result} {e.action} (decision {e.decision}){why}")


@_teller(outcomes.ActionsUnacknowledged, "careful")
def _actions_unacknowledged(e: outcomes.ActionsUnacknowledged) -> str:
    return (
        f"{len(e.decisions)} action(s) were sent and not acknowledged in time, the first of them "
        f"{e.decisions[0]}."
    )


@_teller(calibrations.Calibrated, "good")
def _calibrated(e: calibrations.Calibrated) -> str:
    return sentence(e.detail)


@_teller(calibrations.SteppedBackNow, "bad")
def _stepped_back(e: calibrations.SteppedBackNow) -> str:
    found = e.found
    return (
        f"Actions are only recorded: of the last {found.rows} cleared and labelled rows "
        f"{found.error:.0%} were wrong, at least {found.lower_bound:.1%} are, and "
        f"{e.max_error:.1%} may be."
    )


def ended(text: str) -> str:
    """Words with a full stop at the end; names at the beginning keep their small letters."""
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."


def sentence(text: str) -> str:
    """Words with a capital at the beginning and a full stop at the end."""
    text = ended(text)
    return text[:1].upper() + text[1:]
