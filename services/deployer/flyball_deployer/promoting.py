"""Who comes: another trainer by evidence, step by step, and newer models of the seat's own. Pure."""

from dataclasses import replace

from flyball_deployer import moves
from flyball_deployer.forms import Chosen, Misfit, place_chosen
from flyball_deployer.moves import Cause, Transition, short
from flyball_deployer.policy import Policy
from flyball_proto.deployments import ActiveModel, Canary, Placed
from flyball_proto.judgements import CanaryJudged, Refreshed, Superior


def superior(
    record: ActiveModel,
    won: Superior,
    chosen: Chosen,
    policy: Policy,
    cause: Cause,
) -> Transition:
    """Another trainer won: it begins as a canary, or takes the seat where there are no steps."""
    if (reason := _bars_succession(record, won)) is not None:
        return moves.rest(record, reason)
    found = place_chosen(chosen, won.digest)
    if isinstance(found, Misfit):
        return _unplaceable(record, won.digest, found, cause)
    reason = (
        f"{won.trainer} is better than {won.over} by at least {won.better_by:g} "
        f"({won.blocks} blocks, log E {won.log_e:.2f} against {won.threshold:.2f})"
    )
    return _next_step(record, found, 0, policy, replace(cause, reason=reason))


def _bars_succession(record: ActiveModel, won: Superior) -> str | None:
    if (reason := _bars_any(record, won.digest)) is not None:
        return reason
    if won.over != record.trainer:
        return f"the evidence is against {won.over}, but {record.trainer} holds the seat"
    if won.trainer == record.trainer and record.may_refresh:
        return f"{won.trainer} holds the seat already; its models refresh it"
    return _goes_first(record.canary, won)


def _bars_any(record: ActiveModel, digest: str) -> str | None:
    if record.pinned is not None:
        return f"pinned by {record.pinned.by}: {record.pinned.why}"
    if record.frozen:
        return "the seat is frozen until a person decides"
    if digest in record.rolled_back:
        return f"{short(digest)} was rolled back and never returns by itself"
    if digest == record.digest:
        return f"{short(digest)} is active already"
    return None


def _goes_first(canary: Canary | None, won: Superior) -> str | None:
    """A newer model of the canary's own trainer begins anew; another trainer waits."""
    if canary is not None and canary.trainer != won.trainer:
        return f"the canary of {canary.trainer} is under way and goes first"
    if canary is not None and canary.digest == won.digest:
        return f"{short(won.digest)} is the canary already"
    return None


def _next_step(
    record: ActiveModel, model: Placed, percent: int, policy: Policy, cause: Cause
) -> Transition:
    """The first step above `percent`, by the specification as it is now; the last is the seat."""
    for step, share in enumerate(policy.steps):
        if percent < share < 100:
            return moves.walk(record, model, share, step, cause)
    return moves.succeed(record, model, cause)


def refreshed(
    record: ActiveModel,
    judged: Refreshed,
    chosen: Chosen,
    policy: Policy,
    cause: Cause,
) -> Transition:
    """A newer model of the seat's trainer passed the gate; a canary beside it goes on."""
    if (reason := _bars_refresh(record, judged, policy)) is not None:
        return moves.rest(record, reason)
    found = place_chosen(chosen, judged.digest)
    if isinstance(found, Misfit):  # the model that it would replace goes on; nobody is woken
        return moves.rest(record, found.reason)
    reason = (
        f"newer model of {judged.trainer}, {_bounded(judged.upper_bound)} than the anchor "
        f"over {judged.rows} rows"
    )
    return moves.refresh(record, found, replace(cause, reason=reason))


def _bounded(upper: float) -> str:
    """The bound of a mean loss, newer less anchor, in words."""
    return f"at least {-upper:.4f} better" if upper < 0 else f"at most {upper:.4f} worse"


def _bars_refresh(record: ActiveModel, judged: Refreshed, policy: Policy) -> str | None:
    if (reason := _bars_any(record, judged.digest)) is not None:
        return reason
    if not policy.refresh:
        return "the specification says refresh: false"
    if judged.trainer != record.trainer:
        return f"{judged.trainer} does not hold the seat, {record.trainer} does"
    if not record.may_refresh:
        return f"{record.trainer} was rolled back and has to win the seat again"
    if judged.replaces != record.digest:
        return f"compared with {short(judged.replaces)}, but {short(record.digest)} is active"
    return None


def canary_judged(
    record: ActiveModel, judged: CanaryJudged, policy: Policy, cause: Cause
) -> Transition:
    """A step was looked at: the next one, waiting and a person, or the end of the canary."""
    canary = record.canary
    if canary is None or canary.digest != judged.digest:
        return moves.rest(record, f"{short(judged.digest)} is not the canary")
    if judged.epoch < canary.epoch:
        return moves.rest(
            record, f"about epoch {judged.epoch}; this step began with {canary.epoch}"
        )
    found = _guards(judged)
    at = f"canary of {canary.trainer} at {canary.percent} %"
    match judged.outcome:
        case "pass":
            cause = replace(cause, reason=f"{at} passed its guards over {judged.rows} rows")
            return _next_step(record, canary, canary.percent, policy, cause)
        case "inconclusive":
            asked = record.person_asked
            cause = replace(cause, reason=f"{at} is inconclusive ({found}): it waits")
            if asked and asked.digest == canary.digest and asked.epoch >= canary.epoch:
                return moves.rest(record, cause.reason)
            return moves.ask(moves.rest(record, cause.reason), canary.digest, cause)
        case "fail" | "error":
            cause = replace(cause, reason=f"{at} ended: {judged.outcome} ({found})")
            return moves.end_canary(record, canary, cause)


def _guards(judged: CanaryJudged) -> str:
    """The guards that gave the outcome, in words."""
    told = [
        f"{guard.name} {guard.found}, allowed {guard.limit}"
        for guard in judged.guards
        if guard.outcome == judged.outcome
    ]
    return "; ".join(told) or f"{judged.rows} rows"


def _unplaceable(record: ActiveModel, digest: str, found: Misfit, cause: Cause) -> Transition:
    """What won cannot come: a person is asked, once, because only people can change that."""
    if not found.is_known:
        return moves.rest(record, found.reason)
    return moves.ask_once(record, digest, replace(cause, reason=found.reason))
