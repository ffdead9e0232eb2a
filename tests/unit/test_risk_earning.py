"""More autonomy is proposed by its record, never taken; and what becomes of a proposal."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.risk_rows import BASELINE, Row, batch, message, policy
from tests.unit.test_risk_breaker import rows_at, trip

from flyball_kit.clock import utc_now
from flyball_proto.autonomy import AutonomyRecord
from flyball_proto.calibrations import Calibration, CutOff, SteppedBack
from flyball_proto.columns import Category, Outcome, Verdict
from flyball_risk.breaking.merits import Merits, together
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.steering.earning import DAY_MS, LEAST_MS, declined, earned, proposal

AT = utc_now()
PROVEN = CutOff(
    at=0.1, proven=True, rows=400, below=300, errors=2, bound=0.03, max_error=0.05,
    confidence=0.95, needed=117,
)  # fmt: skip
GOOD = Merits("supervised", DAY_MS, DAY_MS + LEAST_MS, 1000, 59, 0)


def calibration(**changes: Any) -> Calibration:
    given = {"cut_off": PROVEN} | changes
    return Calibration(pipeline="p", feature_digest="f", at=AT, event_ms=0, **given)


def look(merits: Merits, last: AutonomyRecord | None = None) -> AutonomyRecord | None:
    return proposal("p", merits, calibration(), last, AT)


def proposed() -> AutonomyRecord:
    found = look(GOOD)
    assert found is not None
    return found


def test_a_good_record_earns_a_proposal_that_says_what_it_stands_on():
    found = proposed()
    assert (found.state, found.now, found.proposed) == ("proposed", "supervised", "autonomous")
    assert (found.since_ms, found.event_ms) == (DAY_MS, 8 * DAY_MS)
    assert found.evidence == (
        "for 7.0 days of event time the breaker never opened",
        "1000 proposals were cleared, or would have been",
        (
            "at most 3.0% of cleared decisions are wrong, with 95% confidence from 400 labelled "
            "rows; 5.0% may be"
        ),
        "people agreed with 59 of 59 held decisions, so with at least 95.0% at 95% confidence",
    )


def test_an_advisory_pipeline_needs_no_answers_and_an_autonomous_one_earns_nothing():
    found = look(replace(GOOD, autonomy="advisory", agreed=0))
    assert found is not None
    assert (found.now, found.proposed, len(found.evidence)) == ("advisory", "supervised", 3)
    assert look(replace(GOOD, autonomy="autonomous")) is None


@pytest.mark.parametrize(
    ("merits", "of_labels"),
    [
        (replace(GOOD, clock_ms=GOOD.clock_ms - 1), {}),
        (replace(GOOD, good=999), {}),
        (replace(GOOD, agreed=58), {}),
        (replace(GOOD, agreed=91, denied=1), {}),
        (GOOD, {"cut_off": None}),
        (GOOD, {"cut_off": PROVEN.model_copy(update={"proven": False})}),
        (GOOD, {"cut_off": PROVEN.model_copy(update={"at": None})}),
        (GOOD, {"stepped_back": SteppedBack(since_ms=1, error=0.2, lower_bound=0.1, rows=50)}),
    ],
)
def test_what_is_missing_is_never_earned(merits, of_labels):
    assert earned(merits, calibration(**of_labels)) is None
    assert earned(merits, None) is None


def test_one_denial_takes_93_answers():
    assert earned(replace(GOOD, agreed=92, denied=1), calibration()) is not None


def test_while_it_is_proposed_nothing_new_is_and_it_is_withdrawn_when_the_evidence_is_gone():
    assert look(GOOD, proposed()) is None
    gone = look(replace(GOOD, good=0), proposed())
    assert gone is not None
    assert (gone.state, gone.why) == ("withdrawn", "what it stood on is no longer so")
    assert look(GOOD, gone) is not None


def test_it_is_accepted_when_the_specification_says_so():
    found = look(Merits("autonomous", 9, 10), proposed())
    assert found is not None
    assert found.state == "accepted"
    taken_back = look(Merits("advisory", 9, 10), proposed())
    assert taken_back is not None
    assert taken_back.state == "withdrawn"


def test_declined_it_is_not_proposed_again_for_as_long_as_the_evidence_took():
    found = declined(proposed(), "ana", "not yet", AT)
    assert (found.state, found.by, found.until_ms) == ("declined", "ana", GOOD.clock_ms + LEAST_MS)
    assert look(replace(GOOD, clock_ms=found.until_ms - 1), found) is None
    assert look(replace(GOOD, clock_ms=found.until_ms), found) is not None


def test_partitions_count_together_for_the_time_that_they_share():
    assert together([Merits("a", 5, 20, 3, 2, 1), Merits("a", 7, 19, 4, 0, 1)]) == Merits(
        "a", 7, 19, 7, 2, 2
    )
    assert together([Merits("a", 5, 20), Merits()]) is None
    assert together([]) is None


def partition(rows: list[Row], **risk: Any) -> Partition:
    found, under = Partition(), policy(**risk)
    fold = RiskFold(lambda _: Frame(under))
    fold._partition = found
    fold.step(message(batch(rows)))
    return found


@pytest.mark.parametrize("autonomy", ["advisory", "supervised"])
def test_what_was_cleared_or_would_have_been_counts(autonomy):
    found = partition(rows_at(1000, 0.99, 7), autonomy=autonomy)
    assert (found.merits.good, found.merits.autonomy, found.merits.since_ms) == (7, autonomy, 1000)
    assert Partition.load(found.dump()).merits == found.merits


def test_the_baselines_rows_do_not_count():
    assert partition([Row(time_ms=1000, model=BASELINE)]).merits.good == 0


def test_it_begins_anew_when_the_breaker_opens_or_the_autonomy_changes():
    fold, _ = trip()
    merits = fold._partition.merits
    assert (merits.good, merits.since_ms) == (0, merits.clock_ms)
    merits = replace(GOOD)
    merits.advance(merits.clock_ms + 1, "advisory")
    assert merits == Merits("advisory", GOOD.clock_ms + 1, GOOD.clock_ms + 1)


def test_answers_count_and_expiries_do_not():
    merits = Merits()
    for outcome in Outcome:
        merits.answered(outcome)
    assert (merits.agreed, merits.denied) == (1, 1)
    merits.judged(Verdict.HOLD, Category.HIGH)
    merits.judged(Verdict.ADVISE, Category.HIGH)
    assert merits.good == 0
