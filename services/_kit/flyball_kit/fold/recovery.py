"""Where a fold goes on: behind its last commit, or at a first position when it never committed."""

from typing import Literal

from nats.js import JetStreamContext

from flyball_kit.fold.broker import Stop, check_identity, patient
from flyball_kit.fold.contract import Endpoint
from flyball_kit.fold.errors import OutputLost
from flyball_kit.fold.origin import origin
from flyball_kit.fold.position import Position
from flyball_kit.fold.positions import find
from flyball_kit.fold.snapshot import Snapshot


async def check_input(js: JetStreamContext, stream: str, position: Position, stop: Stop) -> None:
    """Whether the input is still the stream that the position belongs to.

    Raises:
        InputChanged: when it is not.
    """
    await patient(
        lambda: check_identity(
            js, stream, epoch=position.epoch, sequence=position.last, time_ns=position.time_ns
        ),
        stop,
        f"stream {stream}",
    )


async def first_position(
    js: JetStreamContext,
    source: Endpoint,
    *,
    epoch: str,
    start: Literal["first", "next"],
    stop: Stop,
) -> Position:
    """The position of a reader that has none yet."""
    before = await patient(lambda: origin(js, source, start), stop, f"stream {source.stream}")
    return Position(before, before, 0, 0, epoch)


async def check_never_committed(
    js: JetStreamContext,
    first: Position,
    *,
    reader: str,
    stream: str,
    snapshot: Snapshot | None,
    stop: Stop,
) -> None:
    """An output without a commit must belong to a fold that never ran.

    Raises:
        OutputLost: a snapshot beyond the first position, or a registered position, says otherwise.
    """
    known = await patient(lambda: find(js, stream, reader), stop, "the bucket of positions")
    has_run = known is not None and known.epoch == first.epoch
    if has_run or (snapshot is not None and snapshot.sequence > first.last):
        raise OutputLost(
            f"{reader}: its output has no commit, but a snapshot or a registered position says "
            "that it had. Restore the output stream; to start over, forget the registered position "
            "and delete the snapshot"
        )
