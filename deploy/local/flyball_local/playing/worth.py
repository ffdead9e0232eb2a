"""What a replay was worth, in sentences for people. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ALIKE: Final = 0.005
"""A loss that differs by less than this share is the same."""
MAX_CODES: Final = 6
METRICS: Final = {"brier": "Brier score", "absolute_error": "mean absolute error"}
OTHERS: Final = (
    ("persistence", "what was last known (persistence)"),
    ("first_model", "the first learnt model, left alone"),
    ("ungated_retraining", "every newest model without a gate"),
)
REASONS: Final = {
    "out-of-range": "a value outside the range in the specification",
    "bad-shape": "a text where a number should be, or another number of cells",
    "bad-time": "a time that cannot be read",
    "missing-metric": "no value for a metric that is required",
    "unknown-metric": "a metric that the source does not declare",
    "future-time": "a time in the future",
    "no-values": "no values at all",
    "too-many-elements": "more elements than ingest may hold",
    "label-too-long": "a label above 64 characters",
}
NEXT: Final = {
    "out-of-range": "widen that range, or write `on_invalid: clip`",
    "bad-shape": "add the text to csv.missing, or correct the rows",
    "bad-time": "correct csv.time_format, or the rows",
}


def worth_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What the decisions were worth, and who took them."""
    figures = found["prequential"]
    if figures["value"] is None:
        yield (
            "worth      unknown: too few decisions got their truth; a longer file, a shorter "
            "horizon or truth that comes sooner would help"
        )
        return
    loss, name = figures["value"], METRICS.get(figures["metric"], figures["metric"])
    yield f"worth      {name} {loss:.6g} over {figures['rows']} rows whose truth became known"
    for key, words in OTHERS:
        other = figures["baseline"].get(key)
        if other is not None and other["value"] is not None:
            yield f"           {_beside(loss, other['value'])} {words} ({other['value']:.6g})"
    yield f"seat       {_seat(found)}"


def refused_lines(refused: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was refused and why, the most frequent reasons with a first example."""
    for found in refused[:MAX_CODES]:
        kind = found["code"].partition(":")[0]
        words = REASONS.get(kind, "see services/ingest/README.md")
        yield f"refused    {found['rows']} rows, {found['code']}: {words}"
        if found["examples"]:
            yield f"           e.g. {found['examples'][0]}"
    if (more := len(refused) - MAX_CODES) > 0:
        yield f"refused    for {more} further reasons"


def next_lines(
    found: Mapping[str, Any], spec: Path, csv: Path, *, proposed: bool = False
) -> Iterator[str]:
    """What to do next."""
    for refused in found.get("refused", ())[:1]:
        if step := NEXT.get(refused["code"].partition(":")[0]):
            yield f"next       {refused['code']}: {step} in {spec}"
    if proposed:
        yield f"next       go through the list on top of {spec}, then play it again:"
        yield f"           flyball replay --csv {csv} --spec {spec}"
    if found["decisions"] and found["doubles"] > 0.2 * found["rows_in"]:
        yield "next       many rows share element and time: does another column name the element?"
    yield f"next       live: flyball up, then flyball apply -f {spec}"


def _beside(loss: float, other: float) -> str:
    if abs(loss - other) <= ALIKE * abs(other):
        return "the same as"
    if not other:
        return "worse than"
    change = (other - loss) / abs(other)
    return f"{abs(change):.1%} {'better' if change > 0 else 'worse'} than"


def _seat(found: Mapping[str, Any]) -> str:
    promotions, rollbacks = found["promotions"], found["rollbacks"]
    count = len(found["models"])
    if not promotions["successions"]:
        return (
            f"the baseline kept it: of {count} models none was shown to be better by the margin; "
            "more rows, or a smaller performance_gain_threshold, may change that"
        )
    times = promotions["successions"]
    return (
        f"taken by evidence {times} time{'s' * (times != 1)}, refreshed {promotions['refreshes']} "
        f"times, taken back {rollbacks} times; {count} models in all"
    )
