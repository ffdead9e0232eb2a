"""Acts are one chain a service: never forked, never doubled, without a gap; and vouched for."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nkeys
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from tests.chaos.foldlab.lab import Lab, dial, lab
from tests.chaos.foldlab.proxy import Proxy

from flyball_kit import acts as acts_module
from flyball_kit import checkpoints as checkpoints_module
from flyball_kit.acts import Acts
from flyball_kit.checkpoints import Checkpoints
from flyball_kit.errors import TransientError
from flyball_kit.signing import verify
from flyball_proto.acts import Act
from flyball_proto.chains import Head, act_hash, beginning

pytestmark = pytest.mark.broker


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        await made.js.add_stream(StreamConfig(name="AUDIT", subjects=["audit.>"]))
        yield made


@asynccontextmanager
async def closing(client: Client) -> AsyncIterator[Client]:
    try:
        yield client
    finally:
        await client.close()


async def stored(bench: Lab) -> list[dict[str, Any]]:
    return [json.loads(m.data or b"") for m in await bench.messages("audit.risk", "AUDIT")]


def check(found: list[dict[str, Any]]) -> None:
    """Numbers without gaps, each hash right and named by the next."""
    before = beginning("audit.risk")
    for act in found:
        assert act["link"]["number"] == before.number + 1
        assert act["link"]["previous"] == before.hash
        assert act["link"]["hash"] == act_hash(act)
        place = Act.model_validate(act).link
        assert place is not None
        before = place.place


def of(client: Client) -> Acts:
    return Acts(lambda: client, "risk")


async def test_each_act_carries_the_hash_of_the_one_before(bench: Lab) -> None:
    first = of(bench.client)
    await first.record("stop", "pipeline a", by="ann", why="storm")
    await first.record("resume", "pipeline a", by="ann", outcome="refused", detail="still ü")
    await of(bench.client).record("stop", "pipeline b", by="bob")  # a writer that starts
    found = await stored(bench)
    assert [act["verb"] for act in found] == ["stop", "resume", "stop"]
    check(found)


async def test_two_instances_that_write_at_once_do_not_fork_the_chain(bench: Lab) -> None:
    async with closing(await dial(bench.url, "other")) as other:
        rivals = [of(bench.client), of(bench.client), of(other)]
        writing = (
            rival.record("stop", f"pipeline {n}-{i}", by="ann")
            for n in range(10)
            for i, rival in enumerate(rivals)
        )
        await asyncio.gather(*writing)
    found = await stored(bench)
    assert len({act["object"] for act in found}) == len(found) == 30
    check(found)


async def test_an_act_whose_reply_was_lost_is_found_again_and_not_doubled(
    bench: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts_module, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(acts_module, "TRY_S", 0.3)
    async with Proxy(bench.engine.port) as proxy, closing(await dial(proxy.url, "risk")) as client:
        acts = of(client)
        await acts.record("apply", "pipeline a", by="ann")
        proxy.swallow = True
        with pytest.raises(TransientError):
            await acts.record("stop", "pipeline a", by="ann", why="storm")
        proxy.cut()
        proxy.swallow = False
        monkeypatch.setattr(acts_module, "TIMEOUT_S", 20.0)
        await acts.record("stop", "pipeline a", by="ann", why="storm")
        await acts.record("resume", "pipeline a", by="ann")
    found = await stored(bench)
    assert [act["verb"] for act in found] == ["apply", "stop", "resume"]
    check(found)


async def test_while_the_broker_is_away_nothing_is_recorded_and_no_number_is_lost(
    bench: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts_module, "TIMEOUT_S", 0.5)
    acts = of(bench.client)
    await acts.record("apply", "pipeline a", by="ann")
    bench.engine.kill()
    started = asyncio.get_running_loop().time()
    asked = (acts.record("stop", f"pipeline {i}", by="ann") for i in range(20))
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in told} == {TransientError}
    assert "audit.risk is not stored" in str(told[0])
    assert asyncio.get_running_loop().time() - started < 5.0  # they wait together
    await asyncio.to_thread(bench.engine.start)
    await bench.until(lambda: bench.client.is_connected, "the connection")
    monkeypatch.setattr(acts_module, "TIMEOUT_S", 10.0)
    await acts.record("resume", "pipeline a", by="ann")
    found = await stored(bench)
    check(found)
    assert found[-1]["verb"] == "resume"


async def test_acts_from_before_there_was_a_chain_stand_in_front_of_it(bench: Lab) -> None:
    old = {"service": "risk", "verb": "stop", "object": "pipeline a", "by": "ann"}
    await bench.js.publish("audit.risk", json.dumps(old).encode())
    await of(bench.client).record("resume", "pipeline a", by="ann")
    check((await stored(bench))[1:])


async def test_a_checkpoint_is_signed_and_names_how_far_every_chain_reached(
    bench: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "EVERY_ENTRIES", 3)
    seed = tmp_path / "risk.nk"
    seed.write_bytes(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER))
    numbers = [5]

    def heads() -> list[Head]:
        place = beginning("verdicts.a.0")
        return [
            Head(
                stream="VERDICTS",
                subject="verdicts.a.0",
                number=numbers[0],
                sequence=9,
                hash=place.hash,
            )
        ]

    acts = of(bench.client)
    vouching = Checkpoints(acts, seed, heads)
    await acts.record("stop", "pipeline a", by="ann")
    assert not await vouching.once(0.0)
    numbers[0] = 8
    assert await vouching.once(0.0)
    assert not await vouching.once(1e9)  # nothing was written but the checkpoint itself
    await acts.record("resume", "pipeline a", by="ann")
    assert await vouching.once(1e9)
    found = [Act.model_validate(act) for act in await stored(bench)]
    assert [act.verb for act in found] == ["stop", "checkpoint", "resume", "checkpoint"]
    first, second = found[1].checkpoint, found[3].checkpoint
    assert first is not None
    assert first.signature is not None
    assert second is not None
    assert [(h.subject, h.number) for h in first.heads] == [("audit.risk", 1), ("verdicts.a.0", 8)]
    assert [(h.subject, h.number) for h in second.heads] == [("audit.risk", 3)]
    verify(first.signed(), first.signature, [first.signature.key])
    check(await stored(bench))
