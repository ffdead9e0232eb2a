"""Policies and their comparison for people. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from flyball_local.trying.comparing import NOT_REPLAYED, Comparison, Row, words
from flyball_proto.spec import Pipeline, format_duration
from flyball_risk.judging.policy import policy_digest

MOVES_COLUMNS = ("before", "after", "rows", "")
BOUNDARY_COLUMNS = ("boundary", "verdict", "applied to", "applies to", "when")


def policy_lines(pipeline: Pipeline) -> Iterator[str]:
    """A pipeline's policy in words, its hash first."""
    spec, risk = pipeline.spec, pipeline.spec.risk
    yield f"{pipeline.name}: policy {policy_digest(pipeline)}"
    yield f"autonomy {risk.autonomy}, {_autonomy(pipeline)}"
    for d in spec.decisions:
        what = f" of {d.label}" if d.label else ""
        undo = "reversible" if d.reversible else "irreversible"
        yield (
            f"{d.action} from a score{what} of {d.score_at_least:g} on: {d.severity} severity, "
            f"{undo}, again after {format_duration(d.cooldown_ms)}"
        )
    if not spec.decisions:
        yield "proposes nothing"
    yield (
        f"errors among cleared decisions: at most {risk.max_error * 100:g} %, with confidence "
        f"{risk.confidence:g}; while that is not proven: {risk.unproven}"
    )
    yield f"withheld at random: {risk.control_share * 100:g} % of what is of low and medium severity"
    yield from _budgets(pipeline)
    people = "person" if risk.hold.approvals == 1 else "people"
    waits = format_duration(risk.hold.expires_ms)
    yield f"a hold expires after {waits}, {risk.hold.approvals} {people} must agree"
    for b in sorted(risk.boundaries, key=lambda b: b.verdict):
        yield f"boundary {b.name}: {b.verdict} when {' '.join(b.when.split())}"
    if not risk.boundaries:
        yield "no boundaries"


def comparison_lines(found: Comparison) -> Iterator[str]:
    """What stands above the tables."""
    if not found.proposals:
        yield f"{found.rows} recorded rows, and neither policy proposes anything for them"
        return
    yield (
        f"{found.rows} recorded rows from {_at(found.first_ms)} to {_at(found.last_ms)}, "
        f"{found.proposals} with a proposal: {found.changed} would change, {found.looser} looser, "
        f"{found.tighter} tighter"
    )
    if found.room:
        yield f"{found.room} go out in the room that tighter ones leave in budgets"
    share = 100 * found.as_recorded / found.proposals
    yield f"judged again under the policy in force, {share:.1f} % get the verdict that is recorded"


def move_rows(found: Comparison) -> list[list[str]]:
    """Old and new verdicts with counts, most rows first; what does not change comes last."""
    moves = sorted(found.moves.items(), key=lambda m: (m[0][0] == m[0][1], -m[1]))
    return [
        [before, after, str(n), "" if before != after else "as before"]
        for (before, after), n in moves
    ]


def boundary_rows(found: Comparison, before: Pipeline, after: Pipeline) -> list[list[str]]:
    """Each boundary of either policy with how many rows it applies to."""
    known = {b.name: b for p in (before, after) for b in p.spec.risk.boundaries}
    old, now = ({b.name for b in p.spec.risk.boundaries} for p in (before, after))
    return [
        [
            name,
            b.verdict,
            str(found.boundaries_before[name]) if name in old else "new",
            str(found.boundaries_after[name]) if name in now else "removed",
            " ".join(b.when.split()),
        ]
        for name, b in known.items()
    ]


def example_lines(found: Comparison, row: Row) -> Iterator[str]:
    """One changed row with the reasons."""
    before, after = words(row.before, row.after)
    looser = ", LOOSER" if found.is_looser_row(row) else ""
    yield f"{row.decision}  {row.element}  {row.score:.3f}: {before} → {after}{looser}"
    for name, ruled in (("before", row.before), ("after", row.after)):
        if ruled.reason:
            yield f"    {name}: {ruled.reason}"


def ending_lines(found: Comparison) -> Iterator[str]:
    """What could not be seen, and what it comes to."""
    yield "not replayed:"
    yield from (f"  - {words_}" for words_ in NOT_REPLAYED)
    for setting in found.settings:
        yield f"LOOSER, and recorded rows cannot tell how much: {setting}"
    yield "something would become looser" if found.is_looser else "nothing would become looser"


def _autonomy(pipeline: Pipeline) -> str:
    risk = pipeline.spec.risk
    if risk.autonomy == "advisory":
        return "nothing is dispatched"
    if risk.autonomy == "supervised":
        return "what is of high risk waits for a person"
    sent = "nothing" if risk.fallback == "keep" else risk.fallback
    return f"instead of what is of high risk {sent} is sent"


def _budgets(pipeline: Pipeline) -> Iterator[str]:
    budgets = pipeline.spec.risk.budgets
    window = format_duration(budgets.window_ms)
    yield f"at most {budgets.actions_per_minute} actions a minute"
    for action, n in budgets.per_action.items():
        yield f"at most {n} {action} a minute"
    for label, share in budgets.elements_per_label.items():
        yield f"at most {share * 100:g} % of the elements of a {label} within {window}"
    if budgets.per_element is not None:
        yield f"at most {budgets.per_element} actions at one element within {window}"


def _at(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
