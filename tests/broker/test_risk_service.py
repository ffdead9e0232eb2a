"""The service as a process: killed, frozen, and still every action goes out once."""

import asyncio
import signal
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import PATIENCE_S, actions, risk_process, stored, until
from tests.unit.risk_rows import Row, batch, judged, pipeline, readable

from flyball_kit.fold import EXIT_FENCED
from flyball_proto.columns import DISPATCHED, Verdict, decode_verdicts, encode_decisions
from flyball_proto.events import Action
from flyball_proto.headers import KEY
from flyball_risk.judging.policy import policy_of

pytestmark = pytest.mark.broker

PIPELINE = pipeline(
    {"action": "offload", "score_at_least": 0.5, "cooldown": "5s"},
    budgets={"actions_per_minute": 60},
    control_share=0.2,
)


async def apply(client: Client) -> int:
    js = client.jetstream()
    stored = await js.publish(
        "$KV.pipelines.pipeline.congestion", PIPELINE.model_dump_json().encode()
    )
    return stored.seq


def rows_of(start: int, count: int) -> list[Row]:
    numbers = range(start, start + count)
    return [Row(f"cell-{i % 7}", i * 211, 0.9 if i % 3 else 0.2) for i in numbers]


async def feed(client: Client, start: int, count: int, each: int = 5) -> None:
    for first in range(start, start + count, each):
        data = encode_decisions(batch(rows_of(first, each), first=first + 1))
        await client.jetstream().publish("decisions.congestion.0", data)


async def verdicts(client: Client) -> list[tuple[Any, ...]]:
    messages = await stored(client, "VERDICTS")
    return [r for m in messages if m.data for r in readable(decode_verdicts(m.data))]


async def until_rows(client: Client, count: int) -> None:
    async def there() -> bool:
        return len(await verdicts(client)) >= count

    await until(there)


def expected(count: int, revision: int) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Verdict rows of an undisturbed run, and the decisions whose actions go out."""
    found = readable(judged(rows_of(0, count), policy_of(PIPELINE, revision), learns=True))
    return found, [f"congestion.{r[1]}.0" for r in found if r[5] in DISPATCHED and r[3]]


async def assert_exact(client: Client, rows: int, revision: int) -> None:
    all_rows, dispatched = expected(rows, revision)

    async def all_sent() -> bool:
        return len(await actions(client)) >= len(dispatched)

    await until(all_sent)
    assert await verdicts(client) == all_rows
    assert sorted(a.decision for a in await actions(client)) == sorted(dispatched)
    for message in await stored(client, "ACTIONS"):
        action = Action.model_validate_json(message.data)
        assert message.subject == f"actions.congestion.{action.element}"
        committed, index = map(int, message.headers[KEY].split())
        batch = decode_verdicts((await client.jetstream().get_msg("VERDICTS", committed)).data)
        row = batch.rows.sequence[index], batch.rows.sample[index]
        assert action.decision == f"congestion.{row[0]}.{row[1]}"


async def test_killed_again_and_again_it_judges_and_dispatches_each_row_once(
    provisioned: Client, nats_url: str
) -> None:
    revision, fed = await apply(provisioned), 0
    for _ in range(4):
        async with risk_process(nats_url) as process:
            await feed(provisioned, fed, 100)
            fed += 100
            await until_rows(provisioned, fed - 60)
            process.kill()
            await process.wait()
    async with risk_process(nats_url) as process:
        await feed(provisioned, fed, 50)
        fed += 50
        await until_rows(provisioned, fed)
        await assert_exact(provisioned, fed, revision)
        assert {r[5] for r in await verdicts(provisioned)} >= {Verdict.NOTIFY, Verdict.WITHHOLD}
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def test_a_zombie_is_fenced_and_leaves_no_action_behind(
    provisioned: Client, nats_url: str
) -> None:
    revision = await apply(provisioned)
    async with risk_process(nats_url) as zombie:
        await feed(provisioned, 0, 100)
        await until_rows(provisioned, 100)
        zombie.send_signal(signal.SIGSTOP)
        await feed(provisioned, 100, 50)
        async with risk_process(nats_url):
            await until_rows(provisioned, 150)
            zombie.send_signal(signal.SIGCONT)
            await feed(provisioned, 150, 50)
            assert await asyncio.wait_for(zombie.wait(), PATIENCE_S) == EXIT_FENCED
            await until_rows(provisioned, 200)
            await assert_exact(provisioned, 200, revision)


async def test_a_boundary_and_a_new_policy_hold_from_the_next_batch_on(
    provisioned: Client, nats_url: str
) -> None:
    first = await apply(provisioned)
    changed = pipeline(boundaries=[{"name": "all", "when": "true", "verdict": "deny"}])
    async with risk_process(nats_url):
        await feed(provisioned, 0, 5)
        await until_rows(provisioned, 5)
        data = changed.model_dump_json().encode()
        again = await provisioned.jetstream().publish("$KV.pipelines.pipeline.congestion", data)
        seen: dict[int, set[int]] = {}
        fed = 5
        while again.seq not in seen:
            await feed(provisioned, fed, 5)
            fed += 5
            await until_rows(provisioned, fed)
            for message in await stored(provisioned, "VERDICTS"):
                if message.data:
                    found = decode_verdicts(message.data)
                    proposing = found.verdict[found.action_index > 0].tolist()
                    seen.setdefault(found.flow.revisions["policy"], set()).update(proposing)
    assert set(seen) == {first, again.seq}
    assert seen[again.seq] == {5}
    assert 5 not in seen[first]
