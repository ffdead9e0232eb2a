"""What `flyball models compare` prints, and which two models it refuses."""

from typing import Any

import pytest
from tests.unit.test_cli_listing import record

from flyball_local.invalid import InvalidInputError
from flyball_local.showing.sidebyside import (
    conclusion,
    heading,
    measure_rows,
    slice_rows,
    two_models,
)
from flyball_proto.commands import ModelComparison
from flyball_proto.progress import Measures, SliceMeasures


def comparison(**changes: Any) -> ModelComparison:
    found: dict[str, Any] = {
        "digest": "1a2b3c4d" * 8,
        "other": "9f8e7d6c" * 8,
        "rows": 1234,
        "first_ms": 1_700_000_000_000,
        "last_ms": 1_700_000_060_000,
        "metric": "brier",
        "measures": Measures(rows=1234, loss=0.1, accuracy=0.9),
        "other_measures": Measures(rows=1234, loss=0.15, accuracy=0.85, precision=0.5),
        "better_by": 0.05,
        "low": 0.01,
        "high": 0.09,
        "blocks": 40,
    }
    return ModelComparison(**found | changes)


def test_measures_that_the_task_has_stand_side_by_side() -> None:
    header, rows = measure_rows(
        comparison(), record("1a2b3c4d"), record("9f8e7d6c", trainer="linear")
    )
    assert header == ("", "1a2b3c4d", "9f8e7d6c")
    assert rows == [
        ("trainer", "recent", "linear"),
        ("loss", "0.1000", "0.1500"),
        ("accuracy", "0.9000", "0.8500"),
        ("precision", "-", "0.5000"),
    ]
    assert heading(comparison(), "congestion") == (
        "congestion, brier: 1,234 labelled rows that neither was fitted to, in 40 blocks, "
        "2023-11-14 22:13:20 to 2023-11-14 22:14:20 UTC"
    )


@pytest.mark.parametrize(
    ("better_by", "low", "high", "words"),
    [
        (0.05, 0.01, 0.09, "1a2b3c4d is better: a loss 0.05 smaller, 0.01 to 0.09"),
        (-0.05, -0.09, -0.01, "9f8e7d6c is better: a loss 0.05 smaller, 0.01 to 0.09"),
        (0.05, -0.01, 0.11, "neither is shown to be better: the loss of 9f8e7d6c less that of"),
    ],
)
def test_a_difference_is_said_only_where_the_interval_excludes_chance(
    better_by: float, low: float, high: float, words: str
) -> None:
    said = conclusion(comparison(better_by=better_by, low=low, high=high))
    assert said.startswith(words)
    assert said.endswith("with 95 % confidence")


def test_the_largest_slices_come_first_with_both_losses() -> None:
    def slices(*losses: float) -> tuple[SliceMeasures, ...]:
        return tuple(
            SliceMeasures(
                label="site", value=name, measures=Measures(rows=10 * (i + 1), loss=losses[i])
            )
            for i, name in enumerate("ab")
        )

    found = comparison(slices=slices(0.1, 0.2), other_slices=slices(0.3, 0.4))
    assert slice_rows(found) == [
        ("site=b", "20", "0.2000", "0.4000"),
        ("site=a", "10", "0.1000", "0.3000"),
    ]


def test_two_models_are_of_one_pipeline_and_differ() -> None:
    with pytest.raises(InvalidInputError, match="was given twice"):
        two_models(record("1a2b3c4d"), record("1a2b3c4d"))
    with pytest.raises(InvalidInputError, match="give two of one pipeline"):
        two_models(record("1a2b3c4d"), record("9f8e7d6c", pipeline="other"))
