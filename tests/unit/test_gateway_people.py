"""What the page says of decisions that wait, and of those to look at; names of features."""

from datetime import timedelta
from typing import get_args

from tests.unit.review_rows import AT, SOURCE, review
from tests.unit.risk_rows import pipeline
from tests.unit.test_gateway_picture import NOW, SPEC
from tests.unit.test_risk_people import hold

from flyball_gateway.beside import Beside
from flyball_gateway.page import acting, happening
from flyball_gateway.picturing.gathered import Gathered
from flyball_gateway.picturing.picture import MAX_REVIEWS
from flyball_proto.beside import named_features
from flyball_proto.holds import HoldContext, Nearby, ReasonCode
from flyball_proto.spec import feature_digest, feature_names, parse_documents


def gathered() -> Gathered:
    made = Gathered(0.0)
    catalogue = parse_documents(SPEC)
    made.source("plant", catalogue.sources["plant"])
    made.pipeline("plant", catalogue.pipelines["plant"])
    return made


def test_the_newest_reviews_are_shown_all_are_counted_and_answered_ones_leave() -> None:
    made = gathered()
    for i in range(MAX_REVIEWS + 3):
        later = AT + timedelta(seconds=i)
        made.review(f"plant.{i}.0", review(str(i), pipeline="plant", opened_at=later))
    loop = made.picture(NOW, 0.0, ()).loops[0]
    assert (len(loop.reviews), loop.open_reviews) == (MAX_REVIEWS, MAX_REVIEWS + 3)
    assert loop.reviews[0].id == f"congestion.{MAX_REVIEWS + 2}.0"
    for i in range(MAX_REVIEWS + 3):
        made.review(f"plant.{i}.0", review(str(i), pipeline="plant", state="answered"))
    assert made.picture(NOW, 0.0, ()).loops[0].open_reviews == 0


def test_a_review_is_shown_as_text_whatever_an_element_calls_itself() -> None:
    said = happening.review(review(element="<b>x</b>", labels={"site": "<i>"}, reason="so & so"))
    assert "<b>x</b>" not in said
    assert "&lt;b&gt;x&lt;/b&gt;" in said
    assert "site &lt;i&gt;" in said
    assert "so &amp; so" in said
    assert "truth" not in said


def test_who_must_agree_is_said_where_one_is_not_enough() -> None:
    assert "different people" not in happening.hold(hold("1"), 0)
    two = hold("1", approvals=2, agreed_by=("ana",))
    assert "Takes 2 different people; ana agreed." in happening.hold(two, 0)


def test_what_stands_beside_a_hold_is_a_table_with_what_was_before() -> None:
    found = Beside(
        features={"load.mean.8": 0.5, "users": None},
        signals={"novelty": 0.01},
        neighbours=[Nearby(element="<b>", label="site=s1", time_ms=1)],
        history=["1970-01-01 00:00:00 offload at 0.70: hold, denied"],
    )
    said = happening.beside(found)
    assert "<th scope=row>novelty</th><td>0.0100</td>" in said
    assert "<th scope=row>users</th><td>\u2013</td>" in said
    assert "Acted on nearby lately: &lt;b&gt; (site=s1)." in said
    assert "hold, denied" in said
    assert "Nothing more is recorded" in happening.beside(None)


def test_the_page_has_words_for_every_reason_code() -> None:
    assert set(acting.CODES) == set(get_args(ReasonCode))


def test_features_are_named_as_long_as_the_specification_has_the_same() -> None:
    applied = pipeline()
    names = feature_names(applied, SOURCE)
    context = HoldContext(
        hold="congestion.1.0",
        feature_digest=feature_digest(applied, SOURCE),
        features=tuple(float(i) for i in range(len(names))),
    )
    assert list(named_features(context, applied, SOURCE)) == list(names)
    changed = context.model_copy(update={"feature_digest": "0" * 64})
    numbered = named_features(changed, applied, SOURCE)
    assert next(iter(numbered)) == "feature 1"
    assert list(named_features(context, None, None)) == list(numbered)
