"""Drawn rows, one after the other: who holds the seat, whether it drifts, when it steps back. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from flyball_proto.calibrations import Calibration, CutOff, SteppedBack
from flyball_proto.columns import Column, Verdict
from flyball_risk.calibrating.labelled import CLEARED
from flyball_risk.calibrating.suspicion import NONE, ODDS, Suspicion, drifting, has_drifted

DRIFT_ROWS: Final = 200
"""The stream counts as changed until so many drawn rows came after the last sign of it."""


@dataclass(slots=True)
class Watch:
    """A handful of numbers; borders of messages change nothing.

    `seat` is the place of the trainer whose model held the seat at the newest row. Rows decided
    before `floor_ms`, when the pipeline stepped back last, prove nothing any more.
    """

    seat: int = 0
    event_ms: int = 0
    floor_ms: int = 0
    suspicion: Suspicion = NONE
    drift: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))
    drift_rows: int = 0
    stepped_back: SteppedBack | None = None

    @property
    def is_drifted(self) -> bool:
        """Whether the stream changed lately."""
        return self.drift_rows > 0

    def see(
        self,
        rows: Column,
        new: Sequence[int],
        error: Column,
        calibration: Calibration | None,
        max_error: float,
    ) -> bool:
        """See rows in order; notes in them whether the stream drifts. True = it steps back by them.

        `new` are places of those that were drawn, and `error` (one each) is what the calibration in
        force made of them.
        """
        rows["drifted"] = self.is_drifted
        seats = self._seats(rows)
        times = np.maximum.accumulate(np.maximum(rows["time_ms"], self.event_ms))
        was_back = self.stepped_back is not None
        for i, q in zip(new, error.tolist(), strict=True):
            self._sit(int(seats[i]))
            self.event_ms = int(times[i])
            if calibration is not None:
                self._bet(rows[i], q, calibration, max_error)
            rows["drifted"][i + 1 :] = self.is_drifted
        self._sit(int(seats[-1]))
        self.event_ms = int(times[-1])
        return not was_back and self.stepped_back is not None

    def proven(self) -> None:
        """Newer rows prove a cut-off again."""
        self.stepped_back, self.suspicion = None, NONE

    def _seats(self, rows: Column) -> Column:
        place = np.maximum.accumulate(np.where(rows["seated"], np.arange(len(rows)), -1))
        return np.where(place >= 0, rows["trainer"][place], self.seat)

    def _sit(self, seat: int) -> None:
        if seat != self.seat:
            self.seat, self.suspicion = seat, NONE

    def _bet(self, row: Column, error: float, calibration: Calibration, max_error: float) -> None:
        wrong = bool(row["wrong"])
        self.drift_rows = max(0, self.drift_rows - 1)
        if calibration.weights:
            logs = drifting(np.array(self.drift), error, wrong=wrong)
            self.drift = logs.tolist()
            if has_drifted(logs):
                self.drift, self.drift_rows = [0.0] * len(ODDS), DRIFT_ROWS
        counts = row["trainer"] == self.seat and row["time_ms"] >= self.floor_ms
        if self.stepped_back is None and counts and _is_cleared(row, error, calibration.cut_off):
            self.suspicion = self.suspicion.saw(int(row["time_ms"]), max_error, wrong=wrong)
            if self.suspicion.is_certain(max_error):
                self._step_back()

    def _step_back(self) -> None:
        found = self.suspicion
        self.stepped_back = SteppedBack(
            since_ms=self.event_ms,
            error=found.errors / found.rows,
            lower_bound=found.lower_bound,
            rows=found.rows,
        )
        self.suspicion, self.floor_ms, self.drift_rows = NONE, self.event_ms, DRIFT_ROWS


def _is_cleared(row: Column, error: float, cut: CutOff | None) -> bool:
    """Whether the ladder let the row out, or would have where the pipeline only advises."""
    if row["verdict"] in CLEARED:
        return True
    known = cut is not None and cut.at is not None and error <= cut.at
    return bool(row["verdict"] == Verdict.ADVISE) and known
