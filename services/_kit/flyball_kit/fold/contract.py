"""What a data-plane stage implements (`Fold`) and what the runner gives and takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol


class Input(NamedTuple):
    """One message of the input stream. A tuple, because one is made for every message read."""

    sequence: int
    time_ns: int
    subject: str
    headers: Mapping[str, str] | None
    data: bytes
    beside: tuple["Input", ...] = ()
    """Messages of the companion that belong to this one; see `paired.py`."""


@dataclass(frozen=True, slots=True)
class Output:
    """One commit: what everything since the last one came to.

    `mark` names the lockstep mark that ends it. `headers` may not use the names of the commit
    record (`flyball_proto.headers` POSITION, OWNER, MARK, MEMO, CHAIN, EXPECT).
    `memo` replaces what the fold is told at its next start (`FoldRunner`'s `recall`): one line of
    few characters, for state that the look-back cannot give. `partial`: more of the same input
    follows in the next `take`, because it did not fit one message; the position stays where it was,
    so a fold that was killed in between folds that input anew, and its memo says how much of it is
    stored already.
    """

    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    mark: str | None = None
    memo: str | None = None
    partial: bool = False


class Fold(Protocol):
    """Bounded state over an ordered input. No I/O, no clock: the same input gives the same rows."""

    def step(self, message: Input) -> bool:
        """Fold one message; True = commit now (size cap reached, or a mark ends the batch)."""
        ...

    def tick(self, now_ms: int) -> None:
        """A second passed (only with `FoldOptions.tick_s`); `take` may then return an output."""
        ...

    def take(self) -> Output | None:
        """Everything since the last take as one output; None = nothing to say.

        Called after every gathered batch. Also after None the position may move: the messages are
        then covered by the next output.
        """
        ...

    def since(self) -> int | None:
        """Oldest input sequence that the state still depends on; None = stateless."""
        ...

    def dump(self) -> bytes:
        """The state, for a snapshot; called only just after `take`."""
        ...

    def load(self, data: bytes) -> None:
        """Become the state that `dump` gave, in a fold made just now."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to read or write. An input may hold wildcards and further subjects of the stream.

    `own` names the part of what is read that matters, when more is read because a filter costs the
    broker more than passing over a message does: only that is registered, and purged, as ours.
    """

    stream: str
    subject: str
    also: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects that are read."""
        return (self.subject, *self.also)

    @property
    def needed(self) -> tuple[str, ...]:
        """The subjects whose messages must not vanish unread."""
        return self.own or self.subjects


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Bounds of one reader.

    At most two `batch`es of messages wait to be folded, and about twice `max_bytes` (or the
    server's largest message, if that is more). A consumer that is silent for 2.5 `heartbeat_s` is
    replaced.
    """

    batch: int = 1000
    max_bytes: int = 4 << 20
    heartbeat_s: float = 1.0


@dataclass(frozen=True)
class FoldOptions:
    """How a fold runs. The defaults are right for every stage of Flyball.

    Attributes:
        version: Layout of the state; part of the snapshot's key, so that another layout rebuilds.
        batch: Messages asked of the broker at a time.
        max_bytes: Bytes asked of the broker at a time, and the bound on what waits unfolded.
        snapshot_every_s: Least time between two snapshots.
        snapshot_prefix: What Redis keys begin with (a service may only touch its own prefix).
        keepalive_s: An idle fold renews its last commit this often.
        advance_s: A fold without output commits a position that moved at most this often.
        publish_timeout_s: How long an acknowledgement may take until the commit is sent again.
        tick_s: Call `Fold.tick` this often; None = never.
        heartbeat_s: Idle heartbeat asked of the broker; a dead consumer is replaced after 2.5.
        start: Where to begin when the output has no commit yet.
        retain_bytes: Purge the output subject behind all readers when its stream holds more.
        retain_source_bytes: The same for the input; for streams that no fold writes.
        register_s: How often the position is registered for the writer before us.
        durable_state: Keep the snapshots in JetStream and not in Redis, for state that reading
            the input again cannot rebuild; `Fold.since` is not asked then. See `durable.py`.
        chained: Every output carries a running hash over all outputs of its subject.
    """

    version: str = "1"
    batch: int = 1000
    max_bytes: int = 4 << 20
    snapshot_every_s: float = 1.0
    snapshot_prefix: str = ""
    keepalive_s: float = 60.0
    advance_s: float = 5.0
    publish_timeout_s: float = 2.0
    tick_s: float | None = None
    heartbeat_s: float = 1.0
    start: Literal["first", "next"] = "first"
    retain_bytes: int | None = None
    retain_source_bytes: int | None = None
    register_s: float = 2.0
    durable_state: bool = False
    chained: bool = False

    @property
    def reader(self) -> ReaderOptions:
        """The part that bounds the reader."""
        return ReaderOptions(self.batch, self.max_bytes, self.heartbeat_s)


@dataclass(slots=True)
class FoldStats:
    """Counters of one run.

    `own` counts retries that found the first try stored; `replayed` messages that only rebuilt the
    state; `snapshot` is the position of the snapshot that was used (0 = none); `opens` counts
    consumers made; `lag_messages` are stored but not yet received.
    """

    rows: int = 0
    commits: int = 0
    retries: int = 0
    own: int = 0
    replayed: int = 0
    snapshot: int = 0
    opens: int = 0
    position: int = 0
    lag_messages: int = 0


class FoldObserver(Protocol):
    """Hears what a fold does, for telemetry. Called on the hot path: must not wait or raise."""

    def committed(self, output: Output, duration_s: float) -> None:
        """An output was stored; `duration_s` from first publish to acknowledgement."""
        ...

    def answered(self, stored_ns: int) -> None:
        """An output of new input was stored; the broker had stored the oldest at `stored_ns`."""
        ...

    def retried(self) -> None:
        """A publish got no answer, or the output stream is full; it is tried again."""
        ...

    def reopened(self) -> None:
        """The consumer was lost and made anew."""
        ...

    def lagging(self, messages: int) -> None:
        """Messages stored but not yet received; told with every commit."""
        ...


class Unobserved:
    """The observer of a fold that nobody watches."""

    def committed(self, output: Output, duration_s: float) -> None:
        """Say nothing."""

    def answered(self, stored_ns: int) -> None:
        """Say nothing."""

    def retried(self) -> None:
        """Say nothing."""

    def reopened(self) -> None:
        """Say nothing."""

    def lagging(self, messages: int) -> None:
        """Say nothing."""
