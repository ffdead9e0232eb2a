"""What people see of a pipeline that stepped back by itself, or earned more autonomy."""

from datetime import timedelta

from tests.unit.test_gateway_picture import NOW, gathered, loop_of
from tests.unit.test_risk_earning import proposed

from flyball_gateway.page import happening
from flyball_gateway.picturing.picture import Picture
from flyball_gateway.picturing.telling import line
from flyball_proto.autonomy import AutonomyProposed
from flyball_proto.breakers import (
    BreakerRecord,
    BreakerState,
    BreakerTurned,
    by_pipeline,
    words_of,
)


def record(state: BreakerState, partition: int = 0) -> BreakerRecord:
    return BreakerRecord(
        pipeline="plant",
        partition=partition,
        state=state,
        number=1,
        reason="40% of 100 proposals are <b>high-risk</b>",
        clock_ms=0,
        until_ms=1,
        at=NOW - timedelta(minutes=1),
    )


def test_the_page_says_that_it_is_open_why_and_what_ends_it_and_forgets_it_when_it_closes() -> None:
    made = gathered()
    made.breaker("plant.0", record("open"))
    made.breaker("plant.1", record("trial", 1))
    loop = loop_of(made)
    shown = happening.alarms(Picture(NOW, loops=(loop,)), loop)
    assert "The breaker is open" in shown
    assert "40% of 100 proposals are &lt;b&gt;high-risk" in shown
    assert "flyball breaker reset plant" in shown
    assert any("the breaker is open, nothing is sent" in said for said in loop.awaited)
    made.breaker("plant.0", record("closed"))
    trial = loop_of(made)
    assert "in a trial" in happening.alarms(Picture(NOW, loops=(trial,)), trial)
    made.breaker("plant.1", record("closed", 1))
    assert loop_of(made).breaker is None


def test_what_a_breaker_did_is_told_in_one_line() -> None:
    event = BreakerTurned(pipeline="plant", at=NOW, breaker=record("open"))
    found = line(event.subject, event.model_dump_json().encode())
    assert found is not None
    assert found[1].text.startswith("The breaker opened, nothing is sent (partition 0): 40%")
    assert words_of(record("trial")).startswith("trial: 40%")
    assert words_of(None) == ""
    assert by_pipeline([record("closed"), record("open", 1)]) == {"plant": record("open", 1)}
    assert by_pipeline([record("closed")]) == {}


def test_a_proposal_is_told_with_what_it_stands_on_and_who_decides() -> None:
    event = AutonomyProposed(pipeline="plant", at=NOW, proposal=proposed())
    found = line(event.subject, event.model_dump_json().encode())
    assert found is not None
    assert "autonomous instead of supervised" in found[1].text
    assert "people agreed with 59 of 59" in found[1].text
    assert "flyball autonomy accept plant" in found[1].text
