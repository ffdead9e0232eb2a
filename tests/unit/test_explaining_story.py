"""How the story of a decision reads."""

import pytest
from tests.unit.risk_rows import Row, judged

from flyball_kit import clock
from flyball_local.explaining.story import Story, lines
from flyball_local.lineage.finding import StoredVerdicts, pick
from flyball_proto.columns import Quality


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        (Quality.NULL, ["inputs    a metric is missing"]),
        (Quality.CLIPPED | Quality.STALE, ["inputs    a value was clipped, inputs are stale"]),
        (Quality.LATE_INPUT, ["inputs    a late row was repaired"]),
        (Quality.OK, []),
    ],
)
def test_what_is_wrong_with_inputs_is_said_in_words(quality: Quality, words: list[str]) -> None:
    verdicts = judged([Row(quality=quality)])
    stored = StoredVerdicts(verdicts, "verdicts.congestion.0", clock.utc_now(), 1, "")
    row = pick(stored, 1, 0)
    assert row is not None
    assert [line for line in lines(Story(row)) if line.startswith("inputs")] == words
