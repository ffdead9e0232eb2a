"""What happens in the simulated network and what is decided about it, as lines and as losses."""

import numpy as np

from flyball_local.demo.losses import Losses
from flyball_local.demo.story import Telling
from flyball_local.simulator import radio
from flyball_local.simulator.rehearsal import Rehearsal, Second
from flyball_proto.columns import Outcome, Verdict, Verdicts

EFFECT_MS = 40_000
LOAD = "RRU.PrbTotDl"


class Seen:
    """Give it each stretch of the network and each batch of verdicts.

    Verdicts are told at the mark behind them: until then their batches wait, a stretch of them.
    """

    def __init__(self, rehearsal: Rehearsal, telling: Telling, losses: Losses) -> None:
        self._rehearsal, self._telling, self._losses = rehearsal, telling, losses
        self._cells = {cell.name: i for i, cell in enumerate(rehearsal.network.cells)}
        self._batches: list[Verdicts] = []
        self._effects: list[tuple[int, str, float, str]] = []
        self._faulty = set[int]()
        self._told_change = False

    def hear(self, batch: Verdicts) -> None:
        """Verdicts as they are stored."""
        self._batches.append(batch)

    def notice(self, stretch: list[Second]) -> None:
        """The truth about a stretch, before anybody has judged it."""
        for second in stretch:
            self._telling.now_ms = second.time_ms
            self._losses.second(second.time_ms, [r.values[LOAD] for r in second.reports])
            for cell in np.flatnonzero(
                second.state.offload_until_ms == second.time_ms + radio.OFFLOAD_MS
            ):
                self._losses.acted(second.time_ms, int(cell))
            self._tell_faults(second)
            change_ms = self._rehearsal.change_ms
            if change_ms is not None and second.time_ms >= change_ms and not self._told_change:
                self._told_change = True
                self._telling.line(
                    "THE WORLD CHANGES: every second cell carries a new service, which takes "
                    f"{radio.BURST_RATIO:.0%} of it for {radio.BURST_S} s every {radio.BURST_EVERY_S} s"
                )
            self._tell_effects(second)

    def _tell_faults(self, second: Second) -> None:
        now = set(map(int, np.flatnonzero(second.state.faulty_until_ms > second.time_ms)))
        for cell in sorted(now - self._faulty):
            name = self._rehearsal.network.cells[cell].name
            self._telling.some("failures", f"{name} loses two thirds of its capacity", told=2)
        self._faulty = now

    def _tell_effects(self, second: Second) -> None:
        due = [x for x in self._effects if x[0] <= second.time_ms]
        self._effects = [x for x in self._effects if x[0] > second.time_ms]
        for _, element, before, what in due:
            now = self._losses.load(second.time_ms, self._cells[element])
            self._telling.effect(element, what, before, now)

    def tell_verdicts(self, now_ms: int) -> None:
        """What was decided since the last call; `now_ms` is the mark's time."""
        batches, self._batches = self._batches, []
        for batch in batches:
            self._note_scores(batch)
            for i in np.flatnonzero(batch.action_index > 0):
                self._tell_verdict(batch, int(i), now_ms)
            for hold in batch.opened:
                kind = "holds by boundary" if "boundary" in hold.reason else "holds by risk"
                self._telling.some(kind, f"{hold.element}: {hold.reason}", told=3)
            for end in batch.released:
                if end.outcome is Outcome.EXPIRED:
                    words = f"{end.hold.element}: nobody answered in time, nothing is sent"
                    self._telling.some("expired holds", words, told=1)
                elif end.outcome is Outcome.APPROVED:
                    self._await_effect(end.hold.element, now_ms, "after the approved action")

    def _note_scores(self, batch: Verdicts) -> None:
        rows = batch.rows
        cells = np.array([self._cells[name] for name in rows.element], np.int64)
        for time_ms, cell, score in zip(
            rows.time_ms, cells[rows.element_index], batch.score, strict=True
        ):
            self._losses.scored(int(time_ms), int(cell), float(score))

    def _tell_verdict(self, batch: Verdicts, i: int, now_ms: int) -> None:
        verdict = Verdict(int(batch.verdict[i]))
        element = batch.rows.element[int(batch.rows.element_index[i])]
        load = self._losses.load(int(batch.rows.time_ms[i]), self._cells[element])
        trainer = batch.model[int(batch.model_index[i])].trainer
        words = f"{element} at {load:.0f} %: {trainer} says {batch.score[i]:.2f}"
        reason = (
            batch.reason[int(batch.reason_index[i]) - 1] if batch.reason_index[i] else "offload"
        )
        if verdict in (Verdict.CLEAR, Verdict.NOTIFY):
            kind = f"actions of {trainer}"
            self._telling.some(
                kind, f"{words}, offload is cleared ({verdict.name.lower()})", told=3
            )
            self._await_effect(element, now_ms, "acted on")
        elif verdict is Verdict.DENY:
            self._telling.some("denials", f"{words}: {reason}", told=2)
        elif verdict is Verdict.WITHHOLD:
            self._telling.some("actions withheld", f"{words}: {reason}", told=2)
            self._await_effect(element, now_ms, "left alone at random")
        elif verdict in (Verdict.CAP, Verdict.SUPERSEDED):
            self._telling.some("capped actions", f"{words}: {reason}", told=1)

    def _await_effect(self, element: str, now_ms: int, what: str) -> None:
        """The effect shows `EFFECT_MS` behind the mark at which the cell learns of it."""
        if not any(waits[1] == element for waits in self._effects):
            load = self._losses.load(now_ms, self._cells[element])
            self._effects.append((now_ms + EFFECT_MS, element, load, what))
