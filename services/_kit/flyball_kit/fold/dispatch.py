"""Sends rows of a committed stream to many subjects, each exactly once in effect.

A fold commits to one subject. What must go to many (one action an element, one quarantined report)
is dispatched from that commit: every message carries the key of the row that it comes from, and per
subject keys only grow. So whatever is not newer than the last message stored there was sent before.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.errors import APIError
from typing_extensions import override

from flyball_kit.clock import monotonic_s
from flyball_kit.fold.broker import (
    UNANSWERED,
    UNAVAILABLE,
    WRONG_SEQUENCE,
    Connect,
    jetstream,
    last_message,
    patient,
    pause_until_connected,
)
from flyball_kit.fold.contract import (
    Endpoint,
    FoldObserver,
    FoldStats,
    Input,
    Output,
    ReaderOptions,
    Unobserved,
)
from flyball_kit.fold.errors import Fenced
from flyball_kit.fold.gate import Gate
from flyball_kit.fold.loop import Loop
from flyball_kit.fold.output import OutputSubject
from flyball_kit.fold.position import Position, is_bare
from flyball_kit.fold.positions import BUCKET_STREAM, Housekeeping, Registered, subject_of
from flyball_kit.fold.reader import Reader
from flyball_kit.fold.recovery import check_input, first_position
from flyball_kit.fold.routes import NO_KEY, Dispatch, Stored, by_subject, parse_key
from flyball_proto.headers import EXPECT, KEY

Barred = Callable[[Sequence[Dispatch], JetStreamContext], Awaitable[None]]
"""Records what a closed gate kept from being sent. Asked again until it does not raise, and perhaps
once more after a restart."""

Complete = Callable[[Dispatch, JetStreamContext], Awaitable[Dispatch]]
"""Fetches what a dispatch lacks; same subject and key. Asked only for what was not sent before."""


@dataclass(frozen=True)
class DispatchOptions:
    """Bounds of a dispatcher.

    Attributes:
        batch_messages: Input messages whose dispatches are under way at a time.
        concurrency: Subjects that are published to at a time.
        subjects: Subjects whose last key is remembered; others are read again when touched.
        save_every_s: Least time between two saves of the position.
        publish_timeout_s: How long an acknowledgement may take until the message is sent again.
        retain_source_bytes: Purge the input behind all readers when its stream holds more.
        housekeep_s: How often room is made.
        reader: Bounds of the reader.
    """

    batch_messages: int = 64
    concurrency: int = 64
    subjects: int = 20_000
    save_every_s: float = 0.5
    publish_timeout_s: float = 2.0
    retain_source_bytes: int | None = None
    housekeep_s: float = 2.0
    reader: ReaderOptions = ReaderOptions()  # noqa: RUF009 - frozen


class Dispatcher(Loop):
    """Reads `source` in order and sends what `route` makes of it into the stream `target`.

    `route` is pure; what it cannot know, `complete` reads from the broker. `run`, `stop` and
    `stats` are those of `Loop`; `stats.rows` counts messages sent, `stats.replayed` those skipped
    as sent before. The position is kept in the KV bucket `positions` under `<STREAM>.<name>`, saved
    by compare-and-set after everything up to it was acknowledged; an instance whose successor has
    saved is fenced. Without a saved position it begins at the first message of the stream.

    What is read again after a restart lies behind the saved position (at most what passed in
    `save_every_s`) and is skipped by key. What `gate` bars is given to `barred` instead of being
    sent, before anything behind it is sent or the position moves past it; that is for good.
    `delivered` hears the sequence up to which everything was.

    Only if retention removed the last message of a subject in that short time could a row of it go
    out again.
    """

    def __init__(  # noqa: PLR0913 - wiring, by name
        self,
        name: str,
        *,
        connect: Connect,
        source: Endpoint,
        target: str,
        route: Callable[[Input], Sequence[Dispatch]],
        complete: Complete | None = None,
        gate: Gate | None = None,
        barred: Barred | None = None,
        delivered: Callable[[int], None] | None = None,
        options: DispatchOptions = DispatchOptions(),
        observer: FoldObserver | None = None,
    ) -> None:
        super().__init__(name, connect=connect, source=source, observer=observer)
        self._target, self._route, self._options = target, route, options
        self._complete, self._gate, self._barred = complete, gate or Gate(), barred
        self._delivered = delivered
        self._stored: OrderedDict[str, Stored] = OrderedDict()
        self._slots = asyncio.Semaphore(options.concurrency)
        self._done = self._gathered = self._time_ns = 0
        self._saved = (0, 0)
        self._saved_s = 0.0

    @property
    def _js(self) -> JetStreamContext:
        return jetstream(self._output)

    @override
    async def _recover(self) -> None:
        # The position is a commit record like a fold's, only in the bucket: same claim, same fence.
        self._record = OutputSubject(
            self._output,
            Endpoint(BUCKET_STREAM, subject_of(self._source.stream, self.name)),
            owner=self._owner,
            timeout_s=self._options.publish_timeout_s,
            stop=self._stop,
            stats=FoldStats(),
            observer=Unobserved(),
        )
        position = await self._claim()
        reader = Reader(
            self._input,
            self._source,
            position=position,
            options=self._options.reader,
            observer=self._observer,
        )
        await self._begin(reader, self._housekeeper(), has_read=position.time_ns > 0)

    async def _claim(self) -> Position:
        """Take over the saved position by writing it again under our own name."""
        while True:
            position = await self._load()
            self._done = self._gathered = position.last
            self._time_ns = position.time_ns
            try:
                await self._save(position.last)
            except Fenced:
                continue  # a predecessor's late save came between
            return position

    async def _load(self) -> Position:
        last = await self._record.last()
        if last is None:
            return await first_position(
                self._js, self._source, epoch=self._epoch, start="first", stop=self._stop
            )
        await check_input(self._js, self._source.stream, last.position, self._stop)
        return last.position

    @override
    async def _cycle(self) -> None:
        await self.reader.ready(min(self._options.reader.heartbeat_s, self._options.save_every_s))
        oldest_ns = self.reader.oldest_ns
        dispatches = self._gather()
        await self.reader.ask()
        if dispatches:
            await self._deliver_all(dispatches)
            self._observer.answered(oldest_ns)
        self._done = self._gathered
        if self._delivered is not None:
            self._delivered(self._done)
        surely = self.reader.surely_read
        if not self._time_ns and self.reader.is_empty:  # see FoldRunner._renewal_is_due
            self._done = self._gathered = max(self._done, surely)
        # Also when only `surely` moved: the writer before us waits for it to make room.
        moved = (self._done, min(self._done, surely)) != self._saved
        if moved and monotonic_s() >= self._saved_s + self._options.save_every_s:
            await self._save(min(self._done, surely))

    def _gather(self) -> list[Dispatch]:
        dispatches: list[Dispatch] = []
        for _ in range(self._options.batch_messages):
            message = self.reader.pop()
            if message is None:
                break
            self._gathered, self._time_ns = message.sequence, message.time_ns
            if not is_bare(message.headers, message.data):
                dispatches.extend(self._route(message))
        return dispatches

    async def _deliver_all(self, dispatches: list[Dispatch]) -> None:
        started_s, sent_before = monotonic_s(), self._stats.rows
        # Beforehand, because what comes behind on its subject would make it look sent.
        barred = [d for d in dispatches if self._gate.bars(d.revision)]
        behind = set(map(id, barred))
        await self._bar(barred)
        lanes = by_subject(d for d in dispatches if id(d) not in behind)
        left = await asyncio.gather(*(self._deliver(s, lane) for s, lane in lanes.items()))
        await self._bar([d for lane in left for d in lane])
        while len(self._stored) > self._options.subjects:
            self._stored.popitem(last=False)
        self._stats.commits += 1
        sent = Output(b"", rows=self._stats.rows - sent_before)
        self._observer.committed(sent, monotonic_s() - started_s)
        self._observer.lagging(self.reader.lag_messages)

    async def _deliver(self, subject: str, lane: list[Dispatch]) -> list[Dispatch]:
        """Send what is newer than the last message stored, in order; returns what the gate bars."""
        async with self._slots:
            stored = await self._last_stored(lane[0])
            for i, dispatch in enumerate(lane):
                if dispatch.key <= stored.key:
                    self._stats.replayed += 1
                    continue
                completed = await self._completed(dispatch)
                if not self._gate.enter(dispatch.revision):
                    return lane[i:]
                try:
                    stored = await self._send(completed, stored)
                finally:
                    self._gate.leave()
                self._stored[subject] = stored
            return []

    async def _bar(self, dispatches: list[Dispatch]) -> None:
        """Record what may not be sent any more and was not sent before."""
        in_order = sorted(dispatches, key=lambda d: d.key)
        unsent = [d for d in in_order if d.key > (await self._last_stored(d)).key]
        barred, js = self._barred, self._js
        if unsent and barred is not None:
            what = f"a record of {len(unsent)} barred message(s)"
            await patient(lambda: barred(unsent, js), self._stop, what)

    async def _last_stored(self, dispatch: Dispatch) -> Stored:
        """The last message of a dispatch's subject, remembered from now on."""
        subject = dispatch.subject
        stored = self._stored.pop(subject, None) or await self._read(dispatch)
        self._stored[subject] = stored
        return stored

    async def _completed(self, dispatch: Dispatch) -> Dispatch:
        complete, js = self._complete, self._js
        if complete is None:
            return dispatch
        return await patient(lambda: complete(dispatch, js), self._stop, dispatch.subject)

    async def _send(self, dispatch: Dispatch, stored: Stored) -> Stored:
        """Publish by compare-and-set; returns what is stored last in the end."""
        key = f"{dispatch.key[0]} {dispatch.key[1]}"
        while True:
            headers = {**dispatch.headers, KEY: key, EXPECT: str(stored.sequence)}
            try:
                acknowledged = await self._js.publish(
                    dispatch.subject,
                    dispatch.data,
                    headers=headers,
                    timeout=self._options.publish_timeout_s,
                )
            except APIError as error:
                if error.err_code in WRONG_SEQUENCE:
                    stored = await self._read(dispatch)
                    if stored.key >= dispatch.key:  # an earlier try of ours, or a zombie's
                        self._stats.own += 1
                        return stored
                    continue  # an older row: ours comes behind it
                if error.code != UNAVAILABLE:
                    raise
            except UNANSWERED:
                pass
            else:
                self._stats.rows += 1
                return Stored(acknowledged.seq, dispatch.key)
            self._stats.retries += 1
            self._observer.retried()
            await pause_until_connected(self._output, self._stop)

    async def _read(self, dispatch: Dispatch) -> Stored:
        stream, subject = dispatch.stream or self._target, dispatch.subject
        message = await patient(
            lambda: last_message(self._js, stream, subject), self._stop, subject
        )
        if message is None:
            return Stored(0, NO_KEY)
        return Stored(message.seq or 0, parse_key((message.headers or {}).get(KEY)))

    async def _save(self, unneeded: int) -> None:
        """Save the position; `unneeded` is what the writer before us may purge behind."""
        registered = Registered(unneeded, " ".join(self._source.needed), self._epoch)
        position = Position(self._done + 1, self._done, 0, self._time_ns, self._epoch)
        await self._record.commit(Output(registered.to_json()), position, None)
        self._saved = (self._done, unneeded)
        self._stats.position = self._done
        self._saved_s = monotonic_s()

    @override
    async def _leave(self) -> None:
        await self._save(min(self._done, self.reader.surely_read))
        await super()._leave()

    def _housekeeper(self) -> Housekeeping:
        keep_bytes = self._options.retain_source_bytes
        return Housekeeping(
            self._js,
            self._source,
            self.name,
            every_s=self._options.housekeep_s,
            position=None,
            retain={} if keep_bytes is None else {self._source: keep_bytes},
        )
