"""When more autonomy is proposed for a pipeline, and what becomes of a proposal. Pure.

All of these, since the autonomy changed, the breaker opened or the pipeline stepped back:

* `LEAST_MS` of event time in every partition,
* `LEAST_GOOD` proposals that were cleared, or would have been in an advisory pipeline,
* a cut-off that is proven to keep `max_error`, see `calibrating`,
* for autonomous: of people's answers to holds the share that agreed is at least `LEAST_AGREED`,
  with `CONFIDENCE` (Clopper-Pearson): 59 answers without a denial, 93 with one.

Nobody but a person acts on it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from flyball_proto.autonomy import Autonomy, AutonomyRecord
from flyball_proto.calibrations import Calibration, CutOff
from flyball_risk.breaking.merits import Merits
from flyball_risk.calibrating.bounds import lower_bound

DAY_MS: Final = 86_400_000
LEAST_MS: Final = 7 * DAY_MS
LEAST_GOOD: Final = 1000
LEAST_AGREED: Final = 0.95
CONFIDENCE: Final = 0.95
NEXT: Final[Mapping[str, Autonomy]] = {"advisory": "supervised", "supervised": "autonomous"}


def earned(merits: Merits, calibration: Calibration | None) -> tuple[str, ...] | None:
    """What more autonomy stands on, a sentence each; None = it is not earned."""
    span_ms, answers = merits.clock_ms - merits.since_ms, merits.agreed + merits.denied
    cut_off = calibration.cut_off if calibration else None
    if calibration is None or calibration.stepped_back or cut_off is None:
        return None
    if not cut_off.proven or cut_off.at is None:
        return None
    if span_ms < LEAST_MS or merits.good < LEAST_GOOD:
        return None
    said = [
        f"for {span_ms / DAY_MS:.1f} days of event time the breaker never opened",
        f"{merits.good} proposals were cleared, or would have been",
        _of_labels(cut_off),
    ]
    if merits.autonomy == "supervised":
        share = lower_bound(merits.agreed, answers, 1.0 - CONFIDENCE)
        if share < LEAST_AGREED:
            return None
        said.append(
            f"people agreed with {merits.agreed} of {answers} held decisions, so with at least "
            f"{share:.1%} at {CONFIDENCE:.0%} confidence"
        )
    return tuple(said)


def _of_labels(found: CutOff) -> str:
    return (
        f"at most {found.bound:.1%} of cleared decisions are wrong, with {found.confidence:.0%} "
        f"confidence from {found.rows} labelled rows; {found.max_error:.1%} may be"
    )


def proposal(
    pipeline: str,
    merits: Merits,
    calibration: Calibration | None,
    last: AutonomyRecord | None,
    at: datetime,
) -> AutonomyRecord | None:
    """What to record now; None = nothing new.

    Something that is proposed stays so until a person answers or what it stands on is gone.
    """
    if last is not None and last.state == "proposed":
        return _followed(last, merits, calibration, at)
    if last is not None and last.state == "declined" and merits.clock_ms < last.until_ms:
        return None
    wanted, evidence = NEXT.get(merits.autonomy), earned(merits, calibration)
    if wanted is None or evidence is None:
        return None
    return AutonomyRecord(
        pipeline=pipeline,
        now="advisory" if merits.autonomy == "advisory" else "supervised",
        proposed=wanted,
        evidence=evidence,
        since_ms=merits.since_ms,
        event_ms=merits.clock_ms,
        at=at,
    )


def _followed(
    last: AutonomyRecord, merits: Merits, calibration: Calibration | None, at: datetime
) -> AutonomyRecord | None:
    if merits.autonomy == last.proposed:
        return last.model_copy(update={"state": "accepted", "at": at})
    if merits.autonomy != last.now or earned(merits, calibration) is None:
        why = "what it stood on is no longer so"
        return last.model_copy(update={"state": "withdrawn", "at": at, "why": why})
    return None


def declined(last: AutonomyRecord, by: str, why: str, at: datetime) -> AutonomyRecord:
    """A person declined: it is not proposed again for as long as the evidence took."""
    until_ms = last.event_ms + (last.event_ms - last.since_ms)
    return last.model_copy(
        update={"state": "declined", "by": by, "why": why, "at": at, "until_ms": until_ms}
    )
