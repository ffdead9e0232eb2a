"""What `flyball reproduce` says."""

from typing import Any

import pytest

from flyball_local.showing.proving import reproduction_lines
from flyball_proto.commands import Reproduction


def found(**other: Any) -> Reproduction:
    given: dict[str, Any] = {
        "digest": "a" * 64,
        "again": "a" * 64,
        "same": True,
        "platform": "x86_64 numpy=2",
        "here": "x86_64 numpy=2",
        "difference": 0.0,
        "rows": 12_000,
        "holds": True,
        "took_s": 3.21,
    }
    return Reproduction(**given | other)


APART = "aaaaaaaa trained again is bbbbbbbb; their scores are at most 3e-08 apart on 12,000 rows (3.2 s)"
OTHER = {"again": "b" * 64, "same": False, "difference": 3e-8}


@pytest.mark.parametrize(
    ("reproduction", "lines"),
    [
        (found(), ["holds: aaaaaaaa trained again is the same, byte by byte (3.2 s)"]),
        (found(rows=0), ["holds: aaaaaaaa written again is the same, byte by byte"]),
        (
            found(**OTHER, here="riscv64 numpy=2"),
            [
                f"holds: {APART}",
                "made on x86_64 numpy=2",
                "here is riscv64 numpy=2",
            ],
        ),
        (
            found(**OTHER, holds=False),
            [
                f"does not hold: {APART}",
                "the platform is the same, so the bytes should be, too",
            ],
        ),
    ],
)
def test_a_reproduction_is_told_in_a_line_and_where_it_differs(
    reproduction: Reproduction, lines: list[str]
) -> None:
    assert reproduction_lines(reproduction) == lines
