"""Whether a pipeline fits its source: what neither document can know alone."""

from collections.abc import Iterable, Iterator

from flyball_proto.spec.acting import KEEP
from flyball_proto.spec.boundaries import facts, mistake_in, place_words
from flyball_proto.spec.durations import format_duration
from flyball_proto.spec.features import (
    block_ms,
    feature_names,
    largest_window_rows,
    look_back_ms,
    warm_up_rows,
    window_ms,
)
from flyball_proto.spec.mistakes import Mistake, Path
from flyball_proto.spec.names import listed, nearest
from flyball_proto.spec.pipeline import ALL, Pipeline
from flyball_proto.spec.source import Source

MAX_FEATURES = 1_024
MAX_HORIZON_ROWS = 100_000


def crosscheck(pipeline: Pipeline, source: Source, document: int = 0) -> list[Mistake]:
    """Every mistake of `pipeline` against `source`; empty when they fit."""
    found: list[Mistake] = []
    for check in (_features, _windows, _target, _truth, _learning, _labels):
        found.extend(
            Mistake(document, path, what, valid, step)
            for path, what, valid, step in check(pipeline, source)
        )
    return [*found, *_boundaries(pipeline, source, document)]


_Found = Iterator[tuple[Path, str, str, str]]


def _features(pipeline: Pipeline, source: Source) -> _Found:
    known_at_once = _known_at_once(pipeline)
    for i, block in enumerate(pipeline.spec.features):
        for j, metric in enumerate(block.chosen):
            path: Path = ("spec", "features", i, "metric")
            if block.metric is None:
                path = ("spec", "features", i, "metrics", j)
            if metric == ALL:
                continue
            yield from _metric(metric, path, source)
            if metric == known_at_once:
                yield (
                    path,
                    f"{metric!r}, whose own value is the target",
                    "a metric that is not the target itself",
                    f"remove it, or predict last({metric}) with a horizon",
                )
    width = len(feature_names(pipeline, source))
    if not 1 <= width <= MAX_FEATURES:
        yield (
            ("spec", "features"),
            f"{width} features",
            f"1 to {MAX_FEATURES}",
            "choose fewer metrics, windows or aggregates" if width else "add metrics",
        )


def _metric(metric: str, path: Path, source: Source) -> _Found:
    declared = source.metric(metric)
    if declared is None:
        close = nearest(metric, source.visible_metrics)
        step = f"did you mean {close[0]}?" if close else f"declare it in source {source.name}"
        yield path, f"unknown metric {metric!r}", listed(source.visible_metrics, metric), step
    elif declared.privacy != "none":
        yield (
            path,
            f"{metric!r} with privacy: {declared.privacy}",
            listed(source.visible_metrics),
            "a private metric can be neither feature nor target",
        )


def _windows(pipeline: Pipeline, source: Source) -> _Found:
    rows, interval = largest_window_rows(pipeline), source.spec.interval_ms
    if (look_back := look_back_ms(pipeline, source)) < rows * interval:
        needed = format_duration(rows * interval)
        yield (
            ("spec", "look_back"),
            format_duration(look_back),
            f"at least {needed}: {rows} rows at {format_duration(interval)}",
            "make look_back longer or the windows smaller",
        )
    if (warm_up := warm_up_rows(pipeline)) > rows:
        yield (
            ("spec", "warm_up_rows"),
            str(warm_up),
            f"1 to {rows}, the largest window",
            "no element would ever have that many rows in its window",
        )


def _target(pipeline: Pipeline, source: Source) -> _Found:
    target = pipeline.spec.target
    parsed = target.parsed
    path: Path = ("spec", "target", "horizon")
    found, interval = format_duration(target.horizon_ms), source.spec.interval_ms
    if parsed is None:
        return
    yield from _metric(parsed.metric, ("spec", "target", "expression"), source)
    if parsed.aggregate is None:
        if target.horizon_ms:
            step = f"remove it, or write last({parsed.metric}) to look ahead"
            yield path, found, "no horizon: the row's own value is known at once", step
        return
    longest = MAX_HORIZON_ROWS * interval
    if not interval <= target.horizon_ms <= longest:
        one = format_duration(interval)
        yield (
            path,
            found if target.horizon_ms else "no horizon",
            f"{one} (one interval of {source.name}) to {format_duration(longest)}",
            f"write e.g. horizon: {one}",
        )


def _truth(pipeline: Pipeline, source: Source) -> _Found:
    """The column of truth may not come in as a metric by another name."""
    mapping, target = source.spec.csv, pipeline.spec.target
    if mapping.truth is None or target.kind != "feedback":
        return
    for i, block in enumerate(pipeline.spec.features):
        for name in source.visible_metrics if ALL in block.chosen else block.chosen:
            if mapping.column(name) == mapping.truth.column:
                yield (
                    ("spec", "features", i),
                    f"metric {name!r}, read from the column of truth {mapping.truth.column!r}",
                    "features that are known before the truth is",
                    f"remove {name!r} from the metrics of source {source.name}",
                )


def _learning(pipeline: Pipeline, source: Source) -> _Found:
    horizon_ms = pipeline.spec.target.horizon_ms
    if horizon_ms > MAX_HORIZON_ROWS * source.spec.interval_ms:
        return  # said elsewhere
    horizon = format_duration(horizon_ms)
    if (block := block_ms(pipeline, source)) < 2 * horizon_ms:
        yield (
            ("spec", "promotion", "block"),
            format_duration(block),
            f"at least {format_duration(2 * horizon_ms)}: two horizons of {horizon}",
            "make the block longer, or leave it out",
        )
    for i, trainer in enumerate(pipeline.spec.trainers):
        if (window := window_ms(trainer, pipeline)) < 10 * horizon_ms:
            yield (
                ("spec", "trainers", i, "window"),
                format_duration(window),
                f"at least {format_duration(10 * horizon_ms)}: ten horizons of {horizon}",
                "make the window longer",
            )


def _labels(pipeline: Pipeline, source: Source) -> _Found:
    labels = source.spec.labels
    used: list[tuple[Path, Iterable[str]]] = [
        (("spec", "promotion", "slices"), pipeline.spec.promotion.slices),
        (
            ("spec", "risk", "budgets", "elements_per_label"),
            pipeline.spec.risk.budgets.elements_per_label,
        ),
    ]
    for path, names in used:
        for name in names:
            if name not in labels:
                step = f"add it to labels of source {source.name}, or remove it"
                yield path, f"unknown label {name!r}", listed(labels, name), step
    actions = {d.action for d in pipeline.spec.decisions}
    if not actions and pipeline.spec.risk.fallback != KEEP:
        yield (
            ("spec", "risk", "fallback"),
            f"{pipeline.spec.risk.fallback!r} without decisions",
            KEEP,
            "add decisions, or remove the fallback",
        )


def _boundaries(pipeline: Pipeline, source: Source, document: int) -> Iterator[Mistake]:
    known = facts(pipeline, source)
    for i, boundary in enumerate(pipeline.spec.risk.boundaries):
        mistake = mistake_in(boundary.when, known)
        if mistake is not None:
            place = place_words(boundary.when, mistake.at)
            found = f"{mistake.found} (boundary {boundary.name}, {place})"
            path: Path = ("spec", "risk", "boundaries", i, "when")
            yield Mistake(document, path, found, mistake.valid, mistake.step, at=mistake.at)


def _known_at_once(pipeline: Pipeline) -> str | None:
    parsed = pipeline.spec.target.parsed
    return parsed.metric if parsed and parsed.aggregate is None else None
