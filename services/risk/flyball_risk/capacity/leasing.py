"""The board on which partitions tell what they lack and what they cede: one hash a pipeline in Redis.

A round a second of the wall clock, beside the folds: what it finds becomes an order in band with the
decisions, so that a restart reads it again. Away, or a second late, it costs nothing but the loans,
which run out: every partition is left with its even share. See `leases` for why that is safe.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from redis.exceptions import RedisError

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_proto.leases import Post
from flyball_risk.capacity.allowances import Allowance
from flyball_risk.capacity.leases import View, plan, post_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("flyball.risk.leases")

EVERY_S: Final = 1.0
TIMEOUT_S: Final = 1.0
EXPIRES_S: Final = 600
"""The board of a pipeline that nobody judges any more disappears."""
PATIENCE_ROUNDS: Final = 5
"""How long an order may take to reach its fold until it is given again; given twice counts once."""

Order = Callable[[str, int, bytes], Awaitable[int]]
"""Store a message among a partition's decisions: `steering.stops.order_in_band`."""


@dataclass(slots=True)
class Part:
    """A partition as it stood when its last output began; `ordered` rounds ago it got an order."""

    view: View
    allowed: Allowance
    ordered: int = PATIENCE_ROUNDS


class Leasing:
    """Shares out the budgets of all pipelines of this process; start `forever` as a task.

    Bounds: a partition posts and holds `leases.MAX_LOANS` loans each way; a round waits
    `TIMEOUT_S` for Redis, and never makes a fold wait.
    """

    def __init__(self, redis: "Redis | None", prefix: str, order: Order) -> None:
        self._redis, self._prefix, self._order = redis, prefix, order
        self._parts: dict[str, dict[int, Part]] = {}
        self._is_away = False

    def see(self, pipeline: str, view: View, allowed: Allowance) -> None:
        """How a partition stands: everything up to here is stored."""
        parts = self._parts.setdefault(pipeline, {})
        part = parts.setdefault(allowed.partition, Part(view, allowed))
        if part.view.lease.revision != view.lease.revision:
            part.ordered = PATIENCE_ROUNDS
        part.view, part.allowed = view, allowed

    def forget(self, pipeline: str) -> None:
        """The pipeline is judged no more."""
        self._parts.pop(pipeline, None)

    def check(self) -> str | None:
        """For `Health`, as a note."""
        return "Redis does not answer: partitions keep to even shares" if self._is_away else None

    async def forever(self) -> None:
        """Share out, once a second; without Redis there is nothing to do."""
        if self._redis is None:
            return
        try:
            while True:
                await self.round()
                await clock.sleep(EVERY_S)
        finally:
            await self._redis.aclose()

    async def round(self) -> None:
        """Tell, read and order, once for every pipeline."""
        for pipeline in list(self._parts):
            mine = dict(self._parts.get(pipeline, {}))
            posts = await self._exchange(pipeline, mine)
            if posts is None:
                continue
            for partition, part in mine.items():
                await self._give_order(pipeline, partition, part, posts)

    async def _exchange(self, pipeline: str, mine: Mapping[int, Part]) -> list[Post] | None:
        """Put up our posts and read all; None = the board does not answer."""
        if self._redis is None:
            return None
        key = f"{self._prefix}lease:{pipeline}"
        posts: dict[Any, Any] = {
            i: post_of(p.view, p.allowed).model_dump_json() for i, p in mine.items()
        }
        try:
            async with asyncio.timeout(TIMEOUT_S), self._redis.pipeline() as transaction:
                transaction.hset(key, mapping=posts)
                transaction.expire(key, EXPIRES_S)
                transaction.hgetall(key)
                found = (await transaction.execute())[-1]
        except (RedisError, OSError, TimeoutError) as error:
            if not self._is_away:
                log.warning("partitions keep to even shares, Redis does not answer: %r", error)
            self._is_away = True
            return None
        if self._is_away:
            log.info("Redis answers again: partitions share what they do not need")
        self._is_away = False
        return [post for post in map(_read, found.values()) if post is not None]

    async def _give_order(
        self, pipeline: str, partition: int, part: Part, posts: list[Post]
    ) -> None:
        if part.ordered < PATIENCE_ROUNDS:
            part.ordered += 1
            return
        order = plan(part.view, part.allowed, posts)
        if order is None:
            return
        try:
            await self._order(pipeline, partition, order.model_dump_json().encode())
        except TransientError as error:
            log.warning("%s.%d: %s", pipeline, partition, error)
        else:
            part.ordered = 0


def _read(data: bytes) -> Post | None:
    """A post; None where another version wrote something else."""
    try:
        return Post.model_validate_json(data)
    except ValidationError:
        return None
