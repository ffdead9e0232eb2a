"""The one room that reads clocks and makes ids. Everything else takes them as values."""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, timezone-aware."""
    return datetime.now(UTC)


def wall_ms() -> int:
    """Milliseconds since 1970; may jump when the machine's clock is set."""
    return time.time_ns() // 1_000_000


def wall_ns() -> int:
    """Nanoseconds since 1970, as traces want them."""
    return time.time_ns()


def monotonic_s() -> float:
    """Seconds since some start; only differences mean something, and they never jump."""
    return time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait at the edge, where nothing announces the thing waited for."""
    await asyncio.sleep(seconds)


def new_id() -> str:
    """A random id of 32 hexadecimal digits."""
    return uuid.uuid4().hex
