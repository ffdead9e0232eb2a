"""One stage of the chain as a process of its own, with faults from within.

    python -m tests.chaos.foldlab.stage '<StageSpec as JSON>'

It may kill itself between sending and acknowledgement, and around a snapshot; it may lose messages
between the broker and the reader; it may be a damaged variant. Exits as services do.
"""

import asyncio
import json
import logging
import os
import random
import signal
import sys
from dataclasses import dataclass
from typing import Any

import uvloop
from nats.aio.msg import Msg
from redis.asyncio import Redis
from tests.chaos.foldlab.damage import VARIANTS
from tests.chaos.foldlab.lab import FAST, dial
from tests.chaos.foldlab.sums import RollingSum

from flyball_kit.fold import (
    EXIT_FENCED,
    EXIT_INPUT,
    Endpoint,
    Fenced,
    FoldRunner,
    InputChanged,
    InputLost,
    OutputLost,
)
from flyball_kit.fold.output import OutputSubject
from flyball_kit.fold.reader import Reader
from flyball_kit.fold.snapshot import Snapshots

SELF_KILL_WITHIN_S = 0.002


@dataclass(frozen=True)
class StageSpec:
    name: str
    url: str
    out_url: str
    source: tuple[str, str]
    target: tuple[str, str]
    redis_url: str
    self_kill: float = 0.0
    drop: float = 0.0
    damage: str = ""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_myself_at_times(share: float) -> None:
    """Die between "sent" and "acknowledged", just before a snapshot and just after it."""
    commit, save = OutputSubject.commit, Snapshots._save

    async def deadly_commit(self: Any, *given: Any) -> None:
        if random.random() < share:
            asyncio.get_running_loop().call_later(random.random() * SELF_KILL_WITHIN_S, die)
        await commit(self, *given)

    async def deadly_save(self: Any, snapshot: Any) -> None:
        if random.random() < share:
            die()
        await save(self, snapshot)
        if random.random() < share:
            die()

    OutputSubject.commit = deadly_commit  # type: ignore[method-assign]
    Snapshots._save = deadly_save  # type: ignore[method-assign]


def lose_messages_at_times(share: float) -> None:
    """Lose messages between broker and reader, as a client at its pending limit does."""
    on_message = Reader._on_message

    async def forgetful(self: Any, generation: int, message: Msg) -> None:
        if not message.reply or random.random() >= share:
            await on_message(self, generation, message)

    Reader._on_message = forgetful  # type: ignore[method-assign]


async def main(spec: StageSpec) -> int:
    VARIANTS[spec.damage]()
    lose_messages_at_times(spec.drop)
    kill_myself_at_times(spec.self_kill)

    async def connect(name: str) -> Any:
        return await dial(spec.out_url if name.endswith("-out") else spec.url, name)

    stage = FoldRunner(
        spec.name,
        connect=connect,
        source=Endpoint(*spec.source),
        target=Endpoint(*spec.target),
        fold=RollingSum,
        options=FAST,
        redis=Redis.from_url(spec.redis_url, socket_connect_timeout=0.5, socket_timeout=0.5),
    )
    try:
        await stage.run()
    except Fenced as error:
        print(f"FENCED {spec.name}: {error}", flush=True)
        return EXIT_FENCED
    except (InputLost, InputChanged, OutputLost) as error:
        print(f"{type(error).__name__} {spec.name}: {error}", flush=True)
        return EXIT_INPUT
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    given = json.loads(sys.argv[1])
    given["source"], given["target"] = tuple(given["source"]), tuple(given["target"])
    os._exit(uvloop.run(main(StageSpec(**given))))
