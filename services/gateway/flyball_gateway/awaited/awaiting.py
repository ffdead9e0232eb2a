"""What happens next in a pipeline and when, in sentences for somebody who is new to it. Pure.

Times are event time at the present pace of the data. What is not known is not said.
"""

from collections.abc import Callable, Iterable
from typing import Final

from flyball_gateway.awaited import comparing, training
from flyball_gateway.awaited.phrases import span, thousands
from flyball_gateway.awaited.situation import Situation
from flyball_proto.breakers import BreakerRecord
from flyball_proto.spec import BASELINE, Metric

MAX_SENTENCES: Final = 6


def awaited(now: Situation) -> tuple[str, ...]:
    """At most `MAX_SENTENCES`, the most pressing first."""
    found = [*_of_people(now)]
    if now.arrived is False and not now.now_ms:
        found.append(_no_metric(now))
    else:
        found += _said(now, _of_rows, _of_seat, training.first, comparing.season)
        found += _said(now, comparing.evidence, training.again)
    return tuple(found[:MAX_SENTENCES])


def _said(now: Situation, *parts: Callable[[Situation], Iterable[str]]) -> Iterable[str]:
    return (sentence for part in parts for sentence in part(now))


def _of_people(now: Situation) -> Iterable[str]:
    """What does not go on before somebody does something."""
    name, seat = now.pipeline.name, now.deployment
    if now.stop is not None and now.stop.stopped:
        yield f"stopped by {now.stop.by}: nothing is sent until flyball resume {name}"
    if now.breaker is not None:
        yield from _of_breaker(now, now.breaker)
    if now.open_holds:
        waits = "decision waits" if now.open_holds == 1 else "decisions wait"
        yield f"{now.open_holds} {waits} for a person: flyball holds list"
    if seat is not None and seat.pinned is not None:
        yield f"pinned by {seat.pinned.by}: no model moves by itself until it is unpinned"
    elif seat is not None and seat.frozen:
        yield "frozen after a second rollback: no model moves by itself until a person decides"


def _of_breaker(now: Situation, found: BreakerRecord) -> Iterable[str]:
    """Why it is advisory by itself, and what ends that."""
    if found.state == "trial":
        yield "the breaker is in a trial: a tenth of the elements are acted on"
        return
    left_ms = found.until_ms - now.now_ms if now.now_ms else found.until_ms - found.clock_ms
    yield (
        f"the breaker is open, nothing is sent: {found.reason}; a trial begins "
        f"{now.when(left_ms) or 'later'}, or flyball breaker reset {now.pipeline.name}"
    )


def _no_metric(now: Situation) -> str:
    spec = now.source.spec
    seen = [m for m in spec.metrics if m.privacy == "none"] or list(spec.metrics)
    values = " ".join(
        f"{m.name}={_example(m)}" for m in [m for m in seen if m.required] or seen[:1]
    )
    example = f"{spec.element}-1 {values}"
    return f"no metric has arrived yet: flyball publish {now.source.name} {example}"


def _of_rows(now: Situation) -> Iterable[str]:
    """Whether rows with a label come."""
    if now.quiet_ms is not None:
        yield f"no row with a label has come for about {span(now.quiet_ms)}"
    if now.now_ms:
        return
    if now.refused:
        name = now.source.name
        were = "report was" if now.refused == 1 else "reports were"
        yield f"{thousands(now.refused)} {were} refused: flyball quarantine list {name}"
    if not now.trainers:
        return
    target = now.pipeline.spec.target
    if target.kind == "feedback":
        yield f"no truth has arrived yet: it is published on labels.{now.pipeline.name}.<element>"
    else:
        yield f"no row has a label yet: the truth is known {span(target.horizon_ms)} after the row"


def _of_seat(now: Situation) -> Iterable[str]:
    """Who takes the seat, or takes more of it."""
    seat = now.deployment
    if seat is None:
        yield f"no model answers yet: {BASELINE} is the first"
    elif seat.canary is not None:
        canary = seat.canary
        yield (
            f"{canary.trainer} answers for {canary.percent} % of the elements as a canary; it goes "
            "on when its guards pass"
        )


def _example(metric: Metric) -> str:
    low, high = metric.range or (0.0, 2.0)
    return f"{(low + high) / 2:g}"
