"""Decided rows with the truth about them: VERDICTS, with FEATURES beside them, to SAMPLES.

Rows and labels are taken in the order of FEATURES, so the samples and their order do not depend on
how rows fell into messages. State is rebuilt by reading again from the oldest row that awaits its
truth; what that cannot tell stands in the output's memo.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from typing_extensions import override

from flyball_ingest.approvals import Approval, approvals_in
from flyball_ingest.decided import DisagreementError, Pair
from flyball_ingest.sampled import PART_BYTES, Gathered, Head, encode, part_of, row_bytes
from flyball_ingest.sampler import Sampler
from flyball_ingest.samples_memo import Memo
from flyball_ingest.sampling import Sampling
from flyball_ingest.tallies import Tallies
from flyball_kit.errors import PermanentError
from flyball_kit.fold import Fold, Input, Output, Span, covered
from flyball_proto.columns import (
    BatchError,
    Verdicts,
    decode_features,
    decode_verdicts,
    verdicts_digest,
)
from flyball_proto.headers import COVERS
from flyball_proto.streams import BATCH_BYTES

T = TypeVar("T")


class DamagedBatchError(PermanentError):
    """A stored batch does not decode."""

    kind = "damaged-batch"


class SamplesFold(Fold):
    """One partition's samples. Bounded by `max_awaiting` rows and by one output, see `Gathered`.

    `memo` is that of the last output: what it stands behind is read again for the state alone.
    """

    def __init__(self, sampling: Sampling, memo: str | None = None) -> None:
        self._sampling = self._next = sampling
        self._committed = Memo.parse(memo)
        self._known, self._message = self._committed.message, self._committed.message
        self._to_skip = self._committed.stored
        self._sampler = Sampler(sampling, self._committed)
        self._tallies, self._gathered = Tallies(), Gathered()
        self._width = 0

    def revise(self, sampling: Sampling) -> None:
        """Go on under another revision of the same features, from the next output on.

        When another truth is wanted from then on, rows that await the old one are given up.
        """
        if sampling.feature_digest != self._sampling.feature_digest:
            raise PermanentError(
                f"{sampling.pipeline}: feature digest {sampling.feature_digest[:8]} found, this "
                f"fold takes {self._sampling.feature_digest[:8]}; start a fold of its own"
            )
        self._next = sampling

    @override
    def step(self, message: Input) -> bool:
        verdicts = _decoded(decode_verdicts, message)
        approvals = approvals_in(verdicts.released, message.sequence)
        if verdicts.feature_digest != self._sampling.feature_digest:
            self._sampler.approve(approvals, len(verdicts.rows))
            return False
        is_new = message.sequence > self._known
        if is_new:
            self._gathered.cover(verdicts.flow)
            self._tallies.add(verdicts)
        self._take_rows(message, verdicts, approvals, is_new=is_new)
        self._sampler.approve(approvals, len(verdicts.rows))
        self._collect(is_new=is_new)
        self._message = max(self._message, message.sequence)
        return is_new and (verdicts.flow.mark is not None or self._gathered.bytes >= BATCH_BYTES)

    @override
    def tick(self, now_ms: int) -> None:
        """Samples know event time alone."""

    @override
    def take(self) -> Output | None:
        gathered = self._gathered
        has_skipped = self._to_skip != self._committed.stored
        if not (gathered.says_something or self._tallies or has_skipped):
            self._adopt()
            return None
        if gathered.bytes > PART_BYTES and (n := part_of(gathered.rows)) < len(gathered.rows):
            return self._part(n)
        output = self._whole()
        self._gathered = Gathered()
        self._adopt()
        return output

    @override
    def since(self) -> int | None:
        return self._sampler.since

    @override
    def dump(self) -> bytes:
        """Nothing: the state is rebuilt from the input."""
        return b""

    @override
    def load(self, data: bytes) -> None:
        """Nothing, see `dump`."""

    def _take_rows(
        self, message: Input, verdicts: Verdicts, approvals: deque[Approval], *, is_new: bool
    ) -> None:
        at = 0
        for beside in message.beside:
            features = _decoded(decode_features, beside)
            pair = Pair(features, verdicts, at, message.sequence, approvals)
            self._sampler.take(pair, is_new=is_new)
            self._width = features.feature.shape[1] or self._width
            at += len(features.rows)
        if at != len(verdicts.rows):
            raise DisagreementError(
                f"{message.subject} {message.sequence}: {len(verdicts.rows)} verdicts, but {at} "
                "feature rows stand beside them; were FEATURES and VERDICTS written by one chain?"
            )

    def _collect(self, *, is_new: bool) -> None:
        """Gather what became of rows and labels; what is committed already is let go."""
        sampler, waiting = self._sampler, self._sampler.awaiting
        done, unlabelled, refused = waiting.done, waiting.unlabelled, sampler.refused
        waiting.done, waiting.unlabelled, sampler.refused = [], 0, []
        if not is_new:
            return
        skipped = min(self._to_skip, len(done))
        self._to_skip -= skipped
        self._gathered.add(done[skipped:])
        self._gathered.unlabelled += unlabelled
        for sequence, code in refused:
            self._gathered.refuse(sequence, code)

    @property
    def _head(self) -> Head:
        sampling, share = self._sampling, self._sampler.share.share
        return Head(sampling.pipeline, sampling.feature_digest, self._width, share)

    def _part(self, n: int) -> Output:
        """The first `n` samples; the next take goes on."""
        gathered = self._gathered
        rows, gathered.rows = gathered.rows[:n], gathered.rows[n:]
        gathered.bytes -= sum(map(row_bytes, rows))
        self._committed = replace(self._committed, stored=self._committed.stored + n)
        data = encode(self._head, gathered.flow_of_part(self._sampling.revisions), rows)
        return Output(data, rows=n, memo=str(self._committed), partial=True)

    def _whole(self) -> Output:
        gathered, sampler = self._gathered, self._sampler
        self._committed = Memo(
            self._message,
            sampler.clock_ms,
            sampler.share.halvings,
            sampler.share.stretch,
            sampler.share.counted,
            *sampler.floor,
            self._to_skip,
        )
        flow = gathered.flow(self._sampling.revisions)
        tally = self._tallies.take()
        data = encode(self._head, flow, gathered.rows, tally, gathered.unlabelled)
        return Output(
            data,
            {COVERS: f"{flow.origin} {flow.first} {flow.last}"},
            len(gathered.rows),
            flow.mark.id if flow.mark else None,
            str(self._committed),
        )

    def _adopt(self) -> None:
        """Take the newest revision over."""
        if self._next is self._sampling:
            return
        self._sampling = self._next
        self._sampler.revise(self._sampling, self._message)
        self._collect(is_new=self._message > self._known)


def spans_of(feature_digest: str) -> Callable[[Input], Span | None]:
    """What a verdicts message needs of features with this digest; None = it is about others."""

    def span(message: Input) -> Span | None:
        found = covered(message)
        with suppress(BatchError):  # the fold will say so
            return found if found and verdicts_digest(message.data) == feature_digest else None
        return found

    return span


def _decoded(decode: Callable[[bytes], T], message: Input) -> T:
    try:
        return decode(message.data)
    except BatchError as error:
        raise DamagedBatchError(
            f"{message.subject} {message.sequence}: {error}; was it written by another version?"
        ) from error
