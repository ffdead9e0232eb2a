"""A partition's breaker opens that of the others, everything of it is recorded once, a person resets it."""

from math import nan

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import risk_service, stored, until
from tests.broker.test_risk_holds import RISKY, acts, events
from tests.broker.test_risk_stop import judged
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_proto.breakers import (
    BreakerOrder,
    BreakerRecord,
    BreakerReply,
    BreakerTurned,
    ResetBreaker,
)
from flyball_proto.columns import Verdict, encode_decisions
from flyball_risk.app import build
from flyball_risk.settings import Settings

pytestmark = pytest.mark.broker
WINDOW_MS = 1000
N = 20


async def feed(client: Client, window: int, partition: int = 0, score: float = 0.999) -> None:
    rows = [Row(f"cell-{i}", (window + 1) * WINDOW_MS, score) for i in range(N)]
    data = encode_decisions(batch(rows, first=1 + N * window))
    await client.jetstream().publish(f"decisions.congestion.{partition}", data)


async def breakers(client: Client) -> dict[str, BreakerRecord]:
    found = await stored(client, "KV_breakers")
    return {
        m.subject.removeprefix("$KV.breakers."): BreakerRecord.model_validate_json(m.data)
        for m in found
    }


async def until_all(client: Client, state: str) -> None:
    async def there() -> bool:
        found = await breakers(client)
        return len(found) == 2 and {r.state for r in found.values()} == {state}

    await until(there)


async def reset(client: Client) -> BreakerReply:
    command = ResetBreaker(pipeline="congestion", by="ana", why="a new model")
    data = command.model_dump_json().encode()
    reply = await client.request("cmd.risk.reset-breaker", data, timeout=20)
    return BreakerReply.model_validate_json(reply.data)


async def test_one_partition_opens_all_it_outlives_a_restart_and_a_person_resets_it(
    provisioned: Client, nats_url: str
) -> None:
    given = pipeline(
        RISKY,
        breaker={"window": "1s", "least": 10, "retry_after": "1h"},
        budgets={"actions_per_minute": 1_000_000},
    )
    js = provisioned.jetstream()
    await js.publish("$KV.pipelines.pipeline.congestion", given.model_dump_json().encode())
    settings = Settings(nats_url=nats_url, partitions=2)
    app = build(settings)
    await app.start()
    try:
        for window in range(8):
            await feed(provisioned, window)
        await feed(provisioned, 8, score=nan)
        await feed(provisioned, 9)
        await until_all(provisioned, "open")
    finally:
        await app.stop()
    found = await breakers(provisioned)
    assert [(r.by, r.number) for r in (found["congestion.0"], found["congestion.1"])] == [
        ("", 1),
        ("partition 0", 1),
    ]
    assert "100% of 20 proposals are denied" in found["congestion.1"].reason
    app = build(settings)
    await app.start()
    try:
        await feed(provisioned, 10)
        await feed(provisioned, 0, partition=1)

        async def advised() -> bool:
            last = [v for v in await judged(provisioned) if len(v.rows)][-2:]
            return all(set(v.verdict.tolist()) == {Verdict.ADVISE} for v in last)

        await until(advised)
        assert (await reset(provisioned)).changed
        assert {r.state for r in (await breakers(provisioned)).values()} == {"closed"}
        assert not (await reset(provisioned)).changed
        await feed(provisioned, 11)

        async def judged_as_ever() -> bool:
            last = [v for v in await judged(provisioned) if len(v.rows)][-1]
            return Verdict.ADVISE not in last.verdict.tolist()

        await until(judged_as_ever)
    finally:
        await app.stop()
    told = [
        BreakerTurned.model_validate_json(e) for e in await events(provisioned, "breaker-turned")
    ]
    turns = [(e.breaker.partition, e.breaker.state, e.breaker.by) for e in told]
    assert [turns[0], *sorted(turns[1:])] == [
        (0, "open", ""),
        (0, "closed", "ana"),
        (1, "closed", "ana"),
    ]
    orders = [
        m
        for m in await stored(provisioned, "DECISIONS")
        if m.subject == "decisions.congestion.1.answers"
    ]
    assert [BreakerOrder.model_validate_json(m.data).state for m in orders] == [
        "open",
        "closed",
        "closed",
    ]
    assert await acts(provisioned) == [("reset-breaker", "pipeline congestion", "ana", "done")] * 2


async def test_the_breaker_of_a_pipeline_that_nobody_applied_cannot_be_reset(
    provisioned: Client, nats_url: str
) -> None:
    async with risk_service(nats_url):
        reply = await reset(provisioned)
    assert reply.error is not None
    assert reply.error.kind == "not-found"
