"""What a person should check of a proposed specification: what was guessed, and why. Pure."""

import json
from collections.abc import Iterator
from typing import Final

from flyball_local.csvfile.csvdialect import element_name
from flyball_local.csvfile.csvtimes import ROW
from flyball_local.proposing.goals import CHANGE_RATIO
from flyball_local.proposing.proposal import Proposal
from flyball_local.proposing.specnumbers import (
    BLOCK_ROWS,
    NEEDED_BLOCKS,
    Cadence,
    bounds,
    lateness_ms,
    sorted_by_time,
)
from flyball_proto.spec import format_duration

MAX_NAMED: Final = 8
"""Columns that one sentence names."""
MANY_DOUBLES: Final = 0.2
SHORT_SHARE: Final = 10
SEPARATOR_WORDS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def checks(p: Proposal, figures: Cadence) -> list[str]:
    """Sentences of printable characters, what may spoil everything first."""
    told = (
        *_about_target(p),
        *_about_time(p),
        *_about_elements(p),
        *_about_rows(p),
        *_about_values(p),
        *_about_columns(p),
        *_about_learning(figures),
    )
    return ["".join(c if c.isprintable() else "?" for c in sentence) for sentence in told]


def quoted(text: str) -> str:
    """`text` in double quotes, as YAML reads it back."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in shown)


def _about_target(p: Proposal) -> Iterator[str]:
    goal, found = p.goal, p.profile
    said = f"target: {quoted(p.target)}, {goal.task}: {goal.why}"
    if goal.expression is None:
        yield f"{said}; a row is predicted before its truth is published."
    elif p.movement is not None and "- " in goal.expression:
        ratio = p.movement.change / p.movement.spread
        yield (
            f"{said}: within the horizon it moves by {ratio:.0%} of its usual distance from its "
            f"mean (below {CHANGE_RATIO:.0%}). For the value itself: last(...) alone."
        )
    else:
        yield f"{said}, looked at {format_duration(goal.horizon_ms)} ahead."
    for suspect in p.suspects[:MAX_NAMED]:
        yield (
            f"leak? {quoted(suspect.column)} goes along with the target ({suspect.how}). If it is "
            "known only when the target is, remove it here."
        )
    span_ms = found.last_ms - found.first_ms
    if goal.expression is not None and goal.horizon_ms > span_ms / SHORT_SHARE:
        yield "horizon: more than a tenth of the file; few rows will get their truth."


def _about_time(p: Proposal) -> Iterator[str]:
    found, places = p.profile, p.profile.places
    interval = format_duration(found.interval_ms)
    if found.time_format == ROW:
        yield "time: no column holds times, so the row number stands for it, one row a second."
    else:
        first = f"time: {quoted(found.time)}, read as {found.time_format}"
        yield f"{first}; the median step of an element is {interval}."
    if found.time_instead:
        yield (
            f"time: {quoted(found.time)} could also be {found.time_instead}. If day and month are "
            "swapped, change time_format."
        )
    if sorted_by_time(p.profile):
        yield (
            f"order: {places.back} of {places.structured} rows are older than one above them, so "
            "the file is played sorted by time. Live, rows come as they happen."
        )
    elif places.late:
        allowed = format_duration(lateness_ms(found))
        yield (
            f"late: {places.late} rows are older than their element's newest; up to {allowed} they "
            "still count in windows, but get no decision."
        )
    silent, longest_ms = places.gaps
    if silent:
        longest = format_duration(round(longest_ms / 1_000) * 1_000 or longest_ms)
        yield (
            f"gaps: {silent} silences of an element above ten intervals, the longest {longest}; "
            "windows begin anew behind look_back."
        )
    if p.season is not None:
        daily = p.season.season_ms < 2 * 86_400_000
        part, whole = ("hour", "days") if daily else ("day", "weeks")
        yield (
            f"season: {format_duration(p.season.season_ms)}, because the target's means by {part} "
            f"are alike in odd and even {whole} (correlation {p.season.agreement:.2f} over "
            f"{p.season.seasons} {whole})."
        )
    else:
        yield "season: none was seen in this file; write 24h if the day repeats itself when live."


def _about_elements(p: Proposal) -> Iterator[str]:
    found, places = p.profile, p.profile.places
    if found.element is None:
        yield f"element: no column names one, so all rows are of {quoted(p.source)}; or --element."
    else:
        count = len(found.elements)
        yield f"element: {quoted(found.element)}, {found.element_why}; {count} found."
        renamed = [e for e in found.elements if "%" in e]
        if renamed:
            yield (
                f"element: {len(renamed)} names hold what NATS cannot carry; it stands as %XX, e.g. "
                f"{quoted(renamed[0])}."
            )
        if (cell := "") in (e.strip() for e in found.elements):
            yield f"element: rows without a name are of {quoted(element_name(cell))}."
    if places.repeated:
        share = places.repeated / max(1, places.structured)
        alike = f", {places.identical} of them alike in all cells" if places.identical else ""
        words = (
            f"doubles: {places.repeated} rows ({share:.1%}) have the element and time of another"
            f"{alike}; only the first of them is decided."
        )
        more = " Does another column tell them apart? Name it with --element."
        yield words + (more if share > MANY_DOUBLES else "")


def _about_rows(p: Proposal) -> Iterator[str]:
    found = p.profile
    if not found.complete or found.judged < found.rows - found.flawed:
        behind = "" if found.complete else "; what comes behind is unknown"
        yield f"read: {found.judged} of {found.rows} rows were looked into, spread{behind}."
    written = found.dialect
    strange = [
        *([f"separated by {SEPARATOR_WORDS[written.separator]}s"] * (written.separator != ",")),
        *(["with decimal commas"] * (written.decimal == ",")),
        *([f"in {written.encoding}"] * (written.encoding != "utf-8")),
        *(["without a header, so columns are column_1, column_2, ..."] * (not written.header)),
    ]
    if strange:
        yield f"written: the file is {', '.join(strange)}."
    if found.flawed:
        yield (
            f"rows: {found.flawed} have another number of cells than the first, e.g. line "
            f"{found.flawed_line}; a replay sends them as they are, to be quarantined."
        )
    if found.timeless:
        yield (
            f"rows: {found.timeless} have no time, e.g. {quoted(found.timeless_cell)}; a replay "
            "sends them as they are, to be quarantined."
        )
    yield (
        f"ranges: all {found.judged} rows looked into lie within the ranges below, so 0 would be "
        "quarantined for them. Widen them to what is possible, or narrow them to what is true."
    )


def _about_values(p: Proposal) -> Iterator[str]:
    found = p.profile
    odd = {n: found.columns[n].odd for n in p.metrics.values() if found.columns[n].odd}
    for name, texts in list(odd.items())[:MAX_NAMED]:
        yield f"missing: {', '.join(map(quoted, texts[:4]))} in {quoted(name)} is read as no value."
    if p.coded:
        yield (
            f"numbers: no column holds any, so numbers stand for the texts of {', '.join(p.coded)}; "
            "live, elements send these numbers."
        )
    for metric, name in p.metrics.items():
        if metric in p.coded:
            continue
        limits = bounds(found.columns[name])
        if limits is not None and limits.usual is not None:
            low, high = limits.usual
            share = limits.beyond / max(1, len(found.columns[name].numbers))
            yield (
                f"outliers: {limits.beyond} values of {metric} ({share:.2%}) stretch its range; "
                f"[{low:.6g}, {high:.6g}] would quarantine their rows."
            )


def _about_columns(p: Proposal) -> Iterator[str]:
    found = p.profile
    flags = [
        n
        for n in p.metrics.values()
        if n != p.target
        and found.columns[n].is_numeric
        and set(found.columns[n].distinct) <= {"0", "1"}
    ]
    if flags:
        named = ", ".join(map(quoted, flags[:MAX_NAMED])) + (", ..." if flags[MAX_NAMED:] else "")
        yield f"labels? Only 0 and 1 in {named}. If somebody writes them afterwards, remove them."
    renamed = [(m, n) for m, n in (*p.metrics.items(), *p.labels.items()) if m != n]
    if renamed:
        metric, name = renamed[0]
        yield f"names: changed where they cannot be ({len(renamed)}), e.g. {quoted(name)} is {metric}."
    if p.labels and not p.coded:
        yield (
            f"texts: taken as labels of an element, to slice by: {', '.join(p.labels)}. Nothing is "
            "learnt from them."
        )
    for name, reason in list(p.left_out.items())[: 4 * MAX_NAMED]:
        yield f"left out: column {quoted(name)}, {reason}."
    if (more := len(p.left_out) - 4 * MAX_NAMED) > 0:
        yield f"left out: {more} further columns."
    yield 'units: the file does not say them; "1" below means unknown.'


def _about_learning(figures: Cadence) -> Iterator[str]:
    if figures.blocks < NEEDED_BLOCKS:
        yield (
            f"short: the file has {figures.blocks} blocks of {format_duration(figures.block_ms)} "
            f"(about {BLOCK_ROWS} rows or two horizons), and a verdict for a model needs "
            f"{NEEDED_BLOCKS}: expect the baseline to stay."
        )
