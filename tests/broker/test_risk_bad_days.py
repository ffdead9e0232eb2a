"""Bad days of the risk service, against a real broker: what it judges when others are away or wrong.

Those about people stand in `test_risk_holds.py`, about clocks in `test_risk_clock.py`, about Redis in
`test_risk_leases.py`, about S3 in `test_gateway_archive.py`.
"""

import asyncio
import math
import signal
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import actions, risk_process, risk_service, stored, until
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_proto.columns import Category, Verdict, Verdicts, decode_verdicts, encode_decisions

pytestmark = pytest.mark.broker

SURE = 0.999


async def apply(client: Client, **risk: Any) -> None:
    rule = {"action": "offload", "score_at_least": 0.5, "cooldown": "5s", "severity": "low"}
    data = pipeline(rule, **risk).model_dump_json().encode()
    await client.jetstream().publish("$KV.pipelines.pipeline.congestion", data)


async def decide(client: Client, *rows: Row, first: int = 1) -> None:
    data = encode_decisions(batch(rows, first=first))
    await client.jetstream().publish("decisions.congestion.0", data)


async def judged(client: Client, rows: int) -> list[Verdicts]:
    async def found() -> list[Verdicts]:
        return [decode_verdicts(m.data) for m in await stored(client, "VERDICTS") if m.data]

    async def there() -> bool:
        return sum(len(one.rows) for one in await found()) >= rows

    await until(there)
    return await found()


def verdicts(found: list[Verdicts]) -> list[Verdict]:
    return [Verdict(v) for one in found for v in one.verdict.tolist()]


async def test_with_registry_redis_and_s3_away_and_no_calibration_decisions_are_judged_stricter(
    provisioned: Client, nats_url: str
) -> None:
    """Nothing but the broker is there. What would be cleared is told to an operator."""
    await apply(provisioned)
    async with risk_service(nats_url):
        await decide(provisioned, Row("cell-1", 0, SURE), Row("cell-2", 0, 0.1, None))
        found = await judged(provisioned, 2)
    assert verdicts(found) == [Verdict.NOTIFY, Verdict.CLEAR]
    assert "not proven" in found[0].reason[0]
    assert len(await actions(provisioned)) == 1


async def test_a_calibration_that_cannot_be_read_counts_as_none(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    await provisioned.jetstream().publish("$KV.calibration.congestion", b'{"version": 99}')
    async with risk_service(nats_url):
        await decide(provisioned, Row("cell-1", 0, SURE))
        found = await judged(provisioned, 1)
    assert verdicts(found) == [Verdict.NOTIFY]
    assert "not proven" in found[0].reason[0]


async def test_a_policy_that_denies_everything_denies_everything_and_says_why(
    provisioned: Client, nats_url: str
) -> None:
    never = {"name": "never", "when": "true", "verdict": "deny"}
    await apply(provisioned, boundaries=[never])
    async with risk_service(nats_url):
        await decide(provisioned, *(Row(f"cell-{i}", i, SURE) for i in range(200)))
        found = await judged(provisioned, 200)
    assert set(verdicts(found)) == {Verdict.DENY}
    assert all("boundary never applies" in reason for one in found for reason in one.reason)
    assert await actions(provisioned) == []


async def test_a_score_that_is_no_number_is_denied_and_critical(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    async with risk_service(nats_url):
        await decide(provisioned, Row("cell-1", 0, math.nan), Row("cell-2", 0, math.inf))
        (found,) = await judged(provisioned, 2)
    assert verdicts([found]) == [Verdict.DENY, Verdict.DENY]
    assert set(found.category.tolist()) == {Category.CRITICAL}
    assert await actions(provisioned) == []


async def test_a_decision_about_an_element_that_nobody_knows_is_judged_by_the_same_rules(
    provisioned: Client, nats_url: str
) -> None:
    """No labels, no history: groups and boundaries about labels count as reached, nothing breaks."""
    hospital = {"name": "care", "when": 'element.labels.zone == "hospital"', "verdict": "hold"}
    await apply(provisioned, boundaries=[hospital], budgets={"elements_per_label": {"site": 0.1}})
    async with risk_service(nats_url):
        await decide(provisioned, Row("never-seen-before", 0, SURE, site=""))
        (found,) = await judged(provisioned, 1)
    assert verdicts([found]) == [Verdict.HOLD], "a boundary that cannot be evaluated applies"
    assert "care" in found.reason[0]


async def test_killed_in_mid_batch_it_judges_the_rest_once(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned, budgets={"actions_per_minute": 1_000_000})
    first = asyncio.Event()

    async def on_verdict(_: Any) -> None:
        first.set()

    await provisioned.subscribe("verdicts.>", cb=on_verdict)
    async with risk_process(nats_url) as process:
        for i in range(40):
            rows = [Row(f"cell-{i}-{k}", 1000 * i, SURE) for k in range(50)]
            await decide(provisioned, *rows, first=1 + 50 * i)
        await first.wait()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with risk_process(nats_url):
        found = await judged(provisioned, 2000)

        async def sent() -> bool:
            return len(await actions(provisioned)) >= 2000

        await until(sent)
    sequences = [s for one in found for s in one.rows.sequence.tolist()]
    assert sequences == list(range(1, 2001))
    elements = [action.element for action in await actions(provisioned)]
    assert len(elements) == len(set(elements)) == 2000
