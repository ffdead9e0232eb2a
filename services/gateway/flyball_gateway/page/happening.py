"""What risk said, what happened, and what is wrong, as HTML. Pure."""

from html import escape
from typing import Final

from flyball_gateway.beside import Beside
from flyball_gateway.page import wording
from flyball_gateway.picturing.picture import Loop, Picture
from flyball_gateway.picturing.tallies import NOTHING
from flyball_proto.breakers import BreakerRecord
from flyball_proto.holds import Hold
from flyball_proto.reviews import Review

SHOWN: Final = 60
MAX_BESIDE: Final = 40
"""Signals and features that are shown beside a hold; `flyball holds show` has all."""
_MEANING: Final = {
    NOTHING: "the score asks for no action",
    "clear": "sent",
    "notify": "sent, and an operator is told",
    "cap": "not sent: a budget or a cool-down",
    "replace": "the fallback was sent instead",
    "hold": "waits for a person",
    "deny": "not sent: too risky",
    "advise": "recorded only",
    "withhold": "left alone at random, to measure what acting changes",
    "superseded": "not sent: another pipeline changes the same at this element",
}
_MOODS: Final = {"plain": "·", "good": "▲", "careful": "!", "bad": "✕"}


def alarms(picture: Picture, loop: Loop | None) -> str:
    """What nobody may overlook; empty when all is well."""
    found = []
    if loop and loop.stop and loop.stop.stopped:
        stop = loop.stop
        why = f": “{escape(stop.why)}”" if stop.why else ""
        found.append(
            f'<div class="alarm stopped" role="alert"><strong>■ Stopped</strong> by '
            f"{escape(stop.by)} at {wording.clock(stop.at, picture.at)} UTC{why}. Decisions are still "
            "made and judged; no action goes out until a person resumes it.</div>"
        )
    if loop and loop.breaker:
        found.append(_of_breaker(picture, loop.breaker))
    if picture.stale_since is not None:
        found.append(
            '<div class="alarm stale" role="alert"><strong>◌ Out of date</strong> since '
            f"{wording.clock(picture.stale_since, picture.at)} UTC: the broker does not answer. What "
            "you see is how things were then.</div>"
        )
    for part in picture.parts:
        if part.health in ("silent", "broken"):
            reason = escape("; ".join(part.reasons) or "it gives no reason")
            found.append(
                f'<div class="alarm" role="alert"><strong>✕ {escape(part.service)} is '
                f"{part.health}</strong>: {reason}</div>"
            )
    return "".join(found)


def _of_breaker(picture: Picture, found: BreakerRecord) -> str:
    name = "The breaker is open" if found.state == "open" else "The breaker is in a trial"
    then = (
        "Decisions are judged and recorded only, until a trial goes well or a person resets it: "
        f"<code>flyball breaker reset {escape(found.pipeline)}</code>"
        if found.state == "open"
        else "A tenth of the elements are acted on, to see whether it may close."
    )
    return (
        f'<div class="alarm breaker" role="alert"><strong>◐ {name}</strong> since '
        f"{wording.clock(found.at, picture.at)} UTC: {escape(found.reason)}. {then}</div>"
    )


def verdicts(loop: Loop) -> str:
    """Counts of the last minute, with what each means."""
    found = loop.verdicts
    if not found.rows:
        return f'<p class="note">No decision in the last {found.span_s}{wording.UNIT}s.</p>'
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{wording.count(number)}</td>"
        f"<td class=words>{_MEANING.get(name, '')}</td></tr>"
        for name, number in sorted(found.counts.items(), key=lambda item: -item[1])
    )
    sampled = " Sampled: more came than this page reads." if found.sampled else ""
    return (
        f"<table><tbody>{rows}</tbody></table>"
        f'<p class="note">{wording.count(found.rows)} decisions in the last {found.span_s}'
        f"{wording.UNIT}s.{sampled}</p>"
    )


def events(picture: Picture, loop: Loop) -> str:
    """What happened, newest first."""
    if not loop.lines:
        return '<p class="note">Nothing has happened yet.</p>'
    rows = "".join(
        f'<li class="{line.mood}"><time>{wording.clock(line.at, picture.at)}</time>'
        f'<span aria-hidden="true">{_MOODS[line.mood]}</span><p>{escape(line.text)}</p></li>'
        for line in loop.lines[:SHOWN]
    )
    return f"<ol>{rows}</ol>"


def review(found: Review) -> str:
    """A decision to look at."""
    labels = ", ".join(f"{name} {value}" for name, value in sorted(found.labels.items()))
    place = f' <span class="note">({escape(labels)})</span>' if labels else ""
    return (
        f"<p><b>{escape(found.action)}</b> on <b>{escape(found.element)}</b>{place}</p>"
        f"<p>Score {found.score:.2f} · risk {found.risk:.2f}, {escape(found.category)} · "
        f"{escape(found.verdict)} at {wording.clock(found.opened_at)} UTC</p>"
        f'<p class="note">{escape(found.reason)}</p>'
    )


def beside(found: Beside | None) -> str:
    """What stands beside a hold, for whoever is about to answer it."""
    if found is None:
        return '<p class="note">Nothing more is recorded about it.</p>'
    values = {name: wording.figure(value) for name, value in found.features.items()}
    signals = {name: wording.figure(value) for name, value in found.signals.items()}
    shown = list({**signals, **values}.items())[:MAX_BESIDE]
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{value}</td></tr>" for name, value in shown
    )
    near = ", ".join(f"{n.element} ({n.label})" for n in found.neighbours)
    nearby = f"<p>Acted on nearby lately: {escape(near)}.</p>" if near else ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in found.history)
    before = f"<p>Before:</p><ul>{lines}</ul>" if lines else "<p>It proposed nothing before.</p>"
    table = f"<table><tbody>{rows}</tbody></table>"
    return (
        f"<details open><summary>What stands beside it</summary>{table}{nearby}{before}</details>"
    )


def hold(found: Hold, now_ms: int) -> str:
    """A decision that waits, and how long it still does."""
    left = found.expires_ms - (now_ms or found.time_ms)
    words = f"{wording.duration(left)} left" if left > 0 else "expires now"
    labels = ", ".join(f"{name} {value}" for name, value in sorted(found.labels.items()))
    place = f' <span class="note">({escape(labels)})</span>' if labels else ""
    return (
        f"<p><b>{escape(found.action)}</b> on <b>{escape(found.element)}</b>{place}</p>"
        f"<p>Score {found.score:.2f} · risk {found.risk:.2f}, {escape(found.category)} · "
        f'<span class="left">{words}</span></p><p class="note">{escape(found.reason)}</p>'
        f"{_people(found)}"
    )


def _people(found: Hold) -> str:
    """Who must agree, where one is not enough."""
    if found.approvals == 1:
        return ""
    agreed = f"; {escape(', '.join(found.agreed_by))} agreed" if found.agreed_by else ""
    return f'<p class="note">Takes {found.approvals} different people{agreed}.</p>'
