"""Reviews by value: what is drawn, what labels say, and how far people can be believed."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from tests.unit.review_rows import review, truth
from tests.unit.risk_rows import Row, pipeline
from tests.unit.test_risk_holds import RISKY, Desk, rule

from flyball_kit.fold import Input
from flyball_proto.columns import Verdict, decode_verdicts
from flyball_proto.reviews import Review
from flyball_risk.reviewing import drawing
from flyball_risk.reviewing.drawing import Drawing, is_drawn, is_pooled
from flyball_risk.reviewing.summing import share_of, summary
from flyball_risk.reviewing.truths import reach_of, truths

KEY = "secret"
DENIED, CLEARED = 0.3, 0.999


class Office:
    """Draws of what one desk judges."""

    def __init__(self, share: float, *, full: bool = False) -> None:
        self.pool: list[Review] = []
        self.share = share
        self.drawing = Drawing(KEY, lambda: self.share, self.pool.append, lambda: full)

    def draw(self, message: Input) -> list[Review]:
        return [Review.model_validate_json(d.data) for d in self.drawing.route(message)]


def judged(rows: int, score: float = DENIED, **risk: Any) -> tuple[Desk, Input]:
    desk = Desk(rule(**risk))
    desk.judge(*(Row(f"cell-{i}", 1000, score) for i in range(rows)))
    return desk, desk.outputs[-1]


def test_a_decision_is_drawn_by_its_own_hash_and_again_by_whoever_has_the_key() -> None:
    _, message = judged(100)
    office = Office(0.3)
    found = office.draw(message)
    every = [f"congestion.{i + 1}.0" for i in range(100)]
    assert {r.id for r in found} == {d for d in every if is_drawn(KEY, 0.3, d)}
    assert [r.id for r in Office(0.3).draw(message)] == [r.id for r in found]
    assert {r.id for r in office.pool} == {
        d for d in every if is_pooled(KEY, d) and not is_drawn(KEY, 0.3, d)
    }
    other = Drawing("other", lambda: 0.3, office.pool.append, lambda: False)
    assert {d.subject for d in other.route(message)} != {drawing.subject_of(r.id) for r in found}, (
        "without the key nobody can tell beforehand"
    )


def test_a_share_is_drawn_in_the_long_run() -> None:
    drawn = sum(is_drawn(KEY, 0.01, f"congestion.{i}.0") for i in range(100_000))
    assert 900 < drawn < 1100


def test_a_review_says_what_was_decided_and_nothing_of_the_truth() -> None:
    _, message = judged(1)
    (found,) = Office(1.0).draw(message)
    assert (found.element, found.action, found.verdict, found.share) == (
        "cell-0",
        "offload",
        "deny",
        1.0,
    )
    assert "denied" in found.reason
    assert (found.labels, found.state, found.truth) == ({"site": "s1"}, "open", None)


@pytest.mark.parametrize(
    ("score", "risk", "verdict"),
    [
        (CLEARED, {}, "clear"),
        (DENIED, {}, "deny"),
        (0.7, {}, None),
        (CLEARED, {"autonomy": "advisory"}, None),
    ],
)
def test_only_what_waits_for_nobody_is_reviewed(
    score: float, risk: dict[str, Any], verdict: str | None
) -> None:
    _, message = judged(3, score, **risk)
    assert {r.verdict for r in Office(1.0).draw(message)} == ({verdict} if verdict else set())


def test_rows_that_propose_nothing_and_shares_of_nothing_draw_nothing() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, 0.1, None))
    assert Office(1.0).draw(desk.outputs[-1]) == []
    _, message = judged(50)
    office = Office(0.0)
    assert (office.draw(message), office.pool) == ([], [])


def test_more_than_so_many_a_minute_are_not_asked_about_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "MAX_A_MINUTE", 10)
    desk, message = judged(25)
    office = Office(1.0)
    assert (len(office.draw(message)), office.drawing.dropped) == (10, 15)
    later = message._replace(time_ns=message.time_ns + 60_000_000_000)
    assert len(office.draw(later)) == 10
    full = Office(1.0, full=True)
    assert (full.draw(message), full.drawing.dropped) == ([], 25)
    assert len(decode_verdicts(desk.outputs[-1].data).rows) == 25


def test_labels_say_right_or_wrong_unless_an_action_falsified_them() -> None:
    rows = [Row("a", 1000, DENIED), Row("b", 1000, DENIED), Row("c", 1000, 0.1, None)]
    reach = reach_of(pipeline(RISKY))
    assert list(truths(truth(rows, 1.0), reach)) == [
        ("congestion.1.0", "right"),
        ("congestion.2.0", "right"),
    ]
    assert [found for _, found in truths(truth(rows, 0.0), reach)] == ["wrong", "wrong"]
    censored = truth(rows, 0.0)
    censored.censored[0] = 1
    assert [d for d, _ in truths(censored, reach)] == ["congestion.2.0"]
    nothing = truth(rows, float("nan"))
    assert list(truths(nothing, reach)) == []
    assert list(truths(truth(rows, 1.0), {})) == [], "the action is unknown by now"


def test_an_action_is_right_when_the_truth_meets_the_rule_that_proposes_it() -> None:
    one = {"action": "offload", "score_at_least": 3.0, "cooldown": "60s"}
    reach = reach_of(pipeline(one, task="regression"))
    assert reach == {"offload": 3.0}
    found = [next(iter(truths(truth([Row()], label), reach)))[1] for label in (2.9, 3.0)]
    assert found == ["wrong", "right"]


@pytest.mark.parametrize(("count", "of"), [(0, 10), (3, 10), (10, 10), (1, 1), (37, 400)])
def test_intervals_are_those_of_clopper_and_pearson(count: int, of: int) -> None:
    found = share_of([True] * count + [False] * (of - count))
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert share_of([]).model_dump() == {"count": 0, "of": 0, "low": 0.0, "high": 1.0}


def done(name: str, answer: str, by: str = "ana", **given: Any) -> Review:
    return review(name, state="answered", answer=answer, answered_by=by, **given)


def test_the_summary_counts_what_was_drawn_and_measures_people_by_labels() -> None:
    found = summary(
        "congestion",
        [
            review("1"),
            done("2", "right"),
            done("3", "wrong", truth="wrong"),
            done("4", "right", truth="wrong"),
            done("5", "unsure", truth="wrong"),
            done("6", "right", truth="wrong", seeded=True),
            done("7", "wrong", truth="wrong", seeded=True, by="ben"),
            done("8", "wrong", verdict="deny"),
            review("9", state="expired"),
        ],
        share=0.01,
        seeded_share=0.1,
        dropped=2,
    )
    assert (found.open, found.answered, found.expired, found.dropped) == (1, 7, 1, 2)
    shares = {verdict: (s.count, s.of) for verdict, s in found.wrong.items()}
    assert shares == {"clear": (1, 3), "deny": (1, 1)}, "seeded ones say nothing about decisions"
    ana, ben = found.reviewers
    assert (ana.name, ana.answered, ana.unsure) == ("ana", 6, 1)
    assert (ana.agreed.count, ana.agreed.of) == (1, 3)
    assert (ana.caught.count, ana.caught.of) == (0, 1)
    assert (ben.caught.count, ben.caught.of) == (1, 1)


def test_withheld_decisions_are_reviewed_like_what_went_out() -> None:
    assert {Verdict.CLEAR, Verdict.NOTIFY, Verdict.WITHHOLD, Verdict.DENY} == set(drawing.REVIEWED)
    assert not np.isin([Verdict.HOLD, Verdict.CAP, Verdict.ADVISE], drawing.REVIEWED).any()
