"""The deployer is killed at every step of every transition and leaves the same behind."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.broker import chain
from tests.broker.deploying import Others

from flyball_proto import streams
from flyball_proto.commands import PinSeat, PromoteModel, RollBackSeat, UnpinSeat
from flyball_proto.deployments import ActiveModel, DeploymentActivated
from flyball_proto.events import Variant

pytestmark = pytest.mark.broker

PROCESS = Path(__file__).with_name("dying_deployer.py")
END_S = 20.0
FORGET_S = 0.1
"""The shortest that the broker takes, and shorter than a death and the next start."""

SMALLER = Variant(precision="int8", digest="v", size_bytes=1, difference=0.0, tolerance=0.01)
TOLD = [
    "activated seat-zero b1 1",
    "canary-moved a1 5 2",
    "person-asked a1 2",
    "canary-moved a1 25 3",
    "activated succession a1 4",
    "activated refresh a2 5",
    "canary-moved c1 5 6",
    "canary-moved c1 0 7",
    "activated rollback a1 8",
    "canary-moved c2 5 9",
    "activated rollback b1 10",
    "canary-moved c2 0 10",
    "person-asked b1 10",
    "activated promotion a3 11",
    "activated rollback b1 12",
    "deployer middle 9",
    "deployer last 10",
]
"""What `every_transition` has to be told as."""


@asynccontextmanager
async def deployer(nats_url: str, deaths: str, log: Path) -> AsyncIterator[None]:
    """The service as a process; told to stop it has to drain and end cleanly."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    with log.open("w") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROCESS),
            deaths,
            env=bare | {"FLYBALL_NATS_URL": nats_url},
            stderr=file,
            start_new_session=True,
        )
        try:
            yield
            process.terminate()
            assert await asyncio.wait_for(process.wait(), END_S) == 0, log.read_text()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, 9)
                await process.wait()


async def every_transition(client: Client, others: Others) -> int:
    """Lead a deployment through every kind of transition; how many events that took.

    What comes by different consumers comes one after the other: a death in one handler would hide
    that another was under way.
    """
    tell = others.tell
    await others.apply(promotion={"canary": [5, 25, 100]})
    await others.admit("a1", "a2", "c1", "c2", tell=False)
    await others.admit("a3", tell=False, variants=(SMALLER,))
    await others.admit("b1")  # seat zero, epoch 1
    await handled(client, "deployer-admitted")
    await tell(others.superior("a1", "baseline"))  # canary, epoch 2
    await tell(others.looked("a1", "inconclusive", 2))  # a person is asked
    await tell(others.looked("a1", "pass", 2))  # epoch 3
    await tell(others.looked("a1", "pass", 3))  # succession, epoch 4
    await tell(others.refreshed("a2", "a1"))  # epoch 5
    await tell(others.superior("c1", "recent"))  # canary, epoch 6
    await tell(others.looked("c1", "fail", 6))  # it ends, epoch 7
    await tell(others.refused("a3"))
    await tell(others.degraded("a2", "retrain"))
    await tell(others.degraded("a2"))  # rollback, epoch 8
    await tell(others.superior("c2", "recent"))  # canary, epoch 9
    await handled(client, "deployer-judged")
    await others.settle("middle")
    await handled(client, "deployer-settled")
    await others.trip("a1")  # second rollback: epoch 10, frozen, canary ends, a person is asked
    await handled(client, "deployer-tripped")
    await tell(others.superior("c2", "baseline"))  # frozen
    await handled(client, "deployer-judged")
    await others.settle("last")
    await handled(client, "deployer-settled")
    assert [(await others.answer(nth)).epoch for nth in (1, 2)] == [9, 10]
    await every_order(others)
    return others.number + 4


async def every_order(others: Others) -> None:
    """What people may ask for; on a fleet that runs nothing but a small form of the model."""
    who = {"pipeline": others.pipeline, "by": "ann", "why": "storm"}
    await others.run("edge", precisions=("int8",))
    await others.order("promote", PromoteModel(digest="a3", **who))  # epoch 11, no longer frozen
    assert (await others.record()).precision == "int8"
    await others.order("pin", PinSeat(**who))
    await others.order("unpin", UnpinSeat(**who))
    await others.order("rollback", RollBackSeat(**who))  # epoch 12


async def handled(client: Client, durable: str) -> None:
    """Wait until the service has begun to follow, and has done with every event so far."""
    async with asyncio.timeout(chain.WAIT_S):
        while True:
            with suppress(NotFoundError):
                return await chain.settled(client, durable)


async def history(client: Client, pipeline: str) -> list[dict[str, Any]]:
    """Every revision of the deployment, without times and names."""
    stored = await messages(client, f"KV_{streams.DEPLOYMENTS.name}", f"$KV.deployments.{pipeline}")
    records = [ActiveModel.model_validate_json(data) for _, data in stored]
    return [
        record.model_dump(
            exclude={"since": True, "canary": {"since"}, "pinned": {"at"}}
            | {kind: {"at", "pipeline"} for kind in ("activated", "canary_moved", "person_asked")}
        )
        for record in records
    ]


async def announced(client: Client, pipeline: str) -> list[str]:
    """Every announcement, in order, and then every answer, in short."""
    found = []
    for pattern in ("deployment.{}.*", "runtime.{}.settled.deployer"):
        for subject, data in await messages(client, streams.EVENTS.name, pattern.format(pipeline)):
            told = json.loads(data)
            words = (told.get(key) for key in ("change", "digest", "percent", "mark", "epoch"))
            what = subject.rsplit(".", 1)[1]
            found.append(" ".join([what, *(str(word) for word in words if word is not None)]))
    return found


async def messages(client: Client, stream: str, subject: str) -> list[tuple[str, bytes]]:
    js, found, after = client.jetstream(), [], 1
    while True:
        try:
            message = await js.get_msg(stream, seq=after, subject=subject, next=True)
        except NotFoundError:
            return found
        found.append((message.subject or "", message.data or b""))
        after = (message.seq or 0) + 1


async def prepare(client: Client) -> None:
    """Keep all revisions, and forget message ids at once: only what is stored prevents doubles."""
    js = client.jetstream()
    kept = (await js.stream_info(f"KV_{streams.DEPLOYMENTS.name}")).config
    kept.max_msgs_per_subject = 64
    await js.update_stream(kept)
    events = (await js.stream_info(streams.EVENTS.name)).config
    events.duplicate_window = FORGET_S
    await js.update_stream(events)


async def test_killed_at_every_step_of_every_transition_it_loses_and_doubles_none(
    provisioned: Client, nats_url: str, unique: str, tmp_path: Path
) -> None:
    calm, killed, deaths = f"{unique}a", f"{unique}b", tmp_path / "deaths"
    await prepare(provisioned)
    async with deployer(nats_url, "-", tmp_path / "calm.log"):
        events = await every_transition(provisioned, Others(provisioned, calm))
    async with deployer(nats_url, str(deaths), tmp_path / "killed.log"):
        await every_transition(provisioned, Others(provisioned, killed))
        await chain.event(provisioned, DeploymentActivated, killed, nth=7)

    found = await history(provisioned, killed)
    assert found == await history(provisioned, calm)
    assert await announced(provisioned, calm) == TOLD
    assert await announced(provisioned, killed) == TOLD
    died = Counter(" ".join(line.split()[:2]) for line in deaths.read_text().splitlines())
    died.pop("after ack")  # not always seen: the next event may come first
    assert died == {
        "before move": len(found),
        "after move": len(found),
        "before tell": len(TOLD),
        "after tell": len(TOLD),
        "before ack": events,
    }
