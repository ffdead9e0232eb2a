"""In which form a model is placed, and what happens where no form fits."""

from typing import Any

import pytest
from tests.unit.test_deployer_rollout import (
    BOLD,
    NOW,
    canary,
    degraded,
    deployment,
    looked,
    model,
    placed,
    refreshed,
    superior,
    told,
)
from tests.unit.test_deployer_steering import promote

from flyball_deployer.forms import Fleet, Misfit, place
from flyball_deployer.moves import Transition
from flyball_deployer.rollout import Seat, decide
from flyball_deployer.steering import steer
from flyball_proto.commands import Failure
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord, Variant
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec.learning import ModelBudgets

MB = 1_000_000
ANY = ("float32", "float16", "int8")


def large(digest: str = "a1", **fields: Any) -> ModelRecord:
    """4 MB, loaded 24; half of it as float16, a quarter as int8."""
    variants = tuple(
        Variant(precision=p, digest="v", size_bytes=size * MB, difference=0.0, tolerance=0.01)
        for p, size in (("int8", 1), ("float16", 2))
    )
    facts = {"size_bytes": 4 * MB, "memory_bytes": 24 * MB, "variants": variants} | fields
    return model(digest).model_copy(update=facts)


def runtime(name: str = "hub", *, precisions: Any = ANY, memory_mb: float = 0) -> RuntimeState:
    return RuntimeState(
        instance=name, pipeline="p", at=NOW, precisions=precisions, memory_mb=memory_mb
    )


def fleet(*runtimes: RuntimeState, **budgets: Any) -> Fleet:
    return Fleet(runtimes, ModelBudgets(**budgets))


@pytest.mark.parametrize(
    ("among", "precision"),
    [
        (fleet(), "float32"),
        (fleet(runtime()), "float32"),
        (fleet(runtime(precisions=("int8", "float32"))), "float32"),
        (fleet(runtime(), runtime("edge", memory_mb=72)), "float32"),
        (fleet(runtime(), runtime("edge", memory_mb=71)), "float16"),
        (fleet(runtime(), runtime("edge", memory_mb=35)), "int8"),
        (fleet(runtime(), runtime("edge", precisions=("int8",))), "int8"),
        (fleet(runtime("edge", memory_mb=40, precisions=("float32", "int8"))), "int8"),
        (fleet(memory_mb=20), "float16"),
        (fleet(size_mb=1), "int8"),
    ],
)
def test_the_model_itself_is_preferred_and_a_smaller_form_comes_where_somebody_needs_it(
    among: Fleet, precision: str
) -> None:
    found = place(large(), among)
    assert not isinstance(found, Misfit)
    assert (found.digest, found.precision) == ("a1", precision)


@pytest.mark.parametrize(
    ("record", "among", "words"),
    [
        (
            large(),
            fleet(runtime("edge", memory_mb=10)),
            "float32 takes 24 MB of memory, and edge has 3.33 for one of 3 models",
        ),
        (
            large(variants=()),
            fleet(runtime("npu", precisions=("int8",))),
            "npu cannot run float32, only int8",
        ),
        (
            large(),
            fleet(runtime("a", precisions=("int8",)), runtime("b", precisions=("float32",))),
            "b cannot run int8, only float32",
        ),
        (large(variants=()), fleet(size_mb=3), "float32 has 4 MB, the budget is 3"),
        (
            large(variants=(), memory_bytes=0),
            fleet(memory_mb=31),
            "float32 takes 32 MB of memory, the budget is 31",
        ),
    ],
    ids=["too little memory", "no such form", "no common form", "budget", "never measured"],
)
def test_where_no_form_fits_it_is_said_of_each_why(
    record: ModelRecord, among: Fleet, words: str
) -> None:
    found = place(record, among)
    assert isinstance(found, Misfit)
    assert words in found.reason


EDGE = fleet(runtime("edge", precisions=("int8", "float32"), memory_mb=40))
NOBODY_CAN = fleet(runtime("edge", memory_mb=1))


def after(record: ActiveModel, event: Any, among: Fleet) -> Transition:
    made = decide(Seat(record, named=large(event.digest), fleet=among), event, BOLD, now=NOW)
    assert isinstance(made, Transition)
    return made


def test_a_successor_a_refresh_and_a_canary_are_placed_in_the_form_that_fits() -> None:
    won = after(deployment("b1"), superior("a1", "baseline"), EDGE).record
    assert (won.digest, won.precision) == ("a1", "int8")
    newer = after(won, refreshed("a2", "a1", 9), fleet()).record
    assert (newer.digest, newer.precision) == ("a2", "float32")
    assert newer.anchored.precision == "int8"
    seat = Seat(deployment("b1"), named=large(), fleet=EDGE)
    begun = steer(seat, promote("a1"), now=NOW)
    assert isinstance(begun, Transition)
    assert begun.record.precision == "int8"


def test_a_canary_keeps_its_form_up_to_the_seat() -> None:
    step = canary("c1", 25, 1).model_copy(update={"precision": "int8"})
    passed = after(deployment("a1", step), looked("c1", "pass"), fleet()).record
    assert (passed.digest, passed.precision) == ("c1", "int8")


def test_a_rollback_takes_the_anchor_in_the_form_that_is_hot_whoever_announced_what() -> None:
    anchor = placed("a1").model_copy(update={"precision": "int8"})
    back = after(deployment("a2", anchor=anchor), degraded("a2"), NOBODY_CAN).record
    assert (back.digest, back.precision) == ("a1", "int8")


def test_a_winner_that_fits_nowhere_is_not_placed_and_a_person_is_asked_once() -> None:
    before = deployment("b1")
    made = after(before, superior("a1", "baseline"), NOBODY_CAN)
    assert told(made.announcements) == ["asked a1"]
    assert made.record.active == before.active
    assert "a1 cannot answer everywhere" in made.record.outcome
    again = after(made.record, superior("a1", "baseline", 9), NOBODY_CAN)
    assert again.announcements == ()


def test_a_newer_model_of_the_seat_that_fits_nowhere_is_told_and_wakes_nobody() -> None:
    made = after(deployment("a1"), refreshed("a2", "a1"), NOBODY_CAN)
    assert (made.record.digest, made.announcements) == ("a1", ())
    assert "edge has 0.333 for one of 3 models" in made.record.outcome


def test_a_person_s_choice_that_fits_nowhere_is_refused_with_what_would_help() -> None:
    seat = Seat(deployment("a1"), named=large("c1"), fleet=NOBODY_CAN)
    found = steer(seat, promote("c1"), now=NOW)
    assert isinstance(found, Failure)
    assert found.kind == "conflict"
    assert "edge has 0.333" in found.message
    assert "MODEL_MEMORY_MB" in found.message
