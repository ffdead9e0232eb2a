"""Learns from labelled proposals of one pipeline how often acting is wrong: a fold over SAMPLES. Pure.

State: the newest labelled proposals (two ring buffers), names, and what is suspected now. Every
`refit_due` rows everything is fitted again from the rows that are there.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from flyball_proto.calibrations import Calibration, CutOff, SteppedBack
from flyball_proto.columns import Column, Samples, Verdict
from flyball_risk.calibrating.bounds import cut_off
from flyball_risk.calibrating.labelled import CLEARED, ROW, Names, Terms, labelled, proposed, seat
from flyball_risk.calibrating.refitting import (
    LEAST,
    conformal_sets,
    crossed,
    fitted,
    signals_of,
    told,
)
from flyball_risk.calibrating.suspicion import NONE, ODDS, Suspicion, drifting, has_drifted
from flyball_risk.scoring.probability import assess

MAX_DRAWN: Final = 2_000
MAX_OTHERS: Final = 6_000
"""Newest labelled proposals that are kept: drawn ones, one an element and block, and all others,
of each action its even share of them. The oldest go first."""

REFIT_ROWS: Final = 50
REFIT_RATIO: Final = 0.02
"""Fitted again after so many new labelled proposals, or this part of those kept if that is more."""

DRIFT_ROWS: Final = 200
"""The stream counts as changed until so many drawn rows came after the last sign of it."""

FOLD_BLOCKS: Final = 8


@dataclass(frozen=True, slots=True)
class Wants:
    """What came of some rows: `fit` = enough are new; `stepped_back` = that began with them."""

    fit: bool = False
    stepped_back: SteppedBack | None = None


class Learning:
    """Everything known of one pipeline and feature digest; at most about 0.4 MiB.

    `read` is how far each partition's SAMPLES were taken in, `mark` the newest lockstep mark that
    was settled.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.names = Names([], [])
        self.drawn, self.others = np.empty(0, ROW), np.empty(0, ROW)
        self.seat: int | None = None
        self.since_fit = 0
        self.event_ms = 0
        self.floor_ms = 0
        self.suspicion, self.drift = NONE, np.zeros(len(ODDS))
        self.drift_rows = 0
        self.stepped_back: SteppedBack | None = None
        self.calibration: Calibration | None = None
        self.read: dict[int, int] = {}
        self.mark = ""

    @property
    def is_drifted(self) -> bool:
        """Whether the stream changed lately."""
        return self.drift_rows > 0

    def take(self, samples: Samples) -> Wants:
        """Take a message of SAMPLES in."""
        if (held := seat(samples, self.names)) is not None:
            self.seat = held
        rows = labelled(samples, self.names, self.terms, drifted=self.is_drifted)
        return self.add(rows)

    def add(self, rows: Column) -> Wants:
        """Take labelled proposals in, `ROW` (k,), in the order in which they became known."""
        if not len(rows):
            return Wants()
        self.event_ms = max(self.event_ms, int(rows["time_ms"].max()))
        new = rows["drawn"] & ~np.isin(rows["cell"], self.drawn["cell"])
        at = np.flatnonzero(new)
        new[at] = False
        new[at[np.unique(rows["cell"][at], return_index=True)[1]]] = True
        began = self._watch(rows[new])
        self.drawn = np.concatenate([self.drawn, rows[new]])[-MAX_DRAWN:]
        others = np.concatenate([self.others, rows[~new]])
        self.others = _newest(others, MAX_OTHERS // max(1, len(self.names.actions)))
        self.since_fit += len(rows)
        kept = len(self.drawn) + len(self.others)
        due = self.since_fit >= max(REFIT_ROWS, REFIT_RATIO * kept)
        return Wants(due or began is not None, began)

    def revise(self, terms: Terms) -> None:
        """Go on under a changed specification; what it calls right otherwise begins anew."""
        before, self.terms = self.terms, terms
        same = [
            before.least.get(name) == terms.least.get(name)
            and before.classes.get(name) == terms.classes.get(name)
            for name in self.names.actions
        ]
        kept = np.flatnonzero(same)
        self.drawn = self.drawn[np.isin(self.drawn["action"], kept)]
        self.others = self.others[np.isin(self.others["action"], kept)]

    def fit(self, at: datetime) -> Calibration:
        """Fit everything again; the new calibration is in force from here on."""
        terms, names, self.since_fit = self.terms, self.names, 0
        rows, drawn = self._recent()
        sets = conformal_sets(rows, names)
        found = signals_of(rows, names, sets, is_probability=terms.is_probability)
        error = crossed(found, rows, stretch_ms=FOLD_BLOCKS * terms.block_ms)
        fit = fitted(found, rows) if error is not None else None
        if error is None or fit is None:
            stated = assess(proposed(rows, names), None, is_probability=terms.is_probability)
            error = stated.error
        mine = np.arange(len(rows)) < drawn
        mine &= (rows["time_ms"] >= self.floor_ms) & (rows["trainer"] == (self.seat or 0))
        cut = cut_off(
            error[mine],
            rows["wrong"][mine],
            max_error=terms.max_error,
            confidence=terms.confidence,
        )
        if self.stepped_back is not None and cut.proven and cut.at is not None:
            self.stepped_back, self.suspicion = None, NONE
        self.calibration = Calibration(
            pipeline=terms.pipeline,
            feature_digest=terms.feature_digest,
            at=at,
            event_ms=self.event_ms,
            rows=len(rows),
            wrong=int(rows["wrong"].sum()),
            conformal=sets,
            drifted=self.is_drifted,
            cut_off=cut,
            stepped_back=self.stepped_back,
            **(told(fit) if fit else {}),
        )
        return self.calibration

    def _recent(self) -> tuple[Column, int]:
        """Rows to fit to, drawn ones first, and how many those are.

        Those before the pipeline stepped back are left out as soon as there are enough others.
        """
        drawn, others = (
            kept[kept["time_ms"] >= self.floor_ms] for kept in (self.drawn, self.others)
        )
        rows = np.concatenate([drawn, others])
        wrong = int(rows["wrong"].sum())
        if min(wrong, len(rows) - wrong) < 2 * LEAST:
            drawn, rows = self.drawn, np.concatenate([self.drawn, self.others])
        return rows, len(drawn)

    def _watch(self, rows: Column) -> SteppedBack | None:
        """Bet on drawn rows, new ones in order, under the calibration that was in force."""
        if self.calibration is None or not len(rows):
            return None
        known, began = proposed(rows, self.names), None
        error = assess(known, self.calibration, is_probability=self.terms.is_probability).error
        cut = self.calibration.cut_off
        for row, q in zip(rows, error.tolist(), strict=True):
            if self.calibration.weights:
                self._look_for_drift(q, wrong=bool(row["wrong"]))
            if self.stepped_back is None and _is_cleared(row, q, cut):
                began = self._suspect(row) or began
        return began

    def _look_for_drift(self, error: float, *, wrong: bool) -> None:
        self.drift_rows = max(0, self.drift_rows - 1)
        self.drift = drifting(self.drift, error, wrong=wrong)
        if has_drifted(self.drift):
            self.drift, self.drift_rows = np.zeros(len(ODDS)), DRIFT_ROWS

    def _suspect(self, row: Column) -> SteppedBack | None:
        time_ms, max_error = int(row["time_ms"]), self.terms.max_error
        if row["trainer"] != self.seat or time_ms < self.floor_ms:
            return None
        now = self.suspicion.saw(time_ms, max_error, wrong=bool(row["wrong"]))
        self.suspicion = now
        if not now.is_certain(max_error):
            return None
        self.stepped_back = SteppedBack(
            since_ms=self.event_ms,
            error=now.errors / now.rows,
            lower_bound=now.lower_bound,
            rows=now.rows,
        )
        self.suspicion, self.floor_ms, self.drift_rows = NONE, self.event_ms, DRIFT_ROWS
        return self.stepped_back

    def dump(self) -> bytes:
        """The whole state; the same state gives the same bytes."""
        known = {
            "feature_digest": self.terms.feature_digest,
            "read": {str(partition): self.read[partition] for partition in sorted(self.read)},
            "mark": self.mark,
            "actions": self.names.actions,
            "trainers": self.names.trainers,
            "seat": self.seat,
            "since_fit": self.since_fit,
            "event_ms": self.event_ms,
            "floor_ms": self.floor_ms,
            "suspicion": asdict(self.suspicion),
            "drift": self.drift.tolist(),
            "drift_rows": self.drift_rows,
            "stepped_back": self.stepped_back and self.stepped_back.model_dump(mode="json"),
            "calibration": self.calibration and self.calibration.model_dump(mode="json"),
            "drawn": len(self.drawn),
        }
        head = json.dumps(known, separators=(",", ":")).encode()
        return zlib.compress(b"\n".join((head, self.drawn.tobytes() + self.others.tobytes())), 1)

    @classmethod
    def load(cls, data: bytes, terms: Terms) -> "Learning":
        """What `dump` gave; of other features it begins anew."""
        head, _, body = zlib.decompress(data).partition(b"\n")
        known: dict[str, Any] = json.loads(head)
        learning = cls(terms)
        if known["feature_digest"] != terms.feature_digest:
            return learning
        rows = np.frombuffer(body, ROW)
        learning.drawn, learning.others = rows[: known["drawn"]], rows[known["drawn"] :]
        learning.names = Names(known["actions"], known["trainers"])
        learning.read = {int(partition): read for partition, read in known["read"].items()}
        for name in ("mark", "seat", "since_fit", "event_ms", "floor_ms", "drift_rows"):
            setattr(learning, name, known[name])
        learning.suspicion = Suspicion(**known["suspicion"])
        learning.drift = np.array(known["drift"])
        if known["stepped_back"]:
            learning.stepped_back = SteppedBack.model_validate(known["stepped_back"])
        if known["calibration"]:
            learning.calibration = Calibration.model_validate(known["calibration"])
        return learning


def _is_cleared(row: Column, error: float, cut: CutOff | None) -> bool:
    """Whether the ladder let the row out, or would have where the pipeline only advises."""
    if row["verdict"] in CLEARED:
        return True
    known = cut is not None and cut.at is not None and error <= cut.at
    return bool(row["verdict"] == Verdict.ADVISE) and known


def _newest(rows: Column, most: int) -> Column:
    """The newest rows, `most` of each action, in order."""
    if len(rows) <= most:
        return rows
    kept = np.zeros(len(rows), bool)
    for action in np.unique(rows["action"]):
        kept[np.flatnonzero(rows["action"] == action)[-most:]] = True
    return rows[kept]
