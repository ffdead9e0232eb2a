"""People over HTTP, a gateway and risk, with the real permissions: who comes and goes counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from tests.broker import gateway_world
from tests.broker.gateway_world import World, ask, token
from tests.broker.risk_world import actions, until
from tests.broker.test_risk_holds import SCORE, feed, until_held
from tests.broker.test_risk_people import apply
from tests.unit.review_rows import SOURCE
from tests.unit.risk_rows import Row
from tests.unit.test_risk_people import hold

from flyball_gateway.asking import Asking
from flyball_gateway.identity.access import Person
from flyball_local.embedded import ports
from flyball_proto.commands import HoldReply, RevokeAccess, RevokeReply, WithdrawReply
from flyball_risk.app import build
from flyball_risk.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("gateway-http")]


@asynccontextmanager
async def risk(world: World) -> AsyncIterator[None]:
    seed = world.credentials.seed_file("risk")
    app = build(Settings(nats_url=world.engine.url, nats_seed_file=seed))
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def held(client: Client, *elements: str, first: int = 1, count: int) -> None:
    await feed(client, *(Row(e, 1000, SCORE, site="s1") for e in elements), first=first)
    await until_held(client, count)


async def test_who_loses_access_approves_nothing_more_and_what_they_approved_counts_no_longer(
    tmp_path: Path,
) -> None:
    world = await gateway_world.made(tmp_path, ports.free_port())
    client = await world.connect()
    data = SOURCE.model_dump_json().encode()
    await client.jetstream().publish("$KV.pipelines.source.ran", data)
    await apply(client, hold={"expires": "120s", "approvals": 2})
    try:
        async with (
            gateway_world.gateway(world),
            risk(world),
            httpx.AsyncClient(base_url=world.url, timeout=30) as http,
        ):
            await held(client, "a", count=1)
            ana, ben, cid = [
                await token(client, "approver", name) for name in ("ana", "ben", "cid")
            ]
            path = "/v1/holds/congestion.1.0"
            noted = await http.post(f"{path}/approve", json={"code": "agree"}, headers=ana)
            assert (noted.status_code, noted.json()["agreed_by"]) == (200, ["ana"])
            body = RevokeAccess(name="ana", by="root")
            revoked = await ask(client, "revoke", body, RevokeReply)
            assert (revoked.ended, revoked.withdrawn, revoked.detail) == (
                1,
                ("congestion.1.0",),
                "",
            )
            gone = await http.post(f"{path}/approve", json={}, headers=ana)
            assert (gone.status_code, gone.json()["kind"]) == (401, "bad-token")
            second = await http.post(f"{path}/approve", json={}, headers=ben)
            assert (second.json()["state"], second.json()["agreed_by"]) == ("open", ["ben"])
            assert await actions(client) == []
            third = await http.post(f"{path}/approve", json={"code": "agree"}, headers=cid)
            assert third.json()["state"] == "approved"
            assert third.json()["answered_by"] == "ben, cid"
            await many_over_http(client, http, ben)
    finally:
        await client.close()
        await asyncio.to_thread(world.engine.stop)


async def many_over_http(client: Client, http: httpx.AsyncClient, ben: dict[str, str]) -> None:
    await held(client, "b", "c", "d", first=2, count=4)
    answer = {"answer": "deny", "labels": {"site": "s1"}, "code": "maintenance", "why": "works"}
    wrong = await http.post("/v1/holds/answer", json=answer | {"expected": 2}, headers=ben)
    assert (wrong.status_code, wrong.json()["kind"]) == (409, "unexpected-count")
    assert "3 open holds match, 2 were expected" in wrong.json()["message"]
    nothing = await http.post(
        "/v1/holds/answer", json={"answer": "deny", "expected": 3}, headers=ben
    )
    assert (nothing.status_code, nothing.json()["kind"]) == (422, "invalid")
    assert "at least one of pipeline, element" in nothing.json()["message"]
    approve = {"answer": "approve", "pipeline": "congestion", "expected": 3}
    alone = (await http.post("/v1/holds/answer", json=approve, headers=ben)).json()
    assert (alone["ended"], {one["kind"] for one in alone["refused"]}) == (0, {"needs-two"})
    done = (await http.post("/v1/holds/answer", json=answer | {"expected": 3}, headers=ben)).json()
    assert (done["ended"], set(done["states"].values()), done["refused"]) == (3, {"denied"}, [])
    counts = (await http.get("/v1/holds/summary?pipeline=congestion", headers=ben)).json()
    assert counts["states"] == {"approved": 1, "denied": 3}
    assert counts["codes"] == {"approved": {"agree": 1}, "denied": {"maintenance": 3}}
    shown = (await http.get("/v1/holds/congestion.2.0", headers=ben)).json()
    assert (shown["answered_code"], shown["answered_why"]) == ("maintenance", "works")
    assert shown["context"]["signals"]["error"] == pytest.approx(0.3)
    reviews = (await http.get("/v1/reviews/summary?pipeline=congestion", headers=ben)).json()
    assert (reviews["pipeline"], reviews["answered"]) == ("congestion", 0)
    missing = await http.post("/v1/reviews/x.1.0/answer", json={"answer": "right"}, headers=ben)
    assert (missing.status_code, missing.json()["kind"]) == (404, "not-found")

    async def sent() -> bool:
        return len(await actions(client)) == 1

    await until(sent)


async def test_who_loses_access_in_the_moment_of_answering_has_approved_nothing(
    provisioned: Client,
) -> None:
    waiting = HoldReply(ok=True, hold=hold("1", approvals=2), detail="1 of 2 people agree")
    await gateway_world.answering(provisioned, "cmd.risk.answer-hold", waiting)
    withdrawn = await gateway_world.answering(
        provisioned, "cmd.risk.withdraw-approvals", WithdrawReply(ok=True)
    )
    still = iter((True, False))  # before risk is asked, and after
    nothing: Any = None
    asking = Asking(
        lambda: provisioned, nothing, nothing, still=lambda _: next(still), forbidden=nothing
    )
    await asking.answer(Person("ana", "approver"), "congestion.1.0", "approve", "")
    assert [(asked["name"], asked["by"]) for asked in withdrawn] == [("ana", "ana")]
