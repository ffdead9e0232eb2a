"""What trainers wait for, in sentences. Pure."""

from collections.abc import Iterable
from typing import Final

from flyball_gateway.awaited.phrases import listed, span, thousands
from flyball_gateway.awaited.situation import Situation
from flyball_proto.progress import TrainerProgress

_STEPS: Final = {
    "fitting": ("is being trained", "are being trained"),
    "publishing": ("has a new model that is being published",) * 2,
    "queued": ("waits for a free worker to be trained", "wait for a free worker to be trained"),
}


def first(now: Situation) -> Iterable[str]:
    """Trainings under way, and what is missing for the first ones."""
    for state, (one, several) in _STEPS.items():
        names = [p.trainer for p in now.trainers if p.state == state]
        if names:
            yield f"{listed(names)} {one if len(names) == 1 else several}"
    groups: dict[tuple[int, int, int, int], list[TrainerProgress]] = {}
    for trainer in now.trainers:
        if trainer.state != "gathering" or not now.now_ms:
            continue
        if trainer.failed:
            yield _failed(now, trainer)
        else:
            needs = (trainer.rows, trainer.rows_needed, trainer.span_ms, trainer.span_needed_ms)
            groups.setdefault(needs, []).append(trainer)
    for alike in groups.values():
        yield _gathering(now, alike)


def again(now: Situation) -> Iterable[str]:
    """When trainers that have trained will do it again."""
    drifts = {t.name for t in now.pipeline.spec.trainers if t.retrain_on_drift}
    groups: dict[str, list[str]] = {}
    for trainer in now.trainers:
        if trainer.state != "waiting":
            continue
        if trainer.failed:
            yield _failed(now, trainer)
            continue
        drift = ", or on drift" if trainer.trainer in drifts else ""
        if (due := _due(now, trainer)) or drift:
            groups.setdefault(f"{due}{drift}" if due else " on drift", []).append(trainer.trainer)
    for due, names in groups.items():
        yield f"{listed(names)} {'trains' if len(names) == 1 else 'train'} again{due}"


def _gathering(now: Situation, alike: list[TrainerProgress]) -> str:
    found, names = alike[0], listed([p.trainer for p in alike])
    when = now.when(_left_ms(found))
    when = f", {when}" if when else ""
    if found.rows < found.rows_needed:
        have = f"labelled rows: {thousands(found.rows)} of {thousands(found.rows_needed)}"
    elif found.span_ms < found.span_needed_ms:
        have = f"labelled rows cover {span(found.span_ms)} of {span(found.span_needed_ms)}"
    else:
        return f"the first training of {names} is due"
    return f"{have} for the first training of {names}{when}"


def _failed(now: Situation, trainer: TrainerProgress) -> str:
    due = _due(now, trainer)
    return f"{trainer.trainer} gave no model: {trainer.failed}" + (
        f"; it trains again{due}" if due and trainer.due_ms else ""
    )


def _due(now: Situation, trainer: TrainerProgress) -> str:
    """When the cadence and enough new rows have come; empty when that is not known."""
    left_ms = trainer.due_ms - trainer.now_ms
    lacking = trainer.rows_needed - trainer.rows
    if trainer.due_ms and left_ms > 0:
        rows_ms = _left_ms(trainer)
        when = now.when(None if rows_ms is None else max(left_ms, rows_ms))
        return f" {when}" if when else ""
    if lacking > 0:
        return f" after {thousands(lacking)} more labelled row{'' if lacking == 1 else 's'}"
    return " with the next rows"


def _left_ms(trainer: TrainerProgress) -> float | None:
    """Event time until there are enough rows over enough time; None = they do not come."""
    span_ms = max(0, trainer.span_needed_ms - trainer.span_ms)
    lacking = max(0, trainer.rows_needed - trainer.rows)
    if not lacking and not span_ms:
        return 0.0
    if not trainer.rows_per_s:
        return None
    return max(float(span_ms), 1000 * lacking / trainer.rows_per_s)
