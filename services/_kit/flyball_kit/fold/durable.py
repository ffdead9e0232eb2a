"""Snapshots that are part of the promise: state that reading the input again cannot rebuild.

Some state depends on what was decided before, without end (a cool-down that began because no
earlier one was running). Such a fold keeps its snapshots in JetStream, and its commits name the
first input behind the last one stored, so that snapshot and input together always give the state.
"""

from nats.aio.client import Client
from nats.js.errors import APIError

from flyball_kit.errors import PermanentError
from flyball_kit.fold.broker import (
    UNANSWERED,
    UNAVAILABLE,
    WRONG_SEQUENCE,
    Stop,
    jetstream,
    last_message,
    patient,
    pause_until_connected,
)
from flyball_kit.fold.position import Position
from flyball_kit.fold.positions import BUCKET_STREAM
from flyball_kit.fold.snapshot import Snapshot
from flyball_proto.headers import EXPECT, POSITION
from flyball_proto.streams import POSITIONS


class StateTooLargeError(PermanentError):
    """A fold's state outgrew what one record may hold."""

    kind = "state-too-large"


class DurableSnapshots:
    """One record of the bucket `positions`, key `state.<stream>.<reader>`: the newest snapshot.

    Every snapshot is right for its own position, whoever wrote it; only going back would be wrong,
    so a save is a compare-and-set that gives way to a newer one.
    """

    def __init__(
        self, connection: Client, stream: str, reader: str, *, timeout_s: float, stop: Stop
    ) -> None:
        self._connection, self._timeout_s, self._stop = connection, timeout_s, stop
        self._js = jetstream(connection)
        self._subject = f"$KV.{POSITIONS.name}.state.{stream}.{reader}"
        self._revision = self._saved = 0

    async def load(self, epoch: str) -> Snapshot | None:
        """The newest snapshot; None when there is none of this input stream's life."""
        found = await patient(
            lambda: last_message(self._js, BUCKET_STREAM, self._subject), self._stop, self._subject
        )
        self._revision, self._saved = (found.seq or 0, 0) if found else (0, 0)
        if found is None or POSITION not in (found.headers or {}):  # deleted by hand
            return None
        position = Position.parse((found.headers or {})[POSITION])
        if position.epoch != epoch:
            return None
        self._saved = position.last
        return Snapshot(position.last, found.data or b"")

    async def save(self, snapshot: Snapshot, epoch: str) -> None:
        """Store a snapshot, however long that takes; a newer one that is there already stays.

        Raises:
            StateTooLargeError: when it exceeds the bucket's bound on a value.
        """
        if len(snapshot.state) > POSITIONS.max_value_bytes:
            raise StateTooLargeError(
                f"{self._subject}: the state has {len(snapshot.state)} bytes, at most "
                f"{POSITIONS.max_value_bytes} fit; use more partitions"
            )
        record = str(Position(0, snapshot.sequence, 0, 0, epoch))
        while not await self._put(snapshot.state, record):
            await self.load(epoch)
            if self._saved >= snapshot.sequence:
                return

    async def _put(self, state: bytes, record: str) -> bool:
        """Write until answered; False = somebody else wrote, or an earlier try of ours did."""
        headers = {EXPECT: str(self._revision), POSITION: record}
        while True:
            try:
                stored = await self._js.publish(
                    self._subject, state, headers=headers, timeout=self._timeout_s
                )
            except APIError as error:
                if error.err_code in WRONG_SEQUENCE:
                    return False
                if error.code != UNAVAILABLE:
                    raise
            except UNANSWERED:
                pass
            else:
                self._revision = stored.seq
                return True
            await pause_until_connected(self._connection, self._stop)
