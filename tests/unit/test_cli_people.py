"""What `flyball holds` and `flyball reviews` say, and which holds somebody means."""

from datetime import timedelta
from typing import Any, get_args

import pytest
from tests.unit.review_rows import review
from tests.unit.test_risk_people import AT, hold

from flyball_local.cli.holding import Code
from flyball_local.cli.reviewing import Finding
from flyball_local.invalid import InvalidInputError
from flyball_local.showing.answering import Outcome
from flyball_local.showing.choosing import check_count, filters_of
from flyball_local.showing.holding import Beside, context_lines, count_lines
from flyball_local.showing.listing import hold_lines
from flyball_local.showing.reviewing import one_review, review_lines, review_row, summary_lines
from flyball_proto.beside import counted, named_features
from flyball_proto.holds import HoldContext, Nearby, ReasonCode
from flyball_proto.reviews import Judgement, Reviewer, ReviewSummary, Share

LATER = AT + timedelta(minutes=5)


def test_the_command_line_knows_every_code_and_finding() -> None:
    assert {code.value for code in Code} == set(get_args(ReasonCode))
    assert {finding.value for finding in Finding} == set(get_args(Judgement))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ((None, None, None, None, None), True),
        (("congestion", "a", "offload", ["site=s1"], "5min"), True),
        (("other", None, None, None, None), False),
        ((None, "b", None, None, None), False),
        ((None, None, "reset", None, None), False),
        ((None, None, None, ["site=s1", "zone=north"], None), False),
        ((None, None, None, None, "301s"), False),
    ],
)
def test_filters_mean_the_holds_that_have_all_of_it(words: Any, meant: bool) -> None:
    assert filters_of(*words).match(hold("1"), LATER) is meant


def test_as_many_are_answered_as_were_expected_or_none() -> None:
    check_count(3, 3, "deny")
    check_count(1000, None, "deny")
    with pytest.raises(InvalidInputError, match="2 open holds match, so none was answered"):
        check_count(2, 3, "deny")
    with pytest.raises(InvalidInputError, match="at most 1000 are answered at once"):
        check_count(1001, None, "deny")


def test_an_approval_that_waits_for_another_says_so() -> None:
    waiting = hold("1", approvals=2, agreed_by=("ana",))
    said = Outcome(waiting.id, waiting, detail="1 of 2 people agree").words
    assert said == "offload on a still waits: 1 of 2 people agree"
    assert "needs     2 different people; agreed so far: ana" in hold_lines(waiting, LATER)
    denied = hold("1", state="denied", answered_by="ben", answered_code="policy")
    assert "answer    denied by ben (policy)" in hold_lines(denied, LATER)


def test_what_stands_beside_a_hold_is_said_line_by_line() -> None:
    context = HoldContext(
        hold="congestion.1.0",
        feature_digest="f" * 64,
        features=(1.5, None),
        signals={"novelty": 0.25},
        neighbours=(Nearby(element="b", label="site=s1", time_ms=1),),
        history=("1970-01-01 00:00:03 offload at 0.70: deny",),
    )
    found = Beside(context, named_features(context, None, None))
    assert context_lines(found) == [
        "signal    novelty 0.25",
        "feature   feature 1 1.5",
        "feature   feature 2 -",
        "near      b (site=s1) was acted on",
        "before    1970-01-01 00:00:03 offload at 0.70: deny",
    ]
    assert context_lines(None) == ["beside    nothing is recorded"]
    assert found.as_json()["features"] == {"feature 1": 1.5, "feature 2": None}


def test_answers_are_counted_by_code() -> None:
    holds = [
        hold("1"),
        hold("2", state="denied", answered_code="maintenance"),
        hold("3", state="denied", answered_code="maintenance"),
        hold("4", action="reset", state="approved", answered_code="agree"),
        hold("5", state="expired"),
    ]
    assert count_lines(counted(holds)) == [
        "action   open  approved  denied  expired",
        "offload  1     0         2       1",
        "reset    0     1         0       0",
        "all      1     1         2       1",
        "",
        "answer    agree  maintenance",
        "approved  1      0",
        "denied    0      2",
    ]


def test_a_review_is_shown_without_its_truth_until_it_is_answered() -> None:
    assert not any("truth" in line for line in review_lines(review()))
    done = review(state="answered", answer="wrong", answered_by="ana", truth="wrong", seeded=True)
    assert review_lines(done)[-2:] == ["answer    wrong, by ana", "truth     wrong"]
    assert review_row(done, LATER)[-2:] == ("answered: wrong, by ana", "5 min")
    with pytest.raises(InvalidInputError, match=r"open are congestion\.1\.0, see flyball reviews"):
        one_review([review(), done.model_copy(update={"id": "x"})], "congestion.9.0")


def test_the_summary_says_how_far_people_can_be_believed() -> None:
    some, none = Share(count=9, of=10, low=0.55, high=1.0), Share(count=0, of=0, low=0, high=1)
    ana = Reviewer(name="ana", answered=12, unsure=2, agreed=some, caught=none)
    found = ReviewSummary(
        pipeline="p",
        share=0.01,
        seeded_share=0.1,
        open=3,
        answered=12,
        expired=1,
        dropped=4,
        wrong={"clear": some},
        reviewers=(ana,),
    )
    believed = (
        "agrees with labels in 9 of 10 (55% to 100%); caught 0 of 0 shown that were known wrong"
    )
    assert summary_lines(found) == [
        "p: 3 open, 12 answered, 1 expired; 1.00% of cleared and denied decisions are drawn",
        "4 were not asked about: too many in a minute",
        "clear: people called 9 of 10 (55% to 100%) wrong",
        f"ana: 12 answered, 2 unsure; {believed}",
    ]
