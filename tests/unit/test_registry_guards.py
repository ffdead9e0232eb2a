from typing import Any

import pytest

from flyball_proto.columns import Category, Model, Tally, Verdict
from flyball_registry.evidence.guards import (
    MIN_ROWS,
    Counts,
    Latency,
    Step,
    guards,
    outcome,
    to_tell,
)

BLOCK_MS = 1000


def counts(rows: int = 1000, **changes: Any) -> Counts:
    facts: dict[str, Any] = {
        "rows": rows,
        "action": {"offload": rows // 10},
        "verdict": {int(Verdict.CLEAR): rows},
        "category": {int(Category.LOW): rows},
    }
    return Counts(**facts | changes)


def step(canary: Counts | None = None, active: Counts | None = None, **changes: Any) -> Step:
    facts: dict[str, Any] = {"digest": "c", "epoch": 3, "percent": 5, "since_ms": 0}
    return Step(
        **facts | changes,
        canary=counts() if canary is None else canary,
        active=counts(20_000) if active is None else active,
    )


def failing(found: Step) -> list[str]:
    return [guard.name for guard in guards(found) if guard.outcome == outcome(guards(found))]


@pytest.mark.parametrize(
    ("found", "said", "names"),
    [
        (step(), "pass", None),
        (step(counts(MIN_ROWS)), "pass", None),
        (step(counts(MIN_ROWS - 1)), "inconclusive", ["rows"]),
        (step(Counts()), "inconclusive", ["rows"]),
        (step(active=Counts()), "inconclusive", ["rows"]),
        (step(counts(not_finite=2)), "fail", ["numbers"]),
        (step(counts(10, not_finite=10)), "fail", ["numbers"]),
        (step(counts(not_finite=1)), "pass", None),
        (step(counts(not_finite=9), counts(20_000, not_finite=200)), "pass", None),
        (step(counts(action={"offload": 199})), "pass", None),
        (step(counts(action={"offload": 201})), "fail", ["actions"]),
        (step(counts(action={})), "pass", None),
        (step(counts(action={"reboot": 100})), "pass", None),
        (step(counts(action={"offload": 50, "reboot": 101})), "fail", ["actions"]),
        (step(counts(category={0: 850, 4: 150})), "fail", ["categories"]),
        (step(counts(verdict={int(Verdict.HOLD): 101, 0: 899})), "fail", ["held"]),
        (step(counts(verdict={int(Verdict.DENY): 99, 0: 901})), "pass", None),
        (step(latency=Latency(canary_ms=2.1, active_ms=1.0)), "fail", ["latency"]),
        (step(latency=Latency(canary_ms=1.9, active_ms=1.0)), "pass", None),
        (step(latency=Latency(canary_ms=0.5, active_ms=0.01)), "pass", None),
        (step(tripped="NaN"), "error", ["errors"]),
        (step(counts(10), tripped="NaN"), "error", ["errors"]),
        (step(counts(10), latency=Latency(canary_ms=9, active_ms=1)), "fail", ["latency"]),
    ],
)
def test_a_step_passes_only_if_every_guard_does(
    found: Step, said: str, names: list[str] | None
) -> None:
    assert outcome(guards(found)) == said
    assert all(guard.found and guard.limit for guard in guards(found))
    if names is not None:
        assert failing(found) == names


def tally(stage: str, digest: str, epoch: int, rows: int = 10) -> Tally:
    model = Model(digest, epoch, stage, "t")
    return Tally(model, rows, 1, {"offload": 2}, {0: rows}, {1: rows})


def test_only_decisions_of_the_step_are_counted_each_on_its_side() -> None:
    found = Step(digest="c", epoch=3, percent=5, since_ms=0).add(
        [
            tally("canary", "c", 3),
            tally("canary", "c", 4),
            tally("active", "a", 3),
            tally("active", "b", 4),
            tally("active", "a", 2),
            tally("canary", "c", 2),
            tally("canary", "d", 3),
        ]
    )
    assert (found.canary.rows, found.active.rows) == (20, 20)
    assert found.canary == Counts(
        rows=20, not_finite=2, action={"offload": 4}, verdict={0: 20}, category={1: 20}
    )


def test_a_conclusion_is_told_at_once_and_once() -> None:
    found = step()
    told = to_tell(found, 0, BLOCK_MS)
    assert told is not None
    assert told[0] == "pass"
    assert to_tell(found.model_copy(update={"told": ("pass",)}), 10**9, BLOCK_MS) is None
    failed = step(tripped="NaN", told=("pass",))
    assert to_tell(failed, 10**9, BLOCK_MS) is None, "the step was judged"


def test_what_is_inconclusive_is_told_after_four_blocks_and_may_pass_later() -> None:
    found = step(counts(10), since_ms=500)
    assert to_tell(found, 4499, BLOCK_MS) is None
    told = to_tell(found, 4500, BLOCK_MS)
    assert told is not None
    assert told[0] == "inconclusive"
    after = {"told": ("inconclusive",)}
    assert to_tell(found.model_copy(update=after), 10**9, BLOCK_MS) is None
    passed = to_tell(step(told=("inconclusive",)), 5000, BLOCK_MS)
    assert passed is not None
    assert passed[0] == "pass"


def test_a_step_reads_back_as_it_was_written() -> None:
    found = step(latency=Latency(canary_ms=1, active_ms=2))
    assert Step.model_validate_json(found.model_dump_json()) == found
