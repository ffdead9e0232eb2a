"""What people and programs read of a verdict: each has a meaning, and its figures their names."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.risk_rows import Row, judged
from tests.unit.test_gateway_picture import gathered, loop_of

from flyball_gateway.page import happening
from flyball_gateway.picturing.picture import Verdicts
from flyball_gateway.records.rows import verdict_rows
from flyball_proto.columns import F32, Assessment, Verdict


@pytest.mark.parametrize("verdict", [v.name.lower() for v in Verdict])
def test_the_page_says_what_every_verdict_means(verdict: str) -> None:
    page = happening.verdicts(
        replace(loop_of(gathered()), verdicts=Verdicts({verdict: 1}, 60, False))
    )
    assert "<td class=words></td>" not in page
    assert verdict in page


def test_figures_of_a_verdict_stand_beside_the_row_that_proposed_it() -> None:
    found = judged([Row("a", score=0.9), Row("b", action=None), Row("c", score=0.8)])
    last, middle, first = verdict_rows(found)
    assert (first.error, first.decision_confidence_score) == (0.1, 0.9)
    assert first.potential_impact_info is not None
    assert first.potential_impact_info.model_dump() == {
        "impacted_scope": ["a"],
        "impact": 0.15,
        "words": "moderate if it is wrong, 0.15 of 1",
    }
    assert (middle.error, middle.potential_impact_info) == (None, None)
    assert (last.element, last.error) == ("c", 0.2)


def test_what_is_not_known_is_null_and_not_a_number_that_is_none() -> None:
    found = judged([Row("a", score=0.9)])
    nothing = np.full(1, math.nan, F32)
    known = np.full(1, 0.25, F32)
    given = Assessment(nothing, known, nothing, nothing, known, nothing)
    (row,) = verdict_rows(replace(found, assessment=given))
    assert (row.novelty, row.disagreement, row.confidence) == (None, 0.25, None)
    assert row.potential_impact_info is None


def test_verdicts_of_a_version_that_did_not_assess_are_read() -> None:
    (row,) = verdict_rows(replace(judged([Row("a")]), assessment=Assessment()))
    assert (row.risk, row.error, row.potential_impact_info) == (0.0075, None, None)
