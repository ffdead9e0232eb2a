import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_inference.propose import Rules, compile_rules, propose
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
    assert propose(scores, Rules(("act",), ((-1e30, 1),))).tolist() == [0, 1]


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
        (index,) = propose(np.array([found], F64), compiled)
        assert ("", *compiled.actions)[index] == wanted


def test_of_equal_thresholds_the_first_in_the_specification_wins() -> None:
    compiled = rules(("first", 0.5), ("second", 0.5))
    assert compiled.actions[propose(np.array([0.6]), compiled)[0] - 1] == "first"


def test_rules_for_a_class_never_apply_to_a_single_score() -> None:
    compiled = compile_rules([Decision(action="act", score_at_least=0.0, label="storm")])
    assert propose(np.array([1.0]), compiled).tolist() == [0]


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
    found = [("", *compiled.actions)[i] for i in propose(np.array(scores, F64), compiled)]
    for value, action in zip(scores, found, strict=True):
        met = [(t, -place, a) for place, (a, t) in enumerate(decisions) if value >= t]
        assert action == (max(met)[2] if met else "")
