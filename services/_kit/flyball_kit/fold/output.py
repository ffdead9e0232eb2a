"""The one subject that a fold writes: every publish is a compare-and-set on it."""

import logging

from nats.aio.client import Client
from nats.js.errors import APIError

from flyball_kit.clock import monotonic_s
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
from flyball_kit.fold.contract import Endpoint, FoldObserver, FoldStats, Output
from flyball_kit.fold.errors import Fenced, OutputLost
from flyball_kit.fold.position import Commit, Position, is_same_record, record
from flyball_proto.chains import Head, Place, beginning
from flyball_proto.headers import CHAIN, MARK, MEMO, POSITION

log = logging.getLogger(__name__)

KV_OPERATION = "KV-Operation"


class OutputSubject:
    """Commits outputs and their position together, and finds out who else does.

    `sequence` is that of the last commit: what the next one expects to find. Where outputs are
    `chained`, each carries its place in the chain (`flyball_proto.chains`), which empty commits
    repeat: it is read back with the last commit, so a crash neither breaks nor doubles it. An output
    stored before there was a chain is no part of it.
    """

    def __init__(  # noqa: PLR0913 - wiring, by name
        self,
        connection: Client,
        target: Endpoint,
        *,
        owner: str,
        timeout_s: float,
        stop: Stop,
        stats: FoldStats,
        observer: FoldObserver,
        chained: bool = False,
    ) -> None:
        self._place: Place | None = beginning(target.subject) if chained else None
        self._connection, self._target, self._owner = connection, target, owner
        self._js = jetstream(connection)
        self._timeout_s, self._stop, self._stats, self._observer = timeout_s, stop, stats, observer
        self.sequence = 0

    @property
    def head(self) -> Head | None:
        """How far the chain reached; None where outputs are not chained."""
        if self._place is None:
            return None
        return Head(
            stream=self._target.stream,
            subject=self._target.subject,
            number=self._place.number,
            sequence=self.sequence,
            hash=self._place.hash,
        )

    async def last(self) -> Commit | None:
        """Read the newest commit and expect it from now on; None when there is none.

        Raises:
            OutputLost: the newest message is not a commit.
        """
        stream, subject = self._target.stream, self._target.subject
        message = await patient(
            lambda: last_message(self._js, stream, subject), self._stop, f"{stream} {subject}"
        )
        self.sequence = message.seq or 0 if message else 0
        headers = (message.headers if message else None) or {}
        if message is None or KV_OPERATION in headers:  # a deleted key of a bucket
            return None
        try:
            position = Position.parse(headers.get(POSITION, ""))
            place = Place.parse(headers[CHAIN]) if CHAIN in headers else None
        except ValueError as error:
            raise OutputLost(
                f"{subject}: message {self.sequence} was not written by a fold ({error}). Find its "
                "writer, then delete that message"
            ) from error
        if self._place is not None:
            self._place = place or beginning(subject)
        return Commit(self.sequence, position, headers.get(MARK), headers.get(MEMO), place)

    async def commit(
        self, output: Output, position: Position, mark: str | None, memo: str | None = None
    ) -> None:
        """Store an output together with its position; returns when both are stored.

        An unknown outcome sends the same bytes with the same expectation again. A full output
        stream is waited for.

        Raises:
            Fenced: another instance has written meanwhile.
            OutputLost: the last commit is gone.
            Stopped: while waiting to try again; then the outcome is unknown.
        """
        place = self._place
        if place is not None and output.data:
            place = place.then(output.data)
        kept = record(position, self._owner, self.sequence, mark, memo, place)
        mine = {**output.headers, **kept}
        started_s = monotonic_s()
        while not await self._publish(output.data, mine):
            self._stats.retries += 1
            self._observer.retried()
            await pause_until_connected(self._connection, self._stop)
        self._place = place
        self._stats.commits += 1
        self._observer.committed(output, monotonic_s() - started_s)

    async def _publish(self, data: bytes, mine: dict[str, str]) -> bool:
        """Try once; False = try again."""
        try:
            acknowledged = await self._js.publish(
                self._target.subject, data, headers=mine, timeout=self._timeout_s
            )
        except APIError as error:
            if error.err_code in WRONG_SEQUENCE:
                await self._on_wrong_sequence(mine)
                return True
            if error.code != UNAVAILABLE:
                raise
            log.info("%s: %s, trying again", self._target.subject, error.description)
        except UNANSWERED as error:
            log.info("%s: no acknowledgement (%r), trying again", self._target.subject, error)
        else:
            self.sequence = acknowledged.seq
            return True
        return False

    async def _on_wrong_sequence(self, mine: dict[str, str]) -> None:
        """Go on if the newest commit is an earlier try of mine; end otherwise.

        Adopting its sequence and publishing again would double rows (tested: that variant does).
        """
        stream, subject = self._target.stream, self._target.subject
        found = await patient(
            lambda: last_message(self._js, stream, subject), self._stop, f"{stream} {subject}"
        )
        if found is None:
            raise OutputLost(
                f"{subject}: the last commit {self.sequence} is gone. Restore {stream}, or remove "
                "this fold's snapshot and registered position to start over"
            )
        if not is_same_record(found.headers, mine):
            raise Fenced(subject, self.sequence, f"{found.seq} with {found.headers}")
        self.sequence = found.seq or 0
        self._stats.own += 1
