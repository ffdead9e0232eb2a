"""One digest over what was decided, whatever the message borders were.

Covers element, event time, position in the report, score, proposed action, verdict, category and
model of every row, of several classes also the class, in input order; no wall-clock time, no
sequence, no risk text.
"""

import hashlib

import numpy as np

from flyball_proto.columns import Verdicts


class DecisionsDigest:
    """Running SHA-256 over the canonical rows of verdict batches, fed in stream order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def add(self, batch: Verdicts) -> None:
        """Fold one batch."""
        rows, actions = batch.rows, ("", *batch.action)
        score = np.char.mod("%.6f", batch.score)
        for i in range(len(rows)):
            line = "|".join(
                (
                    rows.element[rows.element_index[i]],
                    str(rows.time_ms[i]),
                    str(rows.sample[i]),
                    str(score[i]),
                    *([batch.class_name[batch.class_index[i]]] if batch.class_name else ()),
                    actions[batch.action_index[i]],
                    str(batch.verdict[i]),
                    str(batch.category[i]),
                    batch.model[batch.model_index[i]].digest,
                )
            )
            self._hash.update(line.encode() + b"\n")
        self.rows += len(rows)

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()
