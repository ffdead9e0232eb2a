"""The first step of the ladder: from risk to a category, and to what may be cleared at all. Pure.

    risk     = probability that the action is wrong x impact, in [0, 1]
    category = negligible, low, medium, high, critical, by CUT_OFFS
    verdict  = clear, clear, notify, hold, deny

What would be cleared waits for a person all the same when its probability of error is above the
cut-off that was proven on labels, or when it exceeded a limit lately and is not well below it yet.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from flyball_proto.columns import Category, Verdict
from flyball_risk.judging.caution import Caution
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import Rule
from flyball_risk.judging.proposals import Proposal, Ruling
from flyball_risk.judging.recent import Crowd
from flyball_risk.scoring.impact import spread
from flyball_risk.scoring.reasons import (
    ALONE,
    CONTESTED,
    WAITS,
    Around,
    Evidence,
    Mild,
    figure,
    grave,
    mild,
)

CUT_OFFS: Final = (0.01, 0.05, 0.15, 0.35)
"""Least risk of low, medium, high, critical."""

HELD_FROM: Final = CUT_OFFS[2]
"""Least risk of what is not cleared."""

CATEGORIES: Final = tuple(Category)

RUNG: Final[Mapping[Category, Verdict]] = {
    Category.NEGLIGIBLE: Verdict.CLEAR,
    Category.LOW: Verdict.CLEAR,
    Category.MEDIUM: Verdict.NOTIFY,
    Category.HIGH: Verdict.HOLD,
    Category.CRITICAL: Verdict.DENY,
}

CLEARED: Final = (Verdict.CLEAR, Verdict.NOTIFY)

TOLD: Final = ", an operator is told"


def category_of(risk: float) -> Category:
    """The category of a risk, which is rounded to 1e-6 before it is compared."""
    return CATEGORIES[bisect_right(CUT_OFFS, round(risk, 6))]


def cleared_alone(proposals: Iterable[Proposal], frame: Frame) -> list[Ruling | None]:
    """What becomes of each proposal while nothing goes on around its element; None = look closer.

    Says at once, for all rows of a batch, what `by_risk` says of those that are cleared.
    """
    rules, found = frame.policy.rules, list[Ruling | None]()
    reasons: dict[tuple[object, ...], tuple[Verdict, str]] = {}
    limit = frame.clears_up_to
    for proposal in proposals:
        rule = rules.get(proposal.action)
        if rule is None or not math.isfinite(proposal.score):
            found.append(None)
            continue
        risk = round(proposal.error * rule.impact, 6)
        category = CATEGORIES[bisect_right(CUT_OFFS, risk)]
        verdict = RUNG[category]
        if verdict not in CLEARED or proposal.error > limit:
            found.append(None)
            continue
        key = (proposal.action, category, proposal.quality, proposal.doubts, proposal.tenths)
        said = reasons.get(key)
        if said is None:
            verdict, told = _told(verdict, frame)
            said = verdict, mild(_mildly(proposal, rule, category, ALONE, told))
            reasons[key] = said
        found.append(Ruling(said[0], category, risk, proposal.action, said[1], rule.impact))
    return found


def by_risk(
    proposal: Proposal, rule: Rule, around: Around, frame: Frame, caution: Caution
) -> Ruling:
    """Risk, category and rung of a proposal; `caution` learns what exceeds a limit."""
    harm, share = rule.impact, 0.0
    if around is not ALONE:
        share = around.share
        harm = spread(harm, share, contested=around.contested)
    risk = round(proposal.error * harm, 6)
    category = CATEGORIES[bisect_right(CUT_OFFS, risk)]
    action, verdict = proposal.action, RUNG[category]
    if not math.isfinite(proposal.score):
        reason = f"{action}: denied, the score is not a number"
        return Ruling(Verdict.DENY, Category.CRITICAL, risk, action, reason, harm)
    if verdict in CLEARED:
        why = _why_not(proposal, rule, risk, frame, caution)
        if not why:
            verdict, told = _told(verdict, frame)
            reason = mild(_mildly(proposal, rule, category, around, told, int(share * 4)))
            return Ruling(verdict, category, risk, action, reason, harm)
        verdict, what = Verdict.HOLD, f", {why}{WAITS}"
    else:
        caution.exceeded(proposal.element, action, proposal.time_ms + rule.cooldown_ms)
        what = WAITS if verdict is Verdict.HOLD else ": denied"
    subject = f"{action} at {figure(proposal.score)} is {category.name.lower()} risk {risk:.2f}"
    reason = grave(subject, rule.words, _evidence(proposal, frame), around, what)
    return Ruling(verdict, category, risk, action, reason, harm)


def _why_not(proposal: Proposal, rule: Rule, risk: float, frame: Frame, caution: Caution) -> str:
    """Why a proposal of little risk may not be cleared without a person; empty when it may."""
    element, action, limit = proposal.element, proposal.action, frame.clears_up_to
    if limit < 0:
        return _nothing_clears(frame)
    if proposal.error > limit:
        caution.exceeded(element, action, proposal.time_ms + rule.cooldown_ms)
        return f"an error is {proposal.error:.3f} likely and only up to {limit:.3f} is proven"
    if caution.is_due(element, action, proposal.time_ms):
        below = 1.0 - frame.policy.risk.hysteresis
        if risk > HELD_FROM * below or proposal.error > limit * below:
            return f"it was over a limit less than {rule.cooldown_ms / 1000:g} s ago and is near it"
    caution.relieve(element, action)
    return ""


def _nothing_clears(frame: Frame) -> str:
    """Too few labels, or whatever limit is set, too many of the decisions below it were wrong."""
    cut_off = frame.cut_off
    if cut_off is None or not cut_off.proven:
        return frame.unproven
    rows, most = cut_off.rows, cut_off.max_error
    return f"{rows} labelled rows prove that no limit keeps errors within {most * 100:g} %"


def _told(verdict: Verdict, frame: Frame) -> tuple[Verdict, str]:
    """What is not proven is cleared, and an operator is told."""
    if why := frame.unproven:
        return Verdict.NOTIFY, f"{TOLD}: {why}"
    return verdict, TOLD if verdict is Verdict.NOTIFY else ""


def around_of(proposal: Proposal, crowds: Sequence[Crowd], frame: Frame) -> Around:
    """Of the element's groups the one that is acted on most; `ALONE` when nothing goes on."""
    policy = frame.policy
    contested = frame.claims.others(policy.pipeline, proposal.element, proposal.time_ms)
    crowd = crowds[0] if crowds else None
    if len(crowds) > 1:
        crowd = max(crowds, key=_crowding)
    if crowd is None or not crowd.acted:
        return CONTESTED if contested else ALONE
    label, value = crowd.group
    return Around(label, value, crowd.acted, crowd.known, policy.group_window_ms, contested)


def _crowding(crowd: Crowd) -> float:
    return crowd.acted / crowd.known


def _evidence(proposal: Proposal, frame: Frame) -> Evidence:
    return Evidence(
        proposal.score,
        proposal.error,
        proposal.confidence,
        proposal.disagreement,
        proposal.quality,
        proposal.doubts,
        proposal.age_ms,
        frame.policy.is_probability,
    )


def _mildly(
    proposal: Proposal, rule: Rule, category: Category, around: Around, told: str, quarters: int = 0
) -> Mild:
    return Mild(
        proposal.action,
        rule.words,
        category,
        proposal.quality,
        proposal.doubts,
        proposal.tenths,
        around.label,
        quarters,
        around.contested,
        told,
    )
