"""What `status`, `holds`, `quarantine` and `users` print, and how people name things. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from flyball_local.invalid import InvalidInputError
from flyball_local.showing.pulses import Part
from flyball_proto.commands import Access, Dora, PipelineStatus, Quarantined
from flyball_proto.holds import Hold

DIGEST_CHARS: Final = 8
MAX_NAMED: Final = 8
"""Candidates that an error names."""

PART_COLUMNS: Final = ("part", "pid", "state", "rows/s", "lag", "p99 ms", "")
HOLD_COLUMNS: Final = ("hold", "element", "action", "score", "risk", "state", "since", "reason")
QUARANTINE_COLUMNS: Final = ("sequence", "element", "at", "bytes", "reasons")
ACCESS_COLUMNS: Final = ("name", "role", "kind", "since", "expires")

_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, one line a row."""
    every = [header, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )


def part_row(part: Part) -> tuple[str, ...]:
    """One part in the table of `status`; what is not well says why."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in part.reasons.items())
    return (
        part.name,
        str(part.pid),
        part.state,
        figure(part.rows_per_s, ",.0f"),
        figure(part.lag, ",d"),
        figure(part.p99_ms, ".1f"),
        reasons,
    )


def pipeline_lines(found: PipelineStatus, now: datetime) -> list[str]:
    """One pipeline: who answers and why, who is tried, what stands still, what is awaited."""
    lines = [f"{found.pipeline}, source {found.source}, revision {found.revision}"]
    lines += [f"  {name:<8} {words}" for name, words in _facts(found, now) if words]
    return lines


def _facts(found: PipelineStatus, now: datetime) -> Iterable[tuple[str, str]]:
    if found.model is None:
        yield "seat", "nobody answers yet"
    else:
        since = f", {ago(found.since, now)}" if found.since else ""
        frozen = ", frozen until a person decides" if found.frozen else ""
        seat = f"{found.trainer} {short(found.model)}, epoch {found.epoch}"
        yield "seat", f"{seat}{since}{frozen}"
    yield "why", found.reason or ""
    yield "anchor", f"a rollback leads to {short(found.anchor)}" if found.anchor else ""
    canary = f"{short(found.canary or '')} answers for {found.canary_percent} % of the elements"
    yield "canary", canary if found.canary else ""
    for i, sentence in enumerate(filter(None, found.disagree.split("; "))):
        yield "" if i else "fleet", sentence
    yield "last", found.outcome or ""
    if found.stopped and found.stopped.stopped:
        why = f": {found.stopped.why}" if found.stopped.why else ""
        yield "stopped", f"by {found.stopped.by}, {ago(found.stopped.at, now)}{why}"
    yield "breaker", found.breaker
    yield "holds", f"{found.open_holds} open: flyball holds list" if found.open_holds else ""
    for i, sentence in enumerate(found.awaited):
        yield "" if i else "awaited", sentence


def one_hold(found: Sequence[Hold], wanted: str) -> Hold:
    """The hold with this id.

    Raises:
        InvalidInputError: There is none; names those that are open.
    """
    for hold in found:
        if hold.id == wanted:
            return hold
    opened = [hold.id for hold in found if hold.state == "open"]
    raise InvalidInputError(
        f"hold {wanted!r}: there is none; open are {named(opened)}, see flyball holds list"
    )


def one_pipeline(known: Sequence[str], wanted: str) -> str:
    """The applied pipeline of this name.

    Raises:
        InvalidInputError: There is none; names those that are applied.
    """
    if wanted in known:
        return wanted
    raise InvalidInputError(
        f"pipeline {wanted!r}: found {named(known)} applied; name one of them, or apply it: "
        "flyball apply -f FILE"
    )


def hold_row(hold: Hold, now: datetime) -> tuple[str, ...]:
    """One hold in the table of `holds list`."""
    by = f" by {hold.answered_by}" if hold.answered_by else ""
    return (
        hold.id,
        hold.element,
        hold.action,
        f"{hold.score:.3f}",
        f"{hold.category} {hold.risk:.2f}",
        f"{hold.state}{by}",
        span((now - hold.opened_at).total_seconds()),
        hold.reason,
    )


def hold_lines(hold: Hold, now: datetime) -> list[str]:
    """Everything that is on record of one hold."""
    left_s = (hold.expires_ms - hold.time_ms) / 1000
    labels = ", ".join(f"{name} {text}" for name, text in hold.labels.items()) or "none"
    facts = [
        ("hold", hold.id),
        ("proposes", f"{hold.action} on {hold.element}"),
        ("reason", hold.reason),
        ("score", f"{hold.score:g} by {hold.trainer} {short(hold.model)}, epoch {hold.epoch}"),
        ("risk", f"{hold.category}, {hold.risk:g}"),
        ("labels", labels),
        ("state", hold.state),
        ("opened", f"{hold.opened_at:%Y-%m-%d %H:%M:%S} UTC, {ago(hold.opened_at, now)}"),
        ("expires", f"{span(left_s)} behind its decision, in event time"),
    ]
    if hold.approvals > 1:
        agreed = f"; agreed so far: {', '.join(hold.agreed_by)}" if hold.agreed_by else ""
        facts.append(("needs", f"{hold.approvals} different people{agreed}"))
    if hold.answered_by:
        why = f": {hold.answered_why}" if hold.answered_why else ""
        code = f" ({hold.answered_code})" if hold.answered_code else ""
        facts.append(("answer", f"{hold.state} by {hold.answered_by}{code}{why}"))
    return [f"{name:<9} {words}" for name, words in facts]


def report_row(report: Quarantined) -> tuple[str, ...]:
    """One refused report in the table of `quarantine list`."""
    return (
        str(report.sequence),
        report.element or "?",
        f"{report.at:%Y-%m-%d %H:%M:%S}",
        f"{report.size_bytes:,}",
        report.detail,
    )


def access_row(access: Access) -> tuple[str, ...]:
    """One token, session or invitation in the table of `users list`."""
    return (
        access.name,
        access.role,
        access.kind,
        f"{access.since:%Y-%m-%d %H:%M}",
        f"{access.expires_at:%Y-%m-%d %H:%M} UTC",
    )


def dora_lines(found: Dora) -> list[str]:
    """DORA's five measures and what stands beside them, a line each."""
    kinds = ", ".join(f"{count} {name}" for name, count in found.by_change.items()) or "none"
    rows = (
        ("deployments", f"{found.deployments} ({kinds}), {figure(found.per_day, '.3g')} a day"),
        ("lead time", f"{_lasting(found.change_lead_s)} from specification to learnt model"),
        ("", f"{_lasting(found.machine_lead_s)} from the end of a fit to its activation"),
        ("", f"{_lasting(found.data_lead_s)} of event time from the newest row to the evidence"),
        ("failed", f"{found.failed}, share of deployments {figure(found.change_fail_rate, '.0%')}"),
        (
            "recovery",
            f"{_lasting(found.recovery_s)} from a failed activation to the restored model",
        ),
        ("", f"{_lasting(found.alarm_to_recovery_s)} from the alarm"),
        (
            "rework",
            f"{figure(found.rework_rate, '.2f')} rollbacks and drift trainings a deployment",
        ),
        ("people", f"{_lasting(found.waited_for_people_s)} from asking one to a decision"),
        ("yield", f"{figure(found.promotion_yield, '.2f')} deployments a learnt model"),
    )
    return [f"{name:<12}{words}" for name, words in rows]


def _lasting(seconds: float | None) -> str:
    if seconds is None:
        return "nothing to measure:"
    return f"{seconds:.2f} s" if seconds < 60 else span(seconds)


def short(digest: str) -> str:
    """A digest as people compare it."""
    return digest[:DIGEST_CHARS]


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit_s, name in _SPANS:
        if abs(seconds) >= unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{seconds:.0f} s"


def ago(then: datetime, now: datetime) -> str:
    """How long since; the clocks of two machines may differ."""
    return f"{span(max(0.0, (now - then).total_seconds()))} ago"


def named(words: Iterable[str]) -> str:
    """The first few, and how many more."""
    known = list(words)
    more = f" and {len(known) - MAX_NAMED} more" if len(known) > MAX_NAMED else ""
    return ", ".join(known[:MAX_NAMED]) + more if known else "none"


def figure(value: float | None, how: str) -> str:
    """A figure that may not be known."""
    return "-" if value is None else format(value, how)
