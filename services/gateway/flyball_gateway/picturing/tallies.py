"""What risk said in the last minute, counted from its verdicts. Pure."""

from collections import Counter, deque
from typing import Final

import numpy as np

from flyball_gateway.picturing.picture import Verdicts
from flyball_proto import columns

SPAN_S: Final = 60
NOTHING: Final = "nothing proposed"


class Tally:
    """Counts of one pipeline, a second each; `now_ms` is the newest event time that was judged."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._seconds: deque[tuple[int, Counter[str], bool]] = deque(maxlen=SPAN_S + 1)

    def take(self, batch: columns.Verdicts, at_s: float, *, left_out: bool) -> None:
        """Count a batch; `left_out`: some before it were not read."""
        newest = int(batch.rows.time_ms.max()) if len(batch.rows) else 0
        self.now_ms = max(self.now_ms, newest, batch.flow.tick_ms)
        second = int(at_s)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter(), left_out))
        elif left_out:
            self._seconds[-1] = (second, self._seconds[-1][1], True)
        self._seconds[-1][1].update(_counts(batch))

    def verdicts(self, at_s: float) -> Verdicts:
        """The last minute."""
        total: Counter[str] = Counter()
        sampled = False
        for second, counts, left_out in self._seconds:
            if second > at_s - SPAN_S:
                total.update(counts)
                sampled = sampled or left_out
        return Verdicts(dict(total), SPAN_S, sampled)


def _counts(batch: columns.Verdicts) -> dict[str, int]:
    proposed = batch.action_index > 0
    found = np.bincount(batch.verdict[proposed], minlength=len(columns.Verdict))
    counts = {v.name.lower(): int(found[v]) for v in columns.Verdict if found[v]}
    if nothing := int((~proposed).sum()):
        counts[NOTHING] = nothing
    return counts
