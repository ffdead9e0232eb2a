"""How well the loop delivers: DORA's measures of its own deployments, from its events. Pure.

DORA names five (2024 to 2026): deployment frequency, change lead time, change fail rate, failed
deployment recovery time, rework rate. Here a deployment is the full activation of a learnt model; the
baseline's first seat is none. A failure is one that was rolled back, or replaced by a person, within
`ATTRIBUTION` of its activation. Drift of the world is not a change failure: a model that the next
refresh replaces did not fail.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final

from flyball_proto.commands import Dora
from flyball_proto.deployments import DeploymentActivated, PersonAsked
from flyball_proto.events import Event, ModelTrained, PipelineApplied
from flyball_proto.judgements import Degraded, Refreshed, Superior

ATTRIBUTION: Final = timedelta(hours=24)
DELIVERED: Final = ("succession", "refresh", "promotion")


def dora(pipeline: str, events: Sequence[Event], *, now: datetime) -> Dora:
    """The measures over a pipeline's stored events, in the order of EVENTS.

    Times are medians in seconds of the publishers' clocks; `data_lead_s` is event time, from the
    newest row that a model has learnt from to the evidence that made it active. None = nothing to
    measure it by.
    """
    activations = [e for e in events if isinstance(e, DeploymentActivated)]
    deployments = [a for a in activations if a.change in DELIVERED]
    trained = {e.digest: e for e in events if isinstance(e, ModelTrained)}
    learnt = sum(1 for e in trained.values() if e.trainer != "baseline")
    failures = _failures(activations)
    drift = sum(1 for e in events if isinstance(e, ModelTrained) and e.because == "drift")
    rollbacks = sum(1 for a in activations if a.change == "rollback")
    n = len(deployments)
    return Dora(
        pipeline=pipeline,
        since=events[0].at if events else None,
        deployments=n,
        by_change=dict(Counter(a.change for a in deployments)),
        per_day=_per_day(events, n, now),
        change_lead_s=_median(_spec_leads(events, deployments)),
        machine_lead_s=_median(_machine_leads(deployments, trained)),
        data_lead_s=_median(_data_leads(events, deployments, trained)),
        failed=len(failures),
        change_fail_rate=len(failures) / n if n else None,
        recovery_s=_median((back.at - bad.at).total_seconds() for bad, back in failures),
        alarm_to_recovery_s=_median(_alarms(events, failures)),
        rework_rate=(rollbacks + drift) / n if n else None,
        waited_for_people_s=_median(_waits(events)),
        promotion_yield=n / learnt if learnt else None,
    )


def _per_day(events: Sequence[Event], deployments: int, now: datetime) -> float | None:
    """Deployments a day, over at least an hour: a first one a minute old is not 1 440 a day."""
    if not events:
        return None
    lasted = max(now - events[0].at, timedelta(hours=1))
    return deployments / (lasted / timedelta(days=1))


def _failures(
    activations: Sequence[DeploymentActivated],
) -> list[tuple[DeploymentActivated, DeploymentActivated]]:
    """Deployments that did not last, each with the activation that ended it."""
    found = []
    for bad, back in pairwise(activations):
        undone = back.change == "rollback" or bool(back.by)
        if bad.change in DELIVERED and undone and back.at - bad.at <= ATTRIBUTION:
            found.append((bad, back))
    return found


def _spec_leads(
    events: Sequence[Event], deployments: Sequence[DeploymentActivated]
) -> Iterable[float]:
    """From each changed specification to the first learnt model that became active under it."""
    applied = [e.at for e in events if isinstance(e, PipelineApplied)]
    for i, began in enumerate(applied):
        until = applied[i + 1] if i + 1 < len(applied) else None
        of_it = (d.at for d in deployments if d.at >= began and (until is None or d.at < until))
        if (first := next(of_it, None)) is not None:
            yield (first - began).total_seconds()


def _machine_leads(
    deployments: Sequence[DeploymentActivated], trained: dict[str, ModelTrained]
) -> Iterable[float]:
    """From the end of a fit to the activation."""
    for deployment in deployments:
        made = trained.get(deployment.digest)
        if made is not None and deployment.change != "promotion":
            yield (deployment.at - (made.fitted_at or made.at)).total_seconds()


def _data_leads(
    events: Sequence[Event],
    deployments: Sequence[DeploymentActivated],
    trained: dict[str, ModelTrained],
) -> Iterable[float]:
    judged = {e.number: e for e in events if isinstance(e, Superior | Refreshed)}
    for deployment in deployments:
        made, behind = trained.get(deployment.digest), judged.get(deployment.judgement)
        if made is not None and behind is not None and made.trained_through_ms:
            yield (behind.event_ms - made.trained_through_ms) / 1000


def _alarms(
    events: Sequence[Event], failures: Sequence[tuple[DeploymentActivated, DeploymentActivated]]
) -> Iterable[float]:
    """From the watch's alarm to the restored model."""
    alarms = {e.number: e for e in events if isinstance(e, Degraded)}
    for _, back in failures:
        if (alarm := alarms.get(back.judgement)) is not None:
            yield (back.at - alarm.at).total_seconds()


def _waits(events: Sequence[Event]) -> Iterable[float]:
    """From asking a person to that person's next move."""
    asked: PersonAsked | None = None
    for event in events:
        if isinstance(event, PersonAsked):
            asked = asked or event
        elif isinstance(event, DeploymentActivated) and event.by and asked is not None:
            yield (event.at - asked.at).total_seconds()
            asked = None


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None
