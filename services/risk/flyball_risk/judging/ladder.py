"""The ladder: from one proposed action to risk, category, verdict and a reason. Pure.

The first rung is by risk, see `rungs`. Whatever comes after can only tighten it: a stop, limits of
the domain expert, an advisory pipeline, a breaker, other pipelines, budgets, people that were asked
before, and last the control share.
"""

import math
from collections.abc import Sequence

from flyball_proto.columns import DISPATCHED, Category, Verdict
from flyball_proto.spec import BASELINE, KEEP
from flyball_risk.judging.budgets import contest, exhausted, superseded
from flyball_risk.judging.control import WITHHOLDABLE, is_drawn, spell_ms
from flyball_risk.judging.facts import facts_of
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy, Rule
from flyball_risk.judging.proposals import Proposal, Ruling
from flyball_risk.judging.recent import Crowd, Recent
from flyball_risk.judging.rungs import around_of, by_risk
from flyball_risk.limits.boundaries import first_reached
from flyball_risk.scoring.reasons import ALONE, MAX_CHARS, WAITS, shortened


def judge(
    proposal: Proposal, frame: Frame, partition: Partition, alone: Ruling | None = None
) -> Ruling:
    """Judge one proposal; the caller records it if it is dispatched or waits for a person.

    `alone` is what `rungs.cleared_alone` found for it; without, it is found here.
    Here the partition learns only what exceeded a limit of risk, see `Caution`, and its breaker
    what was weighed.
    """
    ruling = _climb(proposal, frame, partition, alone)
    if len(ruling.reason) <= MAX_CHARS:
        return ruling
    return ruling._replace(reason=shortened(ruling.reason))


def _climb(proposal: Proposal, frame: Frame, partition: Partition, alone: Ruling | None) -> Ruling:
    recent, policy = partition.recent, frame.policy
    rule = policy.rules.get(proposal.action)
    if rule is None:
        reason = f"{proposal.action}: the specification has no such action any more"
        return Ruling(Verdict.DENY, Category.CRITICAL, 1.0, proposal.action, reason, 1.0)
    crowds = recent.crowds(proposal.element, proposal.label_set, policy.group_window_ms)
    around, caution = around_of(proposal, crowds, frame), partition.caution
    is_calm = around is ALONE and not caution.remembers(proposal.element, proposal.action)
    ruling = alone if is_calm else None
    ruling = ruling or by_risk(proposal, rule, around, frame, caution)
    if partition.stop_words:
        reason = f"{proposal.action}: denied, the pipeline is {partition.stop_words}"
        return ruling.becomes(Verdict.DENY, reason=reason)
    ruling = _by_autonomy(ruling, policy)
    ruling = _by_limits(ruling, proposal, rule, policy)
    ruling = _by_advice(ruling, proposal, frame)
    ruling = _by_breaker(ruling, proposal, frame, partition)
    ruling = _by_claims(ruling, proposal, rule, frame)
    ruling = _by_capacity(ruling, proposal, rule, frame, recent, crowds)
    ruling = _by_people(ruling, proposal, rule, partition)
    return _by_control(ruling, proposal, rule, policy)


def _by_autonomy(ruling: Ruling, policy: Policy) -> Ruling:
    """An autonomous pipeline waits for nobody: its fallback is sent, or nothing."""
    if policy.autonomy != "autonomous" or ruling.verdict is not Verdict.HOLD:
        return ruling
    found = ruling.reason.removesuffix(WAITS)
    if policy.fallback == KEEP:
        return ruling.becomes(Verdict.DENY, reason=f"{found}: the element stays as it is")
    reason = f"{found}: {policy.fallback} is sent instead"
    return ruling.becomes(Verdict.REPLACE, action=policy.fallback, reason=reason)


def _by_limits(ruling: Ruling, proposal: Proposal, rule: Rule, policy: Policy) -> Ruling:
    if not policy.limits or ruling.verdict is Verdict.DENY:
        return ruling
    reached = first_reached(policy.limits, facts_of(proposal, rule, ruling))
    if reached is None:
        return ruling
    action, verdict = proposal.action, reached.limit.verdict
    return ruling.becomes(verdict, action=action, reason=reached.reason(action))


