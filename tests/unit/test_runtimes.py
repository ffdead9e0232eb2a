"""Who counts as a runtime, and what is said of a fleet that disagrees."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flyball_proto.runtimes import GONE_S, MAX_NAMED, RuntimeState, alive, disagreement

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def runtime(instance: str, epoch: int, *, old_s: float = 0, **fields: Any) -> RuntimeState:
    at = NOW - timedelta(seconds=old_s)
    return RuntimeState(instance=instance, pipeline="p", at=at, epoch=epoch, **fields)


def test_a_runtime_that_was_not_heard_of_for_a_minute_counts_for_nothing() -> None:
    late, gone = runtime("b", 3, old_s=GONE_S), runtime("a", 3, old_s=GONE_S + 1)
    assert alive([late, gone], NOW) == [late]
    assert disagreement(4, [gone], NOW) == ""


def test_runtimes_of_one_mind_give_no_sentence() -> None:
    assert disagreement(4, [runtime("a", 4), runtime("b", 4)], NOW) == ""
    assert disagreement(4, [], NOW) == ""


@pytest.mark.parametrize(
    ("apart", "said"),
    [
        (
            runtime("edge-1", 3, wanted_epoch=4, trouble="S3 does not answer"),
            "edge-1 answers with epoch 3, 4 is wanted: S3 does not answer",
        ),
        (
            runtime("edge-1", 0, wanted_epoch=4),
            "edge-1 answers with no model, 4 is wanted: it is being loaded",
        ),
        (
            runtime("edge-1", 3, wanted_epoch=3),
            "edge-1 answers with epoch 3, 4 is wanted: it has not heard of it",
        ),
        (
            runtime("edge-1", 5, wanted_epoch=5),
            "edge-1 answers with epoch 5, 4 is wanted: it knows a newer deployment",
        ),
    ],
    ids=["in trouble", "just started", "deaf", "ahead"],
)
def test_a_runtime_apart_is_named_with_what_it_has_what_is_wanted_and_why(
    apart: RuntimeState, said: str
) -> None:
    assert disagreement(4, [runtime("hub", 4), apart], NOW) == said


def test_of_a_large_fleet_only_some_are_named() -> None:
    found = disagreement(4, [runtime(f"r{i:02}", 3) for i in range(MAX_NAMED + 3)], NOW)
    assert found.count("it has not heard of it") == MAX_NAMED
    assert found.endswith("; 3 more as well")
