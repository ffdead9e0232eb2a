"""Snapshots in Redis: they save replay time and nothing else.

A snapshot is tagged with the position behind which it was taken and used only if the commit record
allows it. Without Redis (`None`), or while it is away, state is rebuilt by reading the input again.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 0.5
EXPIRES_S = 7 * 86_400
"""Snapshots of folds that no longer run disappear."""
TAG_BYTES = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after folding everything up to `sequence`."""

    sequence: int
    state: bytes


class Snapshots:
    """Reads and writes one key, best effort: a failure is logged and changes nothing."""

    def __init__(self, redis: "Redis | None", key: str) -> None:
        self._redis, self._key = redis, key
        self._saving: asyncio.Task[None] | None = None

    async def load(self) -> Snapshot | None:
        """The last snapshot, if there is one and Redis answers."""
        if self._redis is None:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                stored = await self._redis.get(self._key)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("snapshot %s not read: %r", self._key, error)
            return None
        if not isinstance(stored, bytes):  # absent
            return None
        return Snapshot(int.from_bytes(stored[:TAG_BYTES], "little"), stored[TAG_BYTES:])

    @property
    def is_wanted(self) -> bool:
        """Whether a snapshot would be written now: there is Redis, and no write is under way."""
        return self._redis is not None and (self._saving is None or self._saving.done())

    def save(self, snapshot: Snapshot) -> None:
        """Write in the background; only ever call it after the commit was acknowledged."""
        self._saving = asyncio.create_task(self._save(snapshot))

    async def settle(self) -> None:
        """Wait for the write under way."""
        if self._saving is not None:
            await self._saving

    async def _save(self, snapshot: Snapshot) -> None:
        if self._redis is None:
            return
        value = snapshot.sequence.to_bytes(TAG_BYTES, "little") + snapshot.state
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.set(self._key, value, ex=EXPIRES_S)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("snapshot %s not written: %r", self._key, error)
