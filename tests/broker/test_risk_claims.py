"""A restart opens no gap between pipelines that change the same: claims come back before any fold."""

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import actions, risk_process, risk_service, stored, until
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_proto.columns import Verdict, decode_verdicts, encode_decisions
from flyball_proto.spec import Pipeline
from flyball_risk.capacity.claims import Claims
from flyball_risk.judging.policy import policy_of
from flyball_risk.steering.resuming import take_up

pytestmark = pytest.mark.broker

TILT = {"action": "offload", "parameter": "tilt", "score_at_least": 0.5, "cooldown": "60s"}
NAMES = ("down", "up")


def named(name: str) -> Pipeline:
    made = pipeline(TILT)
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"name": name})})


async def apply(client: Client) -> None:
    for name in NAMES:
        subject = f"$KV.pipelines.pipeline.{name}"
        await client.jetstream().publish(subject, named(name).model_dump_json().encode())


async def feed(client: Client, name: str, *rows: Row, first: int = 1) -> None:
    data = encode_decisions(batch(rows, first=first))
    await client.jetstream().publish(f"decisions.{name}.0", data)


async def verdicts(client: Client, name: str) -> list[int]:
    found = [m for m in await stored(client, "VERDICTS") if m.data]
    mine = [decode_verdicts(m.data) for m in found if m.subject == f"verdicts.{name}.0"]
    return [v for batch in mine for v in batch.verdict.tolist()]


async def test_killed_behind_its_last_snapshot_risk_still_knows_who_changed_what(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    cells = [Row(f"cell-{i}", 1000 + i) for i in range(20)]
    async with risk_process(nats_url) as process:
        for i, row in enumerate(cells):  # many small outputs, the last ones behind any snapshot
            await feed(provisioned, "up", row, first=i + 1)

        async def all_sent() -> bool:
            return len(await actions(provisioned)) == len(cells)

        await until(all_sent)
        process.kill()
        await process.wait()
    claims = Claims()
    policies = [policy_of(named(name), 1) for name in NAMES]
    await take_up(provisioned.jetstream(), policies, 1, claims)
    held = [claims.holder("down", 50, r.element, "tilt", r.time_ms + 5_000) for r in cells]
    assert {claim.pipeline for claim in held if claim} == {"up"}
    assert None not in held
    await feed(provisioned, "down", *[Row(r.element, r.time_ms + 5_000) for r in cells], first=100)
    async with risk_service(nats_url):

        async def judged() -> bool:
            return len(await verdicts(provisioned, "down")) == len(cells)

        await until(judged)
    assert set(await verdicts(provisioned, "down")) == {Verdict.SUPERSEDED}
    assert len(await actions(provisioned)) == len(cells)
