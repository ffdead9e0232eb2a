"""Who answers, since when and why, and what changed last, as HTML. Pure."""

from datetime import datetime
from html import escape

from flyball_gateway.page import wording
from flyball_gateway.picturing.picture import Line, Loop, Picture
from flyball_gateway.picturing.telling import ended
from flyball_proto.deployments import ActiveModel, Placed
from flyball_proto.spec import BASELINE


def headline(loop: Loop) -> str:
    """What the pipeline is doing, in two sentences that a newcomer understands."""
    who = loop.deployment
    if who is None:
        return (
            f"<p>Nobody answers for <b>{escape(loop.name)}</b> yet: the first model, a baseline, is "
            "being trained and admitted. It takes a few seconds.</p>"
        )
    learnt = (
        "the built-in baseline, until a learnt model has proved to be better"
        if who.trainer == BASELINE
        else f"a {escape(loop.kind or '')} model of trainer <b>{escape(who.trainer)}</b>"
    )
    horizon = f", {wording.duration(loop.horizon_ms)} ahead" if loop.horizon_ms else ""
    acts = f" and proposes {escape(', '.join(loop.actions))}" if loop.actions else ""
    return (
        f"<p>For every {escape(loop.element)} it predicts <code>{escape(loop.target)}</code>"
        f"{horizon}{acts}. Now {learnt} answers{_canary_words(who)}.</p>"
    )


def seat(picture: Picture, loop: Loop) -> str:
    """The seat: the active model, its anchor, a canary, the baseline, and the last change."""
    who = loop.deployment
    if who is None:
        return "<p>Empty: the first model has not been admitted yet.</p>"
    rows = [
        ("Active", f"{_placed(who.active)}, {escape(loop.kind or '')}"),
        ("Epoch", wording.count(who.epoch)),
        ("Since", _since(who.since, picture.at)),
        ("Why", escape(ended(who.reason)) or wording.DASH),
        ("Anchor", _anchor(who)),
        ("Canary", _canary(who)),
        ("Baseline", _placed(who.baseline) if who.baseline else wording.DASH),
    ]
    if who.pinned is not None:
        rows.append(("Pinned", f"by {escape(who.pinned.by)}: {escape(who.pinned.why)}"))
    if who.frozen:
        rows.append(("Frozen", "nothing moves by itself until a person decides"))
    if loop.disagree:
        rows.append(("Runtimes", escape(loop.disagree)))
    table = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<dl>{table}</dl>{_last_change(picture, loop)}"


def _last_change(picture: Picture, loop: Loop) -> str:
    change = loop.last_change
    outcome = loop.deployment.outcome if loop.deployment else ""
    latest = f"<p><b>Latest judgement.</b> {escape(ended(outcome))}</p>" if outcome else ""
    if change is None:
        return latest
    taken = loop.seat_taken
    before = _told("How the seat was taken", taken, picture) if taken not in (None, change) else ""
    return _told("Last change", change, picture) + before + latest


def _told(title: str, line: Line | None, picture: Picture) -> str:
    if line is None:
        return ""
    return f"<p><b>{title}</b>, {wording.clock(line.at, picture.at)} UTC. {escape(line.text)}</p>"


def _since(since: datetime, now: datetime) -> str:
    ago = wording.duration((now - since).total_seconds() * 1000 // 10_000 * 10_000)
    return f"{wording.clock(since, now)} UTC, {ago} ago"


def _placed(model: Placed) -> str:
    return f"{wording.digest(model.digest)} of {escape(model.trainer)}"


def _anchor(who: ActiveModel) -> str:
    if who.anchor is None or who.anchor.digest == who.digest:
        return "the active model itself"
    return f"{_placed(who.anchor)}, where a rollback would lead"


def _canary(who: ActiveModel) -> str:
    if who.canary is None:
        return "none"
    return (
        f"{_placed(who.canary)} answers for {who.canary.percent}{wording.UNIT}%"
        f'<span class="bar" aria-hidden="true"><span style="width:{who.canary.percent}%"></span></span>'
    )


def _canary_words(who: ActiveModel) -> str:
    if who.canary is None:
        return ""
    return (
        f", and a canary of <b>{escape(who.canary.trainer)}</b> for {who.canary.percent}"
        f"{wording.UNIT}% of the elements"
    )
