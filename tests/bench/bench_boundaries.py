"""What boundaries cost a proposal: `python tests/bench/bench_boundaries.py`. A benchmark, not a test.

A thousand proposals of a thousand elements a round, a second later each; facts are made for each.
"""

import time

from flyball_proto.spec import Boundary
from flyball_risk.limits.boundaries import compile_limits, first_reached
from flyball_risk.limits.facts import Facts

ROUNDS = 20
ELEMENTS = 1000
SETS = {
    "labels and hours": (
        'element.labels.zone == "hospital" && element.labels.band == "n28"',
        "(time.hour >= 22 || time.hour < 6) && decision.severity != 'low'",
    ),
    "labels, novelty": (
        'element.labels.zone == "hospital" && element.labels.band == "n28"',
        "has(decision.novelty) && decision.novelty < 0.001",
    ),
    "novelty, error": ("decision.novelty < 0.001", "decision.error > 0.9 && decision.stale"),
    "labels with error": (
        'element.labels.zone == "hospital" && decision.error > 0.1',
        'element.labels.band == "n28" && decision.novelty < 0.2',
    ),
}


def facts(i: int, now_ms: int) -> Facts:
    """One proposal; its numbers differ from every other's."""
    zone = "residential" if i % 7 else "industrial"
    labels = {"site": f"s{i % 40}", "zone": zone, "band": "n78"}
    return Facts(
        f"cell-{i}",
        f'{{"band":"n78","site":"s{i % 40}","zone":"{zone}"}}',
        labels,
        "offload",
        "offload",
        "medium",
        0.5 + i / 4000,
        i / 9000,
        "low",
        now_ms,
        "recent",
        "active",
        60_000.0,
        error=0.1 + i / 9000,
        novelty=0.3 + i / 2000,
        quality=0,
    )


def main() -> None:
    """Print what each set of two boundaries takes."""
    print(f"{'two boundaries':20} {'proposals/s':>12} {'us each':>8}")
    for name, expressions in SETS.items():
        limits = compile_limits(
            [Boundary(name=f"b{i}", when=w, verdict="hold") for i, w in enumerate(expressions)]
        )
        took = []
        for turn in range(ROUNDS):
            began = time.perf_counter()
            for i in range(ELEMENTS):
                first_reached(limits, facts(i, turn * 1000))
            took.append(time.perf_counter() - began)
        each = sorted(took)[ROUNDS // 2] / ELEMENTS
        print(f"{name:20} {1 / each:12,.0f} {each * 1e6:8.1f}")


if __name__ == "__main__":
    main()
