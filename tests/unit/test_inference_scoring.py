import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_inference.propose import Rules, Step, compile_rules, propose
from flyball_inference.scoring import score
from flyball_proto.columns import F32, F64, Column
from flyball_proto.spec import Decision


class Model:
    """Gives back its first feature; remembers how many rows each call had."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, features: Column) -> Column:
        self.calls.append(len(features))
        return features[:, :1]


def column(*values: float) -> Column:
    return np.array(values, F32)[:, None]


@pytest.mark.parametrize(("rows", "calls"), [(0, []), (1, [2]), (2, [2]), (5, [5])])
def test_a_session_call_never_has_a_single_row(rows: int, calls: list[int]) -> None:
    model = Model()
    assert len(score(model, np.zeros((rows, 3), F32)).scores) == rows
    assert model.calls == calls


def test_scores_are_rounded_and_there_is_no_minus_zero() -> None:
    scores, not_finite = score(Model(), column(0.12345678, -1e-9, 2.0))
    assert not_finite == 0
    assert [f"{s:.7f}" for s in scores] == ["0.1234570", "0.0000000", "2.0000000"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_nan_and_proposes_nothing(bad: float) -> None:
    scores, not_finite = score(Model(), column(bad, 1.0))
    assert not_finite == 1
    assert np.isnan(scores[0])
    assert propose(scores, Rules(("act",), (Step(-1e30, 1),))).action_index.tolist() == [0, 1]


def rules(*decisions: tuple[str, float]) -> Rules:
    return compile_rules([Decision(action=a, score_at_least=s) for a, s in decisions])


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(0.49, ""), (0.5, "watch"), (0.84, "watch"), (0.85, "offload"), (1, "offload")],
)
def test_the_highest_threshold_that_is_met_wins_wherever_it_stands(
    found: float, wanted: str
) -> None:
    for order in ((("watch", 0.5), ("offload", 0.85)), (("offload", 0.85), ("watch", 0.5))):
        compiled = rules(*order)
        (index,) = propose(np.array([found], F64), compiled).action_index
        assert ("", *compiled.actions)[index] == wanted


def test_of_equal_thresholds_the_first_in_the_specification_wins() -> None:
    compiled = rules(("first", 0.5), ("second", 0.5))
    assert compiled.actions[propose(np.array([0.6]), compiled).action_index[0] - 1] == "first"


CLASSES = ("calm", "rain", "storm")


def test_of_several_classes_the_likeliest_is_said_and_one_that_meets_its_rule_before_it() -> None:
    decisions = [
        Decision(action="close", score_at_least=0.3, label="storm"),
        Decision(action="warn", score_at_least=0.9, label="rain"),
    ]
    said = propose(
        np.array([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4], [0.04, 0.95, 0.01], [0.2, 0.5, 0.3]]),
        compile_rules(decisions, CLASSES),
    )
    assert said.action_index.tolist() == [0, 1, 2, 1]
    assert [CLASSES[i] for i in said.class_index] == ["calm", "storm", "rain", "storm"]
    assert said.score.tolist() == [0.6, 0.4, 0.95, 0.3]


def test_one_class_without_a_number_makes_the_row_none() -> None:
    scored = score(lambda rows: rows, np.array([[0.5, np.nan, 0.5], [0.1, 0.2, 0.7]], F32))
    assert scored.not_finite == 1
    said = propose(scored.scores, compile_rules([], CLASSES))
    assert np.isnan(said.score[0])
    assert (said.action_index[0], said.class_index[1]) == (0, 2)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.floats(0, 1)), max_size=4, unique_by=lambda d: d[0]
    ),
    st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=20),
)
def test_proposals_agree_with_the_rule_read_literally(
    decisions: list[tuple[str, float]], scores: list[float]
) -> None:
    compiled = rules(*decisions)
    said = propose(np.array(scores, F64), compiled)
    found = [("", *compiled.actions)[i] for i in said.action_index]
    for value, action in zip(scores, found, strict=True):
        met = [(t, -place, a) for place, (a, t) in enumerate(decisions) if value >= t]
        assert action == (max(met)[2] if met else "")