def _by_advice(ruling: Ruling, proposal: Proposal, frame: Frame) -> Ruling:
    """Only recorded: the pipeline is advisory or stepped back, or nothing learnt has the seat yet."""
    policy = frame.policy
    if ruling.verdict is Verdict.DENY:
        return ruling
    if policy.autonomy == "advisory":
        why = "the pipeline is advisory"
    elif proposal.trainer == BASELINE and not policy.baseline_acts:
        why = "the baseline holds the seat and may not act"
    elif frame.stepped_back:
        why = frame.stepped_back
    else:
        return ruling
    return ruling.becomes(
        Verdict.ADVISE,
        action=proposal.action,
        reason=f"{proposal.action}: {ruling.category.name.lower()} risk, recorded only: {why}",
    )


def _by_breaker(ruling: Ruling, proposal: Proposal, frame: Frame, partition: Partition) -> Ruling:
    """Only recorded: the breaker is open, or in a trial this element is not among those tried.

    The breaker weighs what might go out otherwise, whatever it does itself. Also counts what speaks
    for more autonomy.
    """
    policy, breaker = frame.policy, partition.breaker
    if proposal.trainer == BASELINE and not policy.baseline_acts:
        return ruling
    if frame.stepped_back:
        partition.merits.restart()
    partition.merits.judged(ruling.verdict, ruling.category)
    if policy.autonomy == "advisory" or ruling.verdict is Verdict.ADVISE:
        return ruling
    breaker.weigh(ruling.verdict, ruling.category, finite=math.isfinite(proposal.score))
    if ruling.verdict is Verdict.DENY or not (why := breaker.why_not(proposal.element)):
        return ruling
    reason = f"{proposal.action}: {ruling.category.name.lower()} risk, recorded only: {why}"
    return ruling.becomes(Verdict.ADVISE, action=proposal.action, reason=reason)


def _by_claims(ruling: Ruling, proposal: Proposal, rule: Rule, frame: Frame) -> Ruling:
    """Another pipeline changes the same at this element."""
    if ruling.verdict not in DISPATCHED or ruling.action == KEEP:
        return ruling
    claim = contest(proposal, rule, frame)
    if claim is None:
        return ruling
    reason = f"{ruling.action}: {superseded(claim, rule.parameter)}"
    return ruling.becomes(Verdict.SUPERSEDED, reason=reason)


def _by_capacity(
    ruling: Ruling,
    proposal: Proposal,
    rule: Rule,
    frame: Frame,
    recent: Recent,
    crowds: Sequence[Crowd],
) -> Ruling:
    if ruling.verdict not in DISPATCHED or ruling.action == KEEP:
        return ruling
    why = exhausted(ruling.action, proposal, rule, frame, recent, crowds)
    if why is None:
        return ruling
    reason = f"{ruling.action}: capped, {why}"
    return ruling.becomes(Verdict.CAP, reason=reason)


def _by_people(ruling: Ruling, proposal: Proposal, rule: Rule, partition: Partition) -> Ruling:
    """Ask a person once about an element and action, and never for what could not go out anyway."""
    if ruling.verdict is not Verdict.HOLD:
        return ruling
    recent, holds, action = partition.recent, partition.holds, ruling.action
    pair = (proposal.element, action)
    if holds.is_waiting(pair):
        return ruling._replace(reason=f"{action}: a person is asked about this element already")
    if recent.is_cooling(proposal.element, action, proposal.time_ms, rule.cooldown_ms):
        reason = f"{action}: capped, within its cool-down of {rule.cooldown_ms / 1000:g} s"
        return ruling.becomes(Verdict.CAP, reason=reason)
    if (peace := holds.peace(pair, recent.clock_ms)) is not None:
        again = f"nobody is asked again for {rule.cooldown_ms / 1000:g} s"
        return ruling.becomes(Verdict.DENY, reason=f"{action}: {peace}, {again}")
    if holds.is_full(recent.clock_ms):
        reason = f"{action}: denied, {len(holds)} decisions wait for a person already"
        return ruling.becomes(Verdict.DENY, reason=reason)
    return ruling


def _by_control(ruling: Ruling, proposal: Proposal, rule: Rule, policy: Policy) -> Ruling:
    """Leave a declared share of what would be dispatched alone, see `control`."""
    if ruling.verdict not in WITHHOLDABLE or ruling.action == KEEP or not rule.may_withhold:
        return ruling
    drawn = is_drawn(
        policy.control_key,
        policy.control_share,
        pipeline=policy.pipeline,
        element=proposal.element,
        spell=proposal.time_ms // spell_ms(rule.cooldown_ms, policy.horizon_ms),
    )
    if not drawn:
        return ruling
    reason = (
        f"{ruling.action}: {ruling.category.name.lower()} risk, withheld at random, as "
        f"{policy.control_share * 100:g} % are, so that the effect of acting stays measurable"
    )
    return ruling.becomes(Verdict.WITHHOLD, reason=reason)
