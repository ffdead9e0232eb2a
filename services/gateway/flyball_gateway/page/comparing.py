"""Challengers: evidence against its bound, figures of each column, what is awaited. Pure."""

from collections.abc import Iterable
from html import escape
from typing import Final

from flyball_gateway.page import wording
from flyball_gateway.picturing.picture import Loop
from flyball_gateway.picturing.telling import ended
from flyball_proto.progress import (
    ActionEffect,
    ColumnFigures,
    Comparison,
    Effect,
    Standings,
    TrainerProgress,
)

_STATES: Final = {
    "gathering": "gathers rows",
    "waiting": "waits for its next training",
    "queued": "queues for a worker",
    "fitting": "fits a model",
    "publishing": "publishes a model",
}
_WORDS: Final = {
    "superior": "better",
    "inferior": "worse",
    "equivalent": "no different",
    "undecided": "undecided",
    "continue": "evidence is gathered",
}


def challengers(loop: Loop) -> str:
    """Every comparison with the trainer in the seat."""
    standings = loop.standings
    if standings is None or not standings.comparisons:
        return (
            '<p class="note">No comparison yet. It opens once another trainer has an admitted model '
            "and labels become known.</p>"
        )
    rows = "".join(_comparison(c, standings) for c in standings.comparisons)
    return (
        '<p class="note">A challenger takes the seat when its evidence, log E, reaches the bound. One '
        f"that is no better has at most one chance in {_one_in(standings.comparisons)} to get there."
        f"</p>{rows}"
    )


def figures(loop: Loop) -> str:
    """How good each column of scores was, on the rows whose label became known."""
    standings = loop.standings
    if standings is None or not standings.figures:
        return '<p class="note">No label is known yet.</p>'
    losses = [f.loss for f in standings.figures if f.loss is not None]
    best = min(losses, default=None)
    with_accuracy = any(f.accuracy is not None for f in standings.figures)
    rows = "".join(_figures(f, best, with_accuracy=with_accuracy) for f in standings.figures)
    accuracy = "<th scope=col>Share right</th>" if with_accuracy else ""
    metric = escape(standings.metric)
    return (
        f"<table><thead><tr><th scope=col>Column</th><th scope=col>Loss <i>({metric})</i></th>"
        f"{accuracy}<th scope=col>Rows</th></tr></thead><tbody>{rows}</tbody></table>"
        f'<p class="note">{wording.count(standings.labelled)} labels counted. Lower loss is '
        "better.</p>"
    )


def awaited(loop: Loop) -> str:
    """What happens next, and how far each trainer is."""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in loop.awaited)
    trainers = "".join(_trainer(p) for p in sorted(loop.progress, key=lambda p: p.trainer))
    if not sentences and not trainers:
        return '<p class="note">Nothing is awaited yet.</p>'
    return f"<ul>{sentences}</ul>" + (f'<ul class="trainers">{trainers}</ul>' if trainers else "")


def effect(loop: Loop) -> str:
    """What acting changes: rows left alone at random against rows under an action."""
    found = loop.standings.effect if loop.standings else Effect()
    if not found.withheld_rows and not found.acted_rows:
        return (
            '<p class="note">Not measured yet: a share of the would-be actions is left alone at '
            "random, and their labels are compared with those of rows under an action.</p>"
        )
    parts = (
        ("Left alone at random", found.withheld_mean, found.withheld_rows),
        ("Under an action", found.acted_mean, found.acted_rows),
    )
    rows = "".join(
        f"<tr><th scope=row>{name}</th><td>{wording.figure(mean, 3)}</td>"
        f"<td>{wording.count(number)}</td></tr>"
        for name, mean, number in parts
    )
    return (
        "<table><thead><tr><td></td><th scope=col>Mean label</th>"
        f"<th scope=col>Rows</th></tr></thead><tbody>{rows}</tbody></table>"
        + "".join(f"<p>{escape(effect_words(one))}</p>" for one in found.actions)
    )


def effect_words(found: ActionEffect) -> str:
    """What one action changes, in a sentence."""
    if found.difference is None:
        return f"{found.action}: nothing to compare yet."
    words = f"{found.action} changes the mean label by {found.difference:+.3f}"
    if found.low is None or found.high is None:
        return f"{words}; too few blocks for an interval."
    sure = "" if found.low <= 0 <= found.high else ", more than chance explains"
    return f"{words}, 95 %: {found.low:+.3f} to {found.high:+.3f}{sure}."


def _comparison(found: Comparison, standings: Standings) -> str:
    share = max(0.0, min(1.0, found.log_e / found.threshold)) if found.threshold > 0 else 0.0
    gain, unit = found.better_by_at_least, escape(standings.metric)
    shown = (
        f"better by at least {gain:.4f} {unit}"
        if gain > 0
        else f"at worst {-gain:.4f} {unit} worse"
    )
    detail = f" {escape(ended(found.detail))}" if found.word not in ("", "continue") else ""
    return (
        f'<div class="challenger"><p><b>{escape(found.trainer)}</b> against {escape(found.over)}: '
        f"{_WORDS.get(found.word, escape(found.word))}</p>"
        f'<div class="bar" role="meter" aria-valuemin="0" aria-valuenow="{max(0.0, found.log_e):.2f}" '
        f'aria-valuemax="{found.threshold:.2f}" aria-label="Evidence of {escape(found.trainer)}">'
        f'<span style="width:{100 * share:.1f}%"></span></div>'
        f"<p>log E <b>{found.log_e:.2f}</b> of {found.threshold:.2f} after "
        f"{wording.plural(found.blocks, 'block')} · {shown}</p>"
        f'<p class="note">{_pace(found, standings)}{detail}</p></div>'
    )


def _pace(found: Comparison, standings: Standings) -> str:
    if found.word == "superior":
        return "The bound is reached."
    if found.expected_blocks is None:
        return "At the present pace no decision is in sight."
    ms = found.expected_blocks * standings.block_ms
    return (
        f"At the present pace {wording.plural(found.expected_blocks, 'more block', 'more blocks')} "
        f"to a decision, {wording.duration(ms)} of the elements' time."
    )


def _one_in(comparisons: Iterable[Comparison]) -> str:
    return wording.count(round(2.718281828 ** min(c.threshold for c in comparisons)))


def _figures(found: ColumnFigures, best: float | None, *, with_accuracy: bool) -> str:
    lowest = found.loss is not None and found.loss == best
    accuracy = f"<td>{wording.percent(found.accuracy)}</td>" if with_accuracy else ""
    return (
        f"<tr{' class=best' if lowest else ''}><th scope=row>{escape(found.column)}</th>"
        f"<td>{wording.figure(found.loss)}{' <i>lowest</i>' if lowest else ''}</td>{accuracy}"
        f"<td>{wording.count(found.rows)}</td></tr>"
    )


def _trainer(found: TrainerProgress) -> str:
    share = min(1.0, found.rows / found.rows_needed) if found.rows_needed else 1.0
    failed = (
        f'<p class="reason">Last time no model: {escape(found.failed)}</p>' if found.failed else ""
    )
    models = wording.plural(found.models, "model")
    return (
        f"<li><b>{escape(found.trainer)}</b> {_STATES[found.state]}: "
        f"{wording.count(found.rows)} of {wording.count(found.rows_needed)} rows, {models} so far"
        f'<span class="bar thin" aria-hidden="true"><span style="width:{100 * share:.0f}%"></span>'
        f"</span>{failed}</li>"
    )
