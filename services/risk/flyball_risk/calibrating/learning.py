"""Learns from labelled proposals of one pipeline how often acting is wrong: a fold over SAMPLES. Pure.

State: the newest labelled proposals (two ring buffers), names, and what is suspected now. Every
`refit_due` rows everything is fitted again from the rows that are there.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from flyball_proto.calibrations import Calibration, CutOff
from flyball_proto.columns import Column, Samples
from flyball_risk.calibrating.bounds import cut_off
from flyball_risk.calibrating.labelled import ROW, Names, Terms, labelled, proposed
from flyball_risk.calibrating.refitting import (
    LEAST,
    conformal_sets,
    crossed,
    fitted,
    signals_of,
    told,
)
from flyball_risk.calibrating.watching import Watch
from flyball_risk.scoring.probability import assess

if TYPE_CHECKING:
    from flyball_risk.calibrating.news import News

MAX_DRAWN: Final = 2_000
MAX_OTHERS: Final = 6_000
"""Newest labelled proposals that are kept: drawn ones, one an element and block, and all others,
of each action its even share of them. The oldest go first."""

REFIT_ROWS: Final = 50
REFIT_RATIO: Final = 0.02
"""Fitted again after so many new labelled proposals, or this part of those kept if that is more."""

FOLD_BLOCKS: Final = 8


class Learning:
    """Everything known of one pipeline and feature digest; at most about 0.4 MiB.

    `read` is how far each partition's SAMPLES were taken in, `mark` the newest lockstep mark that
    was settled; `heard_ms` the newest event time at which any label was known; `told` the cut-off that an event told last, `untold` events that perhaps were not
    published. `keeping` writes all of it down.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.names = Names([], [])
        self.drawn, self.others = np.empty(0, ROW), np.empty(0, ROW)
        self.watch = Watch()
        self.since_fit = 0
        self.must_fit = False
        self.first_ms = self.heard_ms = 0
        self.calibration: Calibration | None = None
        self.read: dict[int, int] = {}
        self.mark = ""
        self.told: CutOff | None = None
        self.untold: list[News] = []

    @property
    def is_due(self) -> bool:
        """Whether enough is new to fit again, or something happened that cannot wait.

        Never before labels span two blocks: fewer are too much alike, and a replay in lockstep has
        made itself known by then.
        """
        if self.watch.event_ms - self.first_ms < 2 * self.terms.block_ms:
            return False
        kept = len(self.drawn) + len(self.others)
        return self.must_fit or self.since_fit >= max(REFIT_ROWS, REFIT_RATIO * kept)

    def take(self, samples: Samples) -> None:
        """Take a message of SAMPLES in; labels that teach nothing are heard all the same."""
        known_ms = samples.known_ms[np.isfinite(samples.label)]
        self.heard_ms = int(known_ms.max(initial=self.heard_ms))
        self.add(labelled(samples, self.names, self.terms))

    def add(self, rows: Column) -> None:
        """Take labelled proposals in, `ROW` (k,), in the order in which they became known."""
        if not len(rows):
            return
        self.first_ms = self.first_ms or int(rows["time_ms"][0])
        at = np.flatnonzero(rows["drawn"] & ~np.isin(rows["cell"], self.drawn["cell"]))
        new = np.sort(at[np.unique(rows["cell"][at], return_index=True)[1]])
        error = assess(
            proposed(rows[new], self.names),
            self.calibration,
            is_probability=self.terms.is_probability,
        ).error
        max_error = self.terms.max_error
        if self.watch.see(rows, new.tolist(), error, self.calibration, max_error):
            self.must_fit = True
        others = np.concatenate([self.others, np.delete(rows, new)])
        self.drawn = np.concatenate([self.drawn, rows[new]])[-MAX_DRAWN:]
        self.others = _newest(others, MAX_OTHERS // max(1, len(self.names.actions)))
        self.since_fit += len(rows)

    def revise(self, terms: Terms) -> None:
        """Go on under a changed specification; what it calls right otherwise begins anew."""
        before, self.terms, self.must_fit = self.terms, terms, True
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
        terms, names, watch = self.terms, self.names, self.watch
        self.since_fit, self.must_fit = 0, False
        rows, drawn = self._recent()
        sets = conformal_sets(rows, names)
        found = signals_of(rows, names, sets, is_probability=terms.is_probability)
        error = crossed(found, rows, stretch_ms=FOLD_BLOCKS * terms.block_ms)
        fit = fitted(found, rows) if error is not None else None
        if error is None or fit is None:
            stated = assess(proposed(rows, names), None, is_probability=terms.is_probability)
            error = stated.error
        mine = np.arange(len(rows)) < drawn
        mine &= (rows["time_ms"] >= watch.floor_ms) & (rows["trainer"] == watch.seat)
        cut = cut_off(
            error[mine],
            rows["wrong"][mine],
            max_error=terms.max_error,
            confidence=terms.confidence,
        )
        if watch.stepped_back is not None and cut.proven and cut.at is not None:
            watch.proven()
        self.calibration = Calibration(
            pipeline=terms.pipeline,
            feature_digest=terms.feature_digest,
            at=at,
            event_ms=watch.event_ms,
            rows=len(rows),
            wrong=int(rows["wrong"].sum()),
            conformal=sets,
            drifted=watch.is_drifted,
            cut_off=cut,
            stepped_back=watch.stepped_back,
            **(told(fit) if fit else {}),
        )
        return self.calibration

    def _recent(self) -> tuple[Column, int]:
        """Rows to fit to, drawn ones first, and how many those are.

        Those before the pipeline stepped back are left out as soon as there are enough others.
        """
        drawn, others = (
            kept[kept["time_ms"] >= self.watch.floor_ms] for kept in (self.drawn, self.others)
        )
        rows = np.concatenate([drawn, others])
        wrong = int(rows["wrong"].sum())
        if min(wrong, len(rows) - wrong) < 2 * LEAST:
            drawn, rows = self.drawn, np.concatenate([self.drawn, self.others])
        return rows, len(drawn)


def _newest(rows: Column, most: int) -> Column:
    """The newest rows, `most` of each action, in order."""
    if len(rows) <= most:
        return rows
    kept = np.zeros(len(rows), bool)
    for action in np.unique(rows["action"]):
        kept[np.flatnonzero(rows["action"] == action)[-most:]] = True
    return rows[kept]
