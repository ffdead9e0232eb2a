"""The gateway over HTTP: a real process, a real server with the real permissions, real requests.

The table of routes and roles is written by hand and says what we want.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
import pytest_asyncio
from nats.aio.client import Client
from tests.broker import chain, gateway_world
from tests.broker.gateway_world import World, acts, ask, invitation, revoke, token
from tests.unit.test_gateway_http_values import verdicts

from flyball_kit.kv import Kv
from flyball_local.embedded import ports
from flyball_proto import headers, streams, subjects
from flyball_proto.autonomy import AutonomyRecord, AutonomyReply
from flyball_proto.breakers import BreakerReply
from flyball_proto.columns import encode_verdicts
from flyball_proto.commands import (
    AccessReply,
    Failure,
    GatewayUrl,
    HoldReply,
    ListAccess,
    StopReply,
    UrlReply,
)
from flyball_proto.deployments import ActiveModel, DeploymentActivated
from flyball_proto.events import ModelRecord
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import ColumnFigures, Pulse, Standings

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("gateway-http"),
    pytest.mark.asyncio(loop_scope="module"),
]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLD = Hold(
    id="p.7.0",
    pipeline="p",
    partition=0,
    element="cell-1",
    action="offload",
    score=0.9,
    risk=0.5,
    category="high",
    reason="nobody knows",
    model="a" * 64,
    trainer="recent",
    epoch=1,
    time_ms=1,
    expires_ms=2,
    opened_at=NOW,
)
REPORT = {"element": "cell-1", "time_ms": 1767225600000, "values": {"load": 0.7}}
SPEC = json.dumps(chain.documents("p")[0]) + "\n---\n" + json.dumps(chain.documents("p")[1])
"""JSON documents in a YAML stream."""

EVERYBODY = "viewer operator approver engineer admin"
ROUTES = {
    "GET /v1/me": EVERYBODY,
    "GET /v1/health": EVERYBODY,
    "GET /v1/sources": EVERYBODY,
    "GET /v1/sources/p": EVERYBODY,
    "GET /v1/pipelines": EVERYBODY,
    "GET /v1/pipelines/p": EVERYBODY,
    "GET /v1/pipelines/p/elements": EVERYBODY,
    "GET /v1/pipelines/p/outcomes": EVERYBODY,
    "GET /v1/pipelines/p/models": EVERYBODY,
    "GET /v1/pipelines/p/models/ffff": EVERYBODY,
    "GET /v1/pipelines/p/deployments": EVERYBODY,
    "GET /v1/pipelines/p/dora": EVERYBODY,
    "GET /v1/pipelines/p/decisions": EVERYBODY,
    "GET /v1/pipelines/p/verdicts": EVERYBODY,
    "GET /v1/holds": EVERYBODY,
    "GET /v1/holds/summary": EVERYBODY,
    "GET /v1/holds/p.7.0": EVERYBODY,
    "GET /v1/reviews": EVERYBODY,
    "GET /v1/reviews/summary?pipeline=p": EVERYBODY,
    "GET /v1/reviews/p.7.0": EVERYBODY,
    "GET /v1/events?subject=x": EVERYBODY,  # let in, then told that there is no such subject
    "POST /v1/specifications/validate": EVERYBODY,
    "POST /v1/specifications": "engineer admin",
    "POST /v1/metrics/p/cell-1": "operator engineer admin",
    "POST /v1/reviews/p.7.0/answer": "approver admin",
    "POST /v1/holds/answer": "approver admin",
    "POST /v1/holds/p.7.0/approve": "approver admin",
    "POST /v1/holds/p.7.0/deny": "approver admin",
    "POST /v1/pipelines/p/stop": "operator approver engineer admin",
    "POST /v1/pipelines/p/resume": "operator admin",
    "POST /v1/pipelines/p/reset-breaker": "operator admin",
    "GET /v1/autonomy": EVERYBODY,
    "POST /v1/pipelines/p/autonomy/accept": "engineer admin",
    "POST /v1/pipelines/p/autonomy/decline": "engineer admin",
    "GET /v1/audit": "engineer admin",
}
BODIES = {
    "POST /v1/specifications/validate": SPEC,
    "POST /v1/specifications": SPEC,
    "POST /v1/metrics/p/cell-1": json.dumps(REPORT),
    "POST /v1/holds/answer": json.dumps({"answer": "deny", "expected": 1, "pipeline": "p"}),
    "POST /v1/reviews/p.7.0/answer": json.dumps({"answer": "right"}),
}
PUBLIC = {"/v1/ready": 200, "/v1/openapi.json": 200, "/docs": 200, "/login": 422}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    found = await gateway_world.made(tmp_path_factory.mktemp("world"), ports.free_port())
    async with gateway_world.gateway(found):
        yield found
    await asyncio.to_thread(found.engine.stop)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(world: World) -> AsyncIterator[Client]:
    """A connection that may do everything; a pipeline `p` is applied."""
    found = await world.connect()
    reply = await chain.apply(found, chain.documents("p"))
    assert reply.ok, reply.error
    yield found
    await found.close()


@pytest_asyncio.fixture(loop_scope="module")
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.url, timeout=30) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(client: Client) -> dict[str, str]:
    return await token(client, "admin", "root")


def send(http: httpx.AsyncClient, route: str, **how):
    method, path = route.split(" ", 1)
    if method == "POST":
        how.setdefault("content", BODIES.get(route, "{}"))
        how["headers"] = {"Content-Type": "application/json", **how.get("headers", {})}
    return http.request(method, path, **how)


@pytest.mark.parametrize("role", EVERYBODY.split())
async def test_a_role_reaches_exactly_the_routes_of_the_table(role, http, client):
    header = await token(client, role)
    answers = {route: await send(http, route, headers=header) for route in ROUTES}
    refused = {route for route, answer in answers.items() if answer.status_code == 403}
    assert refused == {route for route, roles in ROUTES.items() if role not in roles.split()}
    assert all(answers[route].json()["kind"] == "forbidden" for route in refused)
    assert not [
        r
        for r, answer in answers.items()
        if answer.status_code in (401, 404, 405, 500)
        and "holds/p.7.0" not in r
        and "reviews/p.7.0" not in r
        and "models/ffff" not in r
    ]


async def test_nobody_comes_in_without_a_token_or_session(http, client):
    answers = [await send(http, route) for route in ROUTES]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["kind"] for answer in answers} == {"login-needed"}
    assert {path: (await http.get(path)).status_code for path in PUBLIC} == PUBLIC


async def test_the_table_names_every_route(http, client):
    document = (await http.get("/v1/openapi.json")).json()
    known = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    fields = {
        "{name}": "p",
        "{source}": "p",
        "{element}": "cell-1",
        "{hold}": "p.7.0",
        "{review}": "p.7.0",
        "{digest}": "ffff",
    }
    for field, value in fields.items():
        known = {route.replace(field, value) for route in known}
    tried = {route.partition("?")[0] for route in ROUTES}
    assert known - {"POST /v1/logout"} - {f"GET {path}" for path in PUBLIC} == tried


async def test_a_login_link_works_once_and_only_for_one_of_two(world, http, client):
    url = await invitation(client, "viewer", "una")
    async with httpx.AsyncClient(base_url=world.url, timeout=30) as other:
        answers = await asyncio.gather(http.get(url), other.get(url))
    assert sorted(answer.status_code for answer in answers) == [303, 401]
    (welcome,) = [answer for answer in answers if answer.status_code == 303]
    cookie = welcome.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert welcome.headers["location"] == "/"
    page = await http.get(url, headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "flyball users invite" in page.text


async def test_a_session_changes_nothing_without_the_header_that_other_sites_cannot_set(
    http, client
):
    await http.get(await invitation(client, "admin", "carl"))
    assert (await http.get("/v1/me")).json() == {"name": "carl", "role": "admin"}
    route = "POST /v1/specifications"
    assert (await send(http, route)).json()["kind"] == "csrf"
    assert (await send(http, route, headers={"X-Flyball-CSRF": "1"})).status_code == 200
    assert (await http.post("/v1/logout")).json()["kind"] == "csrf"
    assert (await http.post("/v1/logout", headers={"X-Flyball-CSRF": "1"})).status_code == 204
    assert (await http.get("/v1/me")).status_code == 401


async def test_what_is_revoked_ends_at_once(http, client):
    header = await token(client, "viewer", "eve")
    await http.get(await invitation(client, "viewer", "eve"))
    assert (await http.get("/v1/me")).status_code == 200
    assert await revoke(client, "eve") == 2
    assert (await http.get("/v1/me")).status_code == 401
    assert (await http.get("/v1/me", headers=header)).json()["kind"] == "bad-token"
    listed = await ask(client, "access", ListAccess(), AccessReply)
    assert "eve" not in {access.name for access in listed.access}


async def test_nothing_that_is_stored_lets_anybody_in(client):
    link, header = await invitation(client, "viewer", "dora"), await token(client, "viewer", "dora")
    secrets = [link.partition("code=")[2], header["Authorization"].removeprefix("Bearer ")]
    stored = await Kv(lambda: client, streams.ACCESS, bytes).items()
    kept = json.dumps([[key, value.decode()] for key, (value, _) in stored.items()])
    assert not [secret for secret in secrets if secret in kept or secret[4:] in kept]


async def test_the_gateway_says_where_it_is(world, client):
    assert (await ask(client, "url", GatewayUrl(), UrlReply)).url == world.url


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/", 404, "not-found"),
        ("DELETE", "/v1/pipelines", 405, "method-not-allowed"),
        ("GET", "/v1/pipelines/q", 404, "not-found"),
        ("GET", "/v1/sources/q", 404, "not-found"),
        ("GET", "/v1/holds/p.9.9", 404, "not-found"),
        ("GET", "/v1/holds/*.>", 404, "not-found"),
        ("GET", "/v1/pipelines/p/models/ffff", 404, "not-found"),
        ("GET", "/v1/pipelines/p/verdicts?limit=1001", 422, "invalid-request"),
        ("GET", "/v1/pipelines/p/verdicts?verdict=perhaps", 422, "invalid-request"),
        ("GET", "/v1/pipelines/p/decisions?before=x", 422, "invalid-request"),
        ("GET", "/v1/events?subject=metrics.>", 422, "invalid-request"),
        ("GET", "/v1/events?after=99999999", 409, "unknown-id"),
        ("POST", "/v1/pipelines/q/stop", 404, "not-found"),
        ("POST", "/v1/pipelines/p/stop", 422, "invalid-request"),
        ("POST", "/v1/metrics/q/cell-1", 404, "not-found"),
    ],
)
async def test_every_error_is_one_object(method, path, status, kind, http, admin):
    body = '{"why": 2}' if kind == "invalid-request" else "{}"
    content = {"content": body} if method == "POST" else {}
    answer = await http.request(
        method, path, headers=admin | {"Content-Type": "application/json"}, **content
    )
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)
    assert set(answer.json()) == {"kind", "message"}


async def test_a_body_that_does_not_say_that_it_is_json_is_told_so(http, admin):
    answer = await http.post(
        "/v1/pipelines/p/stop",
        headers=admin | {"Content-Type": "application/x-www-form-urlencoded"},
        content='{"why": "so"}',
    )
    assert answer.status_code == 422
    assert "x-www-form-urlencoded; valid: application/json" in answer.json()["message"]


async def test_a_specification_is_refused_with_every_line_and_field(http, admin):
    text = "\n".join(
        [
            "apiVersion: flyball/v1",
            "kind: Source",
            "metadata: {name: q}",
            "spec:",
            "  intervall: 1s",
        ]
    )
    for path in ("/v1/specifications", "/v1/specifications/validate"):
        answer = await http.post(path, content=text, headers=admin)
        assert (answer.status_code, answer.json()["kind"]) == (422, "invalid-spec")
        assert "body:5: spec.intervall: found unknown field 'intervall'" in answer.json()["message"]
    assert (await http.get("/v1/sources/q", headers=admin)).status_code == 404
    refused = await acts(http, admin, verb="apply", outcome="refused", by="root")
    assert refused == [], "what does not parse never reached the service"


async def test_applying_is_on_record_however_it_came(http, client, admin):
    changed = chain.documents("p", decisions=[{"action": "reboot", "score_at_least": 0.99}])
    text = "\n---\n".join(json.dumps(document) for document in changed)
    answer = await http.post("/v1/specifications?why=quieter", content=text, headers=admin)
    assert [found["changed"] for found in answer.json()] == [False, True]
    assert (await chain.apply(client, chain.documents("p"))).ok
    other = "\n---\n".join(json.dumps(d) for d in chain.documents("p", warm_up_rows=3))
    assert (await http.post("/v1/specifications", content=other, headers=admin)).status_code == 200
    (by_http,) = await acts(http, admin, verb="apply", why="quieter")
    assert (by_http["by"], by_http["object"], by_http["outcome"]) == (
        "root",
        "source p, pipeline p",
        "done",
    )
    assert await acts(http, admin, verb="apply", by="tests", outcome="done")
    conflicting = "\n---\n".join(
        json.dumps(d) for d in chain.documents("p", features=[{"metric": "users"}])
    )
    answer = await http.post("/v1/specifications", content=conflicting, headers=admin)
    assert (answer.status_code, answer.json()["kind"]) == (409, "conflict")
    assert (await acts(http, admin, verb="apply", outcome="refused"))[0]["by"] == "root"


async def test_a_report_is_stored_once_and_its_sequence_told(http, client, admin):
    path, how = "/v1/metrics/p/cell-1", {"headers": admin | {"Idempotency-Key": "k1"}}
    first, again = [await http.post(path, json=REPORT, **how) for _ in range(2)]
    assert (first.status_code, first.json()["duplicate"]) == (202, False)
    assert again.json() == {"sequence": first.json()["sequence"], "duplicate": True}
    stored = await client.jetstream().get_msg("METRICS", seq=first.json()["sequence"])
    assert json.loads(stored.data) == REPORT
    assert stored.subject == "metrics.p.0.cell-1"
    assert stored.headers[headers.CONTENT_TYPE] == "application/json"
    other = await http.post("/v1/metrics/p/cell-2", json=REPORT | {"element": "cell-2"}, **how)
    assert other.json()["duplicate"] is False, "a key belongs to an element"
    assert len(await acts(http, admin, verb="publish", by="root")) == 1, "once a minute"


@pytest.mark.parametrize(
    ("element", "body", "kind", "status", "found"),
    [
        ("cell-1", b"no json", "application/json", 422, "not-json"),
        ("other", json.dumps(REPORT).encode(), "application/json", 422, "bad-element"),
        ("cell-1", gzip.compress(b"x"), "application/gzip", 422, "unknown-content-type"),
        ("cell-1", b" " * (streams.MAX_REPORT_BYTES + 1), "application/json", 413, "too-large"),
    ],
)
async def test_what_is_no_report_is_not_taken(element, body, kind, status, found, http, admin):
    answer = await http.post(
        f"/v1/metrics/p/{element}", content=body, headers=admin | {"Content-Type": kind}
    )
    assert (answer.status_code, answer.json()["kind"]) == (status, found)


async def test_a_full_stream_is_said_to_be_full(http, client, admin):
    js = client.jetstream()
    config = (await js.stream_info("METRICS")).config
    await js.update_stream(config.evolve(max_bytes=1))
    try:
        answer = await http.post("/v1/metrics/p/cell-1", json=REPORT, headers=admin)
    finally:
        await js.update_stream(config)
    assert (answer.status_code, answer.json()["kind"]) == (503, "full")
    assert int(answer.headers["Retry-After"]) > 0


async def test_stop_resume_and_answers_reach_risk_with_who_and_why(world, http, client, admin):
    risk = await world.connect("risk")
    state = Stop(pipeline="p", stopped=True, by="root", why="smoke", at=NOW)
    approved = HOLD.model_copy(update={"state": "approved", "answered_by": "root"})
    stopped = await gateway_world.answering(
        risk, "cmd.risk.stop", StopReply(ok=True, state=state, changed=True)
    )
    answered = await gateway_world.answering(
        risk, "cmd.risk.answer-hold", HoldReply(ok=True, hold=approved)
    )
    failure = Failure(kind="expired", message="nobody answered in time")
    await gateway_world.answering(risk, "cmd.risk.resume", StopReply(ok=False, error=failure))
    answer = await http.post("/v1/pipelines/p/stop", json={"why": "smoke"}, headers=admin)
    assert Stop.model_validate_json(answer.content) == state
    said = {"why": "I know", "code": "agree"}
    answer = await http.post("/v1/holds/p.7.0/approve", json=said, headers=admin)
    assert Hold.model_validate_json(answer.content) == approved
    answer = await http.post("/v1/pipelines/p/resume", json={}, headers=admin)
    assert (answer.status_code, answer.json()) == (409, failure.model_dump())
    reset = await gateway_world.answering(
        risk, "cmd.risk.reset-breaker", BreakerReply(ok=True, changed=True)
    )
    path = "/v1/pipelines/p/reset-breaker"
    assert (await http.post(path, json={}, headers=admin)).status_code == 422
    answer = await http.post(path, json={"why": "all is well"}, headers=admin)
    assert answer.json() == {"changed": True}
    assert reset == [{"pipeline": "p", "by": "root", "why": "all is well"}]
    await risk.close()
    assert stopped == [{"pipeline": "p", "by": "root", "why": "smoke"}]
    assert answered == [{"hold": "p.7.0", "answer": "approve", "by": "root", **said}]
    answer = await http.post("/v1/pipelines/p/stop", json={}, headers=admin)
    assert (answer.status_code, answer.json()["kind"]) == (503, "unavailable")
    assert "nothing was done" in answer.json()["message"]


async def test_what_a_role_may_not_is_on_record(http, client, admin):
    header = await token(client, "viewer", "vera")
    for _ in range(3):
        await http.post("/v1/pipelines/p/stop", json={}, headers=header)
    assert [act["outcome"] for act in await acts(http, admin, by="vera")] == ["refused"]


async def test_verdicts_are_read_page_by_page_without_gap_or_double(http, client, admin):
    for batch in (("a", "b", "a"), ("b", "a"), ("c",)):
        data = encode_verdicts(verdicts(*batch))
        await client.jetstream().publish(subjects.verdicts("p", 0), data)
    path, seen, before = "/v1/pipelines/p/verdicts", [], None
    while True:
        query = {"limit": 2} | ({"before": before} if before else {})
        found = (await http.get(path, params=query, headers=admin)).json()
        seen += [(row["element"], row["decision"]) for row in found["items"]]
        if (before := found["before"]) is None:
            break
    rows = ["c1", "a2", "b1", "a3", "b2", "a1"]
    assert seen == [(row[0], f"p.{row[1]}.0") for row in rows]
    of_b = (await http.get(path, params={"element": "b"}, headers=admin)).json()
    assert [row["decision"] for row in of_b["items"]] == ["p.1.0", "p.2.0"]
    held = (await http.get(path, params={"verdict": "hold"}, headers=admin)).json()
    assert {row["verdict"] for row in held["items"]} == {"hold"}
    elements = (await http.get("/v1/pipelines/p/elements", headers=admin)).json()
    assert {row["element"]: row["decision"] for row in elements} == {
        "c": "p.1.0",
        "a": "p.2.0",
        "b": "p.1.0",
    }


async def test_deployments_come_newest_first_among_many_other_events(http, client, admin):
    js = client.jetstream()
    for epoch in range(1, 8):
        event = DeploymentActivated(
            pipeline="p", at=NOW, digest="a" * 64, trainer="recent", epoch=epoch, reason="won"
        )
        await js.publish(event.subject, event.model_dump_json().encode())
        for _ in range(40):
            await js.publish("risk.other.tripped", b"{}")
    path = "/v1/pipelines/p/deployments"
    first = (await http.get(path, params={"limit": 3}, headers=admin)).json()
    more = (await http.get(path, params={"before": first[-1]["sequence"]}, headers=admin)).json()
    assert [item["body"]["epoch"] for item in first + more] == [7, 6, 5, 4, 3, 2, 1]


async def test_models_show_their_place_and_figures(http, client, admin):
    record = ModelRecord(
        pipeline="p",
        digest="ab" * 32,
        manifest_digest="c" * 64,
        trainer="recent",
        feature_digest="f" * 64,
        stage="active",
        size_bytes=1,
        admitted_at=NOW,
    )
    other = record.model_copy(update={"digest": "ac" * 32, "trainer": "linear"})
    models = Kv(lambda: client, streams.MODELS, ModelRecord)
    for model in (record, other):
        await models.save(f"p.{model.digest}", model, revision=0)
    pointer = ActiveModel(
        digest=record.digest,
        trainer="recent",
        feature_digest="f" * 64,
        epoch=3,
        since=NOW,
        reason="won",
    )
    await Kv(lambda: client, streams.DEPLOYMENTS, ActiveModel).save("p", pointer, revision=0)
    standings = Standings(
        pipeline="p",
        feature_digest="f" * 64,
        at=NOW,
        task="binary",
        metric="brier",
        now_ms=1,
        labelled=5,
        block_ms=1000,
        season_ms=0,
        figures=(ColumnFigures(column="recent", rows=5, loss=0.1),),
    )
    await Kv(lambda: client, streams.STANDINGS, Standings).save("p", standings, revision=0)
    found = (await http.get("/v1/pipelines/p/models/abab", headers=admin)).json()
    assert (found["place"], found["record"]["digest"]) == ("active", record.digest)
    assert [figure["loss"] for figure in found["figures"]] == [0.1]
    ambiguous = await http.get("/v1/pipelines/p/models/a", headers=admin)
    assert (ambiguous.status_code, ambiguous.json()["kind"]) == (409, "ambiguous")
    assert len((await http.get("/v1/pipelines/p/models", headers=admin)).json()) == 2


async def test_holds_are_found_by_their_state(http, client, admin):
    holds = Kv(lambda: client, streams.HOLDS, Hold)
    for number, state in enumerate(("open", "denied", "open")):
        hold = HOLD.model_copy(
            update={"id": f"p.{number}.0", "state": state, "expires_ms": 10 - number}
        )
        await holds.save(hold.id, hold, revision=0)
    open_ones = (await http.get("/v1/holds", headers=admin)).json()
    assert [hold["id"] for hold in open_ones] == ["p.2.0", "p.0.0"], "what expires first is first"
    denied = await http.get("/v1/holds?state=denied&pipeline=p", headers=admin)
    assert [hold["id"] for hold in denied.json()] == ["p.1.0"]
    assert (await http.get("/v1/holds/p.1.0", headers=admin)).json()["state"] == "denied"


async def test_health_names_who_is_missing(http, client, admin):
    answer = await http.get("/v1/health", headers=admin)
    assert answer.status_code == 503
    assert "risk" in answer.json()["missing"]
    for service in ("ingest", "inference", "risk", "trainer", "registry", "deployer"):
        pulse = Pulse(service=service, at=NOW, pid=1, live=True, ready=True)
        await client.publish(subjects.pulse(service), pulse.model_dump_json().encode())
    await client.flush()
    async with asyncio.timeout(4):
        while (await http.get("/v1/health", headers=admin)).status_code != 200:
            pass


async def test_after_ten_bad_tokens_a_stranger_has_to_wait_and_others_need_not(http, admin):
    bad = {"Authorization": "Bearer fbt_guess"}
    answers = [await http.get("/v1/me", headers=bad) for _ in range(11)]
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert (await http.get("/login?code=fbi_guess")).status_code == 429
    assert (await http.get("/v1/me", headers=admin)).status_code == 200


async def test_a_person_accepts_what_a_pipeline_earned_and_only_what_is_proposed(
    world, http, client, admin
):
    records = Kv(lambda: client, streams.AUTONOMY, AutonomyRecord)
    path, why = "/v1/pipelines/p/autonomy", {"why": "a good month"}
    nothing = await http.post(f"{path}/accept", json=why, headers=admin)
    assert (nothing.status_code, nothing.json()["kind"]) == (404, "not-found")
    proposed = AutonomyRecord(
        pipeline="p",
        now="supervised",
        proposed="autonomous",
        evidence=("2000 proposals were cleared",),
        since_ms=1,
        event_ms=2,
        at=NOW,
    )
    await records.save("p", proposed, revision=0)
    assert (await http.get("/v1/autonomy", headers=admin)).json() == [
        proposed.model_dump(mode="json")
    ]
    answer = await http.post(f"{path}/accept", json=why, headers=admin)
    assert AutonomyRecord.model_validate_json(answer.content) == proposed
    found = (await http.get("/v1/pipelines/p", headers=admin)).json()
    assert '"autonomy": "autonomous"' in json.dumps(found)
    again = await http.post(f"{path}/accept", json=why, headers=admin)
    assert (again.status_code, again.json()["kind"]) == (409, "conflict")
    assert "found autonomous; nothing was changed" in again.json()["message"]
    risk = await world.connect("risk")
    asked = await gateway_world.answering(
        risk, "cmd.risk.decline-autonomy", AutonomyReply(ok=True, proposal=proposed)
    )
    answer = await http.post(f"{path}/decline", json={"why": "no"}, headers=admin)
    assert AutonomyRecord.model_validate_json(answer.content) == proposed
    assert asked == [{"pipeline": "p", "by": "root", "why": "no"}]
    await risk.close()
