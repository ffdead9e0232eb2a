"""What an audit found. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from flyball_proto.columns import Column

_GROWTH: Final = 1.02
"""Ratio of neighbouring latency buckets: a percentile is exact to two per cent."""


@dataclass(frozen=True, slots=True)
class Account:
    """Every row of a pipeline's source, and what became of it.

    `lost` rows came in and are nowhere in VERDICTS; `duplicated` ones are there more often than
    they came in. `unverifiable` verdict rows belong to METRICS messages from before the view.
    Actions count by row: `missing` ones have a dispatched verdict and were not sent, `unfounded`
    ones were sent without one, `repeated` ones were sent again; `stopped` ones were never sent,
    because a person stopped the pipeline. An approval by people is as good as a verdict.
    """

    pipeline: str
    rows_in: int = 0
    decisions: int = 0
    quarantined: int = 0
    doubles: int = 0
    late: int = 0
    warming_up: int = 0
    lost: int = 0
    duplicated: int = 0
    unverifiable: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    actions: int = 0
    actions_missing: int = 0
    actions_unfounded: int = 0
    actions_repeated: int = 0
    actions_stopped: int = 0
    decisions_digest: str = ""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """The first ten, each naming its row."""

    @property
    def closes(self) -> bool:
        """Whether every row is accounted for exactly once and every action stands on a verdict."""
        accounted = self.decisions + self.quarantined + self.doubles + self.late + self.warming_up
        wrong = self.lost + self.duplicated + self.actions_missing
        wrong += self.actions_unfounded + self.actions_repeated + len(self.problems)
        return self.rows_in == accounted and wrong == 0

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        names = [name for name in self.__slots__ if name not in ("verdicts", "latency_ms")]
        plain = {name: getattr(self, name) for name in names}
        return {
            **plain,
            "verdicts": dict(self.verdicts),
            "latency_ms": dict(self.latency_ms),
            "problems": list(self.problems),
            "closes": self.closes,
        }


class Latencies:
    """Percentiles of many latencies in a few hundred counters."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, latency_ns: Column) -> None:
        """Count latencies; what is below a microsecond counts as one."""
        floored = np.maximum(latency_ns, 1_000).astype(np.float64)
        buckets = np.round(np.log(floored) / np.log(_GROWTH)).astype(np.int64)
        found, counts = np.unique(buckets, return_counts=True)
        self._buckets.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def summary(self) -> dict[str, float]:
        """`p50` and `p99` in milliseconds; empty when nothing was counted."""
        return {f"p{share}": self._at(share / 100) for share in (50, 99)} if self._buckets else {}

    def _at(self, share: float) -> float:
        rest = share * self._buckets.total()
        for bucket in sorted(self._buckets):
            rest -= self._buckets[bucket]
            if rest <= 0:
                return round(float(_GROWTH**bucket) / 1e6, 3)
        return 0.0
