"""A partition's state with everything that it is bounded to, for a test and a benchmark."""

import json
import random

from flyball_proto.columns import Model, Verdict, Waiting
from flyball_risk.holding.history import MAX_ELEMENTS as MAX_TOLD
from flyball_risk.holding.history import MAX_ENTRIES
from flyball_risk.holding.holds import MAX_HOLDS
from flyball_risk.judging.caution import MAX_PAIRS
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.recent import MAX_ELEMENTS, Reach

NOW_MS = 1_790_000_000_000
LEARNT = Model("a" * 64, 3, "active", "recent")
REACH = Reach(36_000_000, "load", 900_000)


def full(groups: int = 200, holds: int = MAX_HOLDS) -> Partition:
    """At every bound; no list has its elements in the order of another."""
    rng, partition = random.Random(7), Partition()
    elements = [f"cell-{n:06d}" for n in rng.sample(range(1_000_000), MAX_ELEMENTS)]
    labels = {e: json.dumps({"site": f"s{i % groups}"}) for i, e in enumerate(elements)}
    recent, clock_ms = partition.recent, NOW_MS
    recent.group_by(["site"])
    for element in rng.sample(elements, MAX_ELEMENTS):
        recent.meet(element, labels[element])
    for element in elements:
        clock_ms += rng.randrange(20)
        recent.advance(clock_ms)
        time_ms = clock_ms - rng.randrange(3000)
        recent.record(element, labels[element], "offload", time_ms, REACH)
    for element in rng.sample(elements, MAX_PAIRS):
        until_ms = clock_ms + rng.randrange(60_000)
        partition.caution.exceeded(element, "offload", until_ms)
    for element in rng.sample(elements, MAX_TOLD):
        for n in range(MAX_ENTRIES):
            action = ("offload", "reset")[n % 2]
            told_ms = clock_ms - rng.randrange(60_000)
            partition.history.note(element, told_ms, action, rng.random(), Verdict.HOLD)
    for n, element in enumerate(rng.sample(elements, holds)):
        hold = _waiting(f"congestion.{5_000_000 + n}.0", element, labels[element], clock_ms, rng)
        partition.holds.open(hold, 120_000)
    return partition


def _waiting(
    decision: str, element: str, label_set: str, clock_ms: int, rng: random.Random
) -> Waiting:
    score = rng.random()
    reason = (
        f"offload at {score:.2f} is high risk {score * 0.6:.2f}: {score:.2f} sure, but inputs are "
        f"stale and the fallback says {rng.random():.2f} (high severity, irreversible): waits for "
        "a person"
    )
    return Waiting(
        decision=decision,
        element=element,
        label_set=label_set,
        action="offload",
        score=score,
        risk=round(score * 0.6, 6),
        category=3,
        reason=reason,
        model=LEARNT,
        time_ms=clock_ms - rng.randrange(3000),
        expires_ms=clock_ms + 120_000 + rng.randrange(3000),
        opened_ms=clock_ms + rng.randrange(3000),
        approvals=1,
    )
