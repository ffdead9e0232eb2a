"""Scoreboards in KV: written by compare-and-set, by one process alone."""

from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.fold.errors import Fenced
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto import streams
from flyball_registry.records.scoreboard import Scoreboard

RETRY_S = 0.2


class Boards:
    """The scoreboard of one pipeline, claimed at start and then held."""

    def __init__(self, records: Kv[Scoreboard], pipeline: str) -> None:
        self._records, self._pipeline = records, pipeline
        self._writer = clock.new_id()
        self._revision = 0

    async def load(self) -> Scoreboard | None:
        """What was saved last; `save` may follow.

        Raises:
            TransientError: the broker does not answer.
        """
        found, self._revision = await self._records.load(self._pipeline)
        return found

    async def save(self, board: Scoreboard) -> None:
        """Write, however long the broker takes to answer.

        Raises:
            Fenced: another process wrote the record since we did.
            PermanentError: the record is too large.
        """
        written = board.model_copy(update={"writer": self._writer})
        size, most = len(written.model_dump_json()), streams.SCOREBOARD.max_value_bytes
        if size > most:
            raise PermanentError(
                f"the scoreboard of {self._pipeline} holds {size} bytes; at most {most} are "
                "allowed: declare fewer promotion.slices or fewer trainers"
            )
        while True:
            try:
                self._revision = await self._records.save(
                    self._pipeline, written, revision=self._revision
                )
            except LostRaceError:
                if await self._is_ours(written):
                    return
                raise self._fenced() from None
            except TransientError:
                await clock.sleep(RETRY_S)  # perhaps it was written: the next try shows
            else:
                return

    async def _is_ours(self, written: Scoreboard) -> bool:
        """Whether a try that nobody answered was stored after all."""
        while True:
            try:
                found, revision = await self._records.load(self._pipeline)
            except TransientError:
                await clock.sleep(RETRY_S)
                continue
            if found == written:
                self._revision = revision
            return found == written

    def _fenced(self) -> Fenced:
        return Fenced(
            f"{streams.SCOREBOARD.name}/{self._pipeline}", self._revision, "one by another registry"
        )
