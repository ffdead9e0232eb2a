"""Risk as it really runs: under its own role it may do all that people ask of it, and make room."""

from pathlib import Path

import pytest
from nats.js.errors import NotFoundError
from tests.broker.risk_world import actions, stored, until
from tests.broker.test_fold_roles import Site
from tests.broker.test_risk_holds import SCORE, apply, ask, feed, records, until_held
from tests.broker.test_risk_stop import command
from tests.unit.risk_rows import Row

from flyball_kit.kv import Kv
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams
from flyball_proto.holds import Hold
from flyball_risk.app import build
from flyball_risk.settings import Settings
from flyball_risk.steering import room

pytestmark = pytest.mark.broker


async def test_under_its_own_role_risk_answers_stops_resumes_and_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = Credentials(tmp_path / "creds")
    credentials.prepare()
    engine = NatsEngine(tmp_path / "nats", conf=lambda: NatsConf(users=credentials.users()))
    engine.start()
    site = Site(engine, credentials)
    stack = await site.connect("stack", "stack")
    operator = await site.connect("operator", "operator")
    settings = Settings(nats_url=engine.url, nats_seed_file=credentials.seed_file("risk"))
    app = build(settings)
    try:
        await provision_streams(stack, partitions=1)
        await apply(stack)
        await app.start()
        await feed(stack, Row("a", 1000, SCORE), Row("b", 1000, SCORE))
        await until_held(stack, 2)
        assert (await ask(operator, "congestion.1.0", "approve")).error is None
        assert (await ask(operator, "congestion.2.0", "deny")).error is None
        assert (await command(operator, "stop")).changed
        assert (await command(operator, "resume")).changed
        assert (await command(operator, "stop")).changed
        assert (await command(operator, "resume")).changed

        async def sent() -> bool:
            return bool(await actions(stack))

        await until(sent)
        monkeypatch.setattr(room, "KEEP_BYTES", 0)
        risk = await site.connect("risk", "room")
        holds: Kv[Hold] = Kv(lambda: risk, streams.HOLDS, Hold)
        made = room.Room(holds, lambda: risk, lambda: ["congestion"], 1)
        monkeypatch.setattr(room.removable, "__defaults__", (1,))
        await made.make("congestion")
        assert list(await records(stack)) == ["congestion.2.0"]
        beside = [m.subject for m in await stored(stack, "KV_contexts")]
        assert beside == ["$KV.contexts.congestion.2.0"]

        async def answers_are_purged() -> bool:
            await made.make("congestion")
            subject = "decisions.congestion.0.answers"
            try:
                oldest = await stack.jetstream().get_msg("DECISIONS", 2)
            except NotFoundError:
                return True
            return oldest.subject != subject

        await until(answers_are_purged)
        await risk.close()
    finally:
        await app.stop()
        await stack.close()
        await operator.close()
        engine.stop()
    assert site.refused == []
