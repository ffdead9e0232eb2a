"""Takes decided rows and labels in the order of FEATURES. Pure."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from flyball_ingest.approvals import Approval
from flyball_ingest.awaiting import Awaiting
from flyball_ingest.decided import Pair, check_agreement, decided_rows
from flyball_ingest.evidence import Share, place
from flyball_ingest.feedback_truth import FeedbackTruth
from flyball_ingest.future_truth import FutureTruth
from flyball_ingest.samples_memo import Memo
from flyball_ingest.sampling import Rule, Sampling, max_awaiting
from flyball_proto.columns import Arrivals, Column, Model

NO_ROW: Final = 1 << 62
"""Behind every row of a message."""

MAX_KNOWN_MODELS: Final = 1024


class Label(NamedTuple):
    """A published truth; `before` rows of its batch came before it."""

    before: int
    element: str
    sequence: int
    time_ms: int
    value: float


class Sampler:
    """The state of a samples fold: which rows await their truth, and of which elements.

    `awaiting.done` and `awaiting.unlabelled` collect what became of rows, `refused` the METRICS
    sequences of labels that were not used, with the reason's code; the caller empties them.
    """

    def __init__(self, sampling: Sampling, memo: Memo) -> None:
        self.sampling = sampling
        self.awaiting = _awaiting(sampling.rule)
        self.refused: list[tuple[int, str]] = []
        self.clock_ms = memo.clock_ms
        self.share = Share(sampling.rows_per_s, sampling.rule.interval_ms)
        self.share.load(memo.halvings, memo.stretch, memo.counted)
        self._floor = (memo.floor_message, memo.floor_row)
        self._models: dict[Model, Model] = {}

    @property
    def floor(self) -> tuple[int, int]:
        """The place up to which rows were given up for want of room, or for another truth."""
        return max(self._floor, self.awaiting.floor)

    @property
    def since(self) -> int | None:
        """The VERDICTS message of the oldest row or approval that is still needed."""
        oldest, approved = self.awaiting.oldest, self.awaiting.approvals.since
        needed = [oldest.place[0]] if oldest else []
        return min(needed + ([] if approved is None else [approved]), default=None)

    def revise(self, sampling: Sampling, message: int) -> None:
        """Go on under another revision; `message` is the last one taken."""
        if sampling.rule != self.sampling.rule:
            self.awaiting.give_up_all()
            before, self.awaiting = self.awaiting, _awaiting(sampling.rule)
            self.awaiting.done, self.awaiting.unlabelled = before.done, before.unlabelled
            self.awaiting.approvals = before.approvals
            self._floor = max(self._floor, before.floor, (message, NO_ROW))
        known = self.share
        self.share = Share(sampling.rows_per_s, sampling.rule.interval_ms)
        self.share.load(known.halvings, known.stretch, known.counted)
        self.sampling = sampling

    def approve(self, approvals: deque[Approval], before: int) -> None:
        """Take the approvals that came before row `before` of their message."""
        while approvals and approvals[0].before <= before:
            self.awaiting.approvals.add(approvals.popleft())

    def take(self, pair: Pair, *, is_new: bool) -> None:
        """Take the rows and labels of one FEATURES message.

        What is not new rebuilds the state: the clock and the share are those at its end already.

        Raises:
            DisagreementError: The verdicts are about other rows.
        """
        check_agreement(pair)
        times, n = pair.features.rows.time_ms, len(pair.features.rows)
        clock_ms = np.maximum.accumulate(np.concatenate(([self.clock_ms], times)))
        halved = self.share.observe(times, clock_ms[1:]) if is_new else []
        halvings = self.share.halvings - len(halved)
        labels = deque(_labels(pair.features.arrivals))
        for i, part in enumerate(map(slice, (0, *halved), (*halved, n))):
            share = 1.0 / (1 << halvings + i)
            if i:
                self.awaiting.keep_only(_in_share(share))
            self._decide(pair, part, share, clock_ms, labels, is_new=is_new)
            self._confirm(labels, part.stop, share, clock_ms)
        self.clock_ms = int(clock_ms[-1])
        self.awaiting.settle(self.clock_ms, _room(pair))

    def _decide(
        self,
        pair: Pair,
        part: slice,
        share: float,
        clock_ms: Column,
        labels: deque[Label],
        *,
        is_new: bool,
    ) -> None:
        """Take a part of the rows, and the labels between them."""
        room, rule, waiting = _room(pair), self.sampling.rule, self.awaiting
        chosen = _chosen(pair, part, share)
        if rule.expression is not None and pair.features.target_metric != rule.targets:
            waiting.unlabelled += len(chosen)  # written under a revision that wants another truth
            return
        models = [self._interned(model) for model in pair.verdicts.model]
        for row in decided_rows(pair, chosen, sampling=self.sampling, models=models):
            i = row.place[1] - pair.at
            self.approve(pair.approvals, row.place[1])
            if labels and labels[0].before <= i:
                self._confirm(labels, i, share, clock_ms)
            if not is_new and row.place <= self._floor:
                continue
            waiting.decide(row, int(clock_ms[i]))
            if len(waiting) > room:
                waiting.settle(int(clock_ms[i + 1]), room)

    def _confirm(self, labels: deque[Label], before: int, share: float, clock_ms: Column) -> None:
        """Take the labels that came before row `before`; those of other elements count nowhere."""
        while labels and labels[0].before <= before:
            label = labels.popleft()
            if place(label.element) >= share:
                continue
            code = self.awaiting.confirm(
                label.element, label.time_ms, label.value, int(clock_ms[label.before])
            )
            if code is not None:
                self.refused.append((label.sequence, code))

    def _interned(self, model: Model) -> Model:
        """One object for equal models, so that rows do not hold many."""
        if len(self._models) > MAX_KNOWN_MODELS:
            self._models.clear()
        return self._models.setdefault(model, model)


def _awaiting(rule: Rule) -> Awaiting:
    return FeedbackTruth(rule) if rule.expression is None else FutureTruth(rule)


def _in_share(share: float) -> Callable[[str], bool]:
    return lambda element: place(element) < share


def _room(pair: Pair) -> int:
    return max_awaiting(pair.features.feature.shape[1])


def _chosen(pair: Pair, part: slice, share: float) -> Column:
    """Numbers of the rows whose elements are in the share."""
    if share >= 1.0:
        return np.arange(part.start, part.stop)
    rows = pair.features.rows
    places = np.array([place(element) for element in rows.element])
    inside: Column = np.flatnonzero(places[rows.element_index[part]] < share)
    inside += part.start
    return inside


def _labels(arrivals: Arrivals) -> Iterator[Label]:
    for before, element, sequence, time_ms, value in zip(
        arrivals.before.tolist(),
        arrivals.element_index.tolist(),
        arrivals.sequence.tolist(),
        arrivals.time_ms.tolist(),
        arrivals.value.tolist(),
        strict=True,
    ):
        yield Label(before, arrivals.element[element], sequence, time_ms, value)
