"""Runs one fold: exactly once in effect, whatever process is killed and whenever.

The output is the only authority. On start the runner reads the last commit of its output subject,
claims the subject with an empty commit (which fences every predecessor, also its bytes still in the
network), rebuilds the state from a snapshot or by reading the look-back again, and goes on. While
one commit awaits its acknowledgement the next batch gathers: no linger timer.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from flyball_kit.clock import monotonic_s, wall_ms
from flyball_kit.fold.broker import Connect, jetstream
from flyball_kit.fold.contract import (
    Endpoint,
    Fold,
    FoldObserver,
    FoldOptions,
    Input,
    Output,
)
from flyball_kit.fold.durable import DurableSnapshots
from flyball_kit.fold.errors import Fenced, InputLost, OutputLost
from flyball_kit.fold.loop import Loop
from flyball_kit.fold.output import OutputSubject
from flyball_kit.fold.paired import Companion, PairedReader
from flyball_kit.fold.position import Commit, Position, is_bare
from flyball_kit.fold.positions import Housekeeping, Registered
from flyball_kit.fold.reader import Reader
from flyball_kit.fold.recovery import check_input, check_never_committed, first_position
from flyball_kit.fold.snapshot import Snapshot, Snapshots
from flyball_proto.chains import Head

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

NOTHING = Output(b"")
"""A commit that only claims, renews or moves the position."""


@dataclass(slots=True)
class Rebuild:
    """State is being rebuilt by reading input again that is committed already.

    `first` is the sequence that must come first (0 = any, or it came), `since` what the recovered
    commit said, which stays true until the state is whole.
    """

    first: int
    since: int


class FoldRunner(Loop):
    """Runs `fold` from `source` to `target`; see `Loop` for `run`, `stop` and `stats`.

    `gate` is awaited after an output with a mark is stored and before anything behind it is folded.
    A restart right behind a mark asks it again, so it must answer for a settled mark too. It also
    gets an empty output then, with the mark alone. Without `redis` state is rebuilt from the input.
    `beside` is a second input that every message of `source` is given its part of, see `paired.py`.
    `recall` gets the last output's memo before the fold is made.
    """

    def __init__(  # noqa: PLR0913 - wiring, by name
        self,
        name: str,
        *,
        connect: Connect,
        source: Endpoint,
        target: Endpoint,
        fold: Callable[[], Fold],
        options: FoldOptions = FoldOptions(),  # noqa: B008 - frozen
        redis: "Redis | None" = None,
        gate: Callable[[Output], Awaitable[None]] | None = None,
        beside: Companion | None = None,
        recall: Callable[[str | None], None] | None = None,
        observer: FoldObserver | None = None,
    ) -> None:
        super().__init__(name, connect=connect, source=source, observer=observer)
        self._target, self._make_fold, self._options = target, fold, options
        self._redis, self._gate = redis, gate
        self._beside, self._recall = beside, recall
        self._rebuild: Rebuild | None = None
        self._mark: str | None = None
        self._memo: str | None = None
        self._durable: DurableSnapshots | None = None
        self._oldest_ns = 0  # when the oldest input of the batch was stored; 0 = it has none
        self._behind_snapshot = 0  # first input folded after the last durable snapshot; 0 = none
        self._next_snapshot_s = self._next_tick_s = self._committed_s = 0.0
        self._is_claimed = False

    @property
    def head(self) -> Head | None:
        """How far the chain of outputs reached; None before the start, or where there is none."""
        return self._out.head if self._is_claimed else None

    @override
    async def _recover(self) -> None:
        self._is_claimed = False
        self._out = OutputSubject(
            self._output,
            self._target,
            owner=self._owner,
            timeout_s=self._options.publish_timeout_s,
            stop=self._stop,
            stats=self._stats,
            observer=self._observer,
            chained=self._options.chained,
        )
        redis = None if self._options.durable_state else self._redis
        self._snapshots = Snapshots(redis, self._snapshot_key())
        if self._options.durable_state:
            self._durable = DurableSnapshots(
                self._output,
                self._target.stream,
                self.name,
                timeout_s=self._options.publish_timeout_s,
                stop=self._stop,
            )
        snapshot = await self._claim()
        if self._recall is not None:
            self._recall(self._memo)
        self._fold = self._make_fold()
        start = self._restore(snapshot)
        behind = replace(self._position, last=start - 1, time_ns=0)
        has_read = self._rebuild is not None or self._position.time_ns > 0
        reader = self._make_reader(
            self._position if start > self._position.last else behind, has_read=has_read
        )
        await self._begin(reader, self._housekeeper(), has_read=has_read)
        now_s = monotonic_s()
        self._next_snapshot_s = now_s + self._options.snapshot_every_s
        self._next_tick_s = now_s + (self._options.tick_s or 0.0)
        await self._pass_gate(NOTHING)

    def _make_reader(self, position: Position, *, has_read: bool) -> Reader:
        source, options, observer = self._source, self._options.reader, self._observer
        if self._beside is None:
            return Reader(
                self._input, source, position=position, options=options, observer=observer
            )
        return PairedReader(
            self._input,
            source,
            position=position,
            options=options,
            observer=observer,
            name=self.name,
            companion=self._beside,
            is_fresh=not has_read,
            needed=lambda: self._position.needed_from,
        )

    async def _claim(self) -> Snapshot | None:
        """Take the position over from every predecessor; returns the snapshot to start from."""
        while True:
            last = await self._out.last()
            snapshot = await self._load()
            self._position = await self._found(last, snapshot)
            self._mark, self._memo = (last.mark, last.memo) if last else (None, None)
            self._folded, self._time_ns = self._position.last, self._position.time_ns
            try:
                await self._commit(NOTHING, self._position.since)
            except Fenced:
                continue  # a predecessor's late publish, or a rival's claim, came between
            self._is_claimed = True
            return snapshot

    async def _load(self) -> Snapshot | None:
        return await (self._durable.load(self._epoch) if self._durable else self._snapshots.load())

    async def _found(self, last: Commit | None, snapshot: Snapshot | None) -> Position:
        """The position to go on from: the last commit's, or a first one."""
        js, stream = jetstream(self._input), self._source.stream
        if last is not None:
            await check_input(js, stream, last.position, self._stop)
            if self._durable is not None and snapshot is None:
                raise OutputLost(
                    f"{self.name}: its state is gone from the bucket of positions. Restore that "
                    "bucket; to start over, delete the output subject"
                )
            return last.position
        start = self._options.start
        first = await first_position(
            js, self._source, epoch=self._epoch, start=start, stop=self._stop
        )
        await check_never_committed(
            js, first, reader=self.name, stream=stream, snapshot=snapshot, stop=self._stop
        )
        if self._durable is not None:  # from now on there always is one
            await self._durable.save(Snapshot(first.last, self._make_fold().dump()), self._epoch)
        return first

    def _restore(self, snapshot: Snapshot | None) -> int:
        """Load the snapshot if the commit record allows it; returns where to read from."""
        position = self._position
        start = position.needed_from
        # A durable snapshot is the newest or newer than the one that `since` is reckoned from.
        oldest = 0 if self._durable else start - 1
        if snapshot is not None and oldest <= snapshot.sequence <= position.last:
            self._fold.load(snapshot.state)
            self._stats.snapshot = snapshot.sequence
            start = snapshot.sequence + 1
        if start <= position.last:
            first = start if start == position.since else 0
            self._rebuild = Rebuild(first, position.since)
        return start

    @override
    async def _cycle(self) -> None:
        await self.reader.ready(self._wait_s())
        self._oldest_ns = 0 if self._rebuild else self.reader.oldest_ns
        self._gather()
        await self.reader.ask()
        now_s = monotonic_s()
        if self._rebuild is not None:
            self._fold.take()  # committed already
        elif self._tick_is_due(now_s):
            self._fold.tick(wall_ms())
        output = None if self._rebuild else self._fold.take()
        if output is not None:
            await self._emit_all(output)
        elif self._renewal_is_due(now_s):
            await self._commit(NOTHING, self._since())
        await self._save_snapshot(now_s)

    def _gather(self) -> None:
        """Fold what is there, until the fold wants to commit."""
        pop, step = self.reader.pop, self._fold.step
        while (message := pop()) is not None:
            if message.sequence <= self._folded:
                self._replay(message)
                continue
            if self._rebuild is not None:
                self._end_rebuild(f"input goes on at {message.sequence}")
            self._folded, self._time_ns = message.sequence, message.time_ns
            if is_bare(message.headers, message.data):
                continue
            self._behind_snapshot = self._behind_snapshot or message.sequence
            if step(message):
                return
        if self._rebuild is not None and self.reader.surely_read >= self._folded:
            self._end_rebuild(f"all up to {self.reader.surely_read} is read")

    def _replay(self, message: Input) -> None:
        """Fold what was committed before, for the state alone."""
        if self._rebuild is not None and self._rebuild.first:
            if message.sequence != self._rebuild.first:
                raise self._unreadable(f"input begins at {message.sequence}")
            self._rebuild.first = 0
        self._stats.replayed += 1
        if is_bare(message.headers, message.data):
            return
        self._behind_snapshot = self._behind_snapshot or message.sequence
        if self._fold.step(message):
            self._fold.take()

    def _end_rebuild(self, found: str) -> None:
        if self._rebuild is not None and self._rebuild.first:
            raise self._unreadable(found)
        self._fold.take()
        self._rebuild = None

    def _unreadable(self, found: str) -> InputLost:
        return InputLost(
            f"{self.name}: its state needs {self._source.stream} from {self._position.since} on, "
            f"but {found}. Raise the stream's bounds; to start over, delete the output subject"
        )

    async def _emit_all(self, output: Output) -> None:
        """Commit an output with the parts that follow it; only the last one moves the position."""
        while output.partial:
            await self._emit(output)
            output = self._fold.take() or Output(b"", memo=output.memo)
        await self._emit(output)

    async def _emit(self, output: Output) -> None:
        self._mark = output.mark
        self._memo = output.memo if output.memo is not None else self._memo
        await self._commit(output, self._since())
        self._stats.rows += output.rows
        if self._oldest_ns:
            self._observer.answered(self._oldest_ns)
        await self._pass_gate(output)

    async def _pass_gate(self, output: Output) -> None:
        if self._gate is not None and self._mark is not None:
            await self._stop.unless(self._gate(replace(output, mark=self._mark)))

    async def _commit(self, output: Output, since: int) -> None:
        """Store `output` and the position reached; see `OutputSubject.commit`."""
        before = self._position
        first = before.last + 1
        if output.partial:  # what is folded is not covered yet
            position = replace(before, first=first)
        else:
            position = Position(first, self._folded, since, self._time_ns, before.epoch)
        await self._out.commit(output, position, self._mark, self._memo)
        self._position = position
        self._stats.position = position.last
        self._committed_s = monotonic_s()
        if self._reader is not None:
            self._observer.lagging(self._reader.lag_messages)

    def _since(self) -> int:
        if self._rebuild:
            return self._rebuild.since
        return self._behind_snapshot if self._durable else self._fold.since() or 0

    def _renewal_is_due(self, now_s: float) -> bool:
        """Keep the commit record young, and say how far input without output was folded.

        A position is a message of ours, which no purge removes: by it a restart sees that nothing
        of ours is missing. Before the first one it follows the end of the stream.
        """
        surely = self.reader.surely_read
        if not self._time_ns and self._rebuild is None and self.reader.is_empty:
            self._folded = max(self._folded, surely)
        moved = self._folded > self._position.last
        if moved:
            self._mark = None  # what follows the mark is covered: it is passed
        due_s = self._options.advance_s if moved else self._options.keepalive_s
        return now_s >= self._committed_s + min(due_s, self._options.keepalive_s)

    def _tick_is_due(self, now_s: float) -> bool:
        if self._options.tick_s is None or now_s < self._next_tick_s:
            return False
        self._next_tick_s = now_s + self._options.tick_s
        return True

    def _wait_s(self) -> float:
        options = self._options
        wait_s = min(options.heartbeat_s, options.keepalive_s, options.advance_s)
        if options.tick_s is None or self._rebuild is not None:
            return wait_s
        return min(wait_s, max(0.0, self._next_tick_s - monotonic_s()))

    async def _save_snapshot(self, now_s: float) -> None:
        """After the acknowledgement, never before; and only a state that is whole.

        A large state is written so seldom that this takes a tenth of the time at most.
        """
        whole = self._rebuild is None and self._folded == self._position.last
        if not whole or now_s < self._next_snapshot_s:
            return
        began_s = monotonic_s()
        if self._durable is not None and self._behind_snapshot:
            await self._durable.save(Snapshot(self._folded, self._fold.dump()), self._epoch)
            self._behind_snapshot = 0
        elif self._durable is None and self._snapshots.is_wanted:
            self._snapshots.save(Snapshot(self._folded, self._fold.dump()))
        took_s = monotonic_s() - began_s
        self._next_snapshot_s = now_s + max(self._options.snapshot_every_s, 10 * took_s)

    @override
    async def _leave(self) -> None:
        await self._snapshots.settle()
        await self._save_snapshot(self._next_snapshot_s)
        await self._snapshots.settle()
        await super()._leave()

    def _snapshot_key(self) -> str:
        parts = (self.name, self._target.subject, self._options.version, self._epoch)
        return f"{self._options.snapshot_prefix}fold:{':'.join(parts)}"

    def _housekeeper(self) -> Housekeeping:
        def position() -> Registered:
            sequence = min(self._position.needed_from - 1, self.reader.surely_read)
            return Registered(sequence, " ".join(self._source.needed), self._position.epoch)

        bounds = {
            self._target: self._options.retain_bytes,
            self._source: self._options.retain_source_bytes,
        }
        return Housekeeping(
            jetstream(self._output),
            self._source,
            self.name,
            every_s=self._options.register_s,
            position=position,
            retain={where: keep for where, keep in bounds.items() if keep is not None},
        )
