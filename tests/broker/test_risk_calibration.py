"""Risk learns from SAMPLES while it runs: against a real broker, through restarts and damage."""

import json
from dataclasses import replace
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import risk_service, stored, until
from tests.unit.calibration_rows import Labelled, samples, specification, stream
from tests.unit.risk_rows import Row, batch

from flyball_kit.kv import Kv, UnreadableRecordError
from flyball_proto import streams, subjects
from flyball_proto.calibrations import Calibrated, Calibration, SteppedBackNow
from flyball_proto.columns import (
    Mark,
    Verdict,
    Verdicts,
    decode_verdicts,
    encode_decisions,
    encode_samples,
)
from flyball_proto.spec import digest8, feature_digest

pytestmark = pytest.mark.broker

SOURCE, PIPELINE = specification(control_share=0.05)
DIGEST = feature_digest(PIPELINE, SOURCE)


class World:
    """One pipeline whose labels and decisions a test writes itself."""

    def __init__(self, client: Client) -> None:
        self.client, self.js = client, client.jetstream()
        self.rows, self.decided = 0, 0

    async def apply(self, **risk: Any) -> None:
        source, pipeline = specification(**({"control_share": 0.05} | risk))
        for key, value in (("source.p", source), ("pipeline.p", pipeline)):
            data = value.model_dump_json(by_alias=True).encode()
            await self.js.publish(f"$KV.pipelines.{key}", data)

    async def label(self, rows: list[Labelled], mark: Mark | None = None) -> None:
        for i in range(0, max(1, len(rows)), 50):
            part = rows[i : i + 50]
            ends = mark if i + 50 >= len(rows) else None
            data = encode_samples(samples(part, self.rows + 1, ends, DIGEST))
            self.rows += len(part)
            await self.js.publish(subjects.samples("p", digest8(DIGEST), 0), data)

    async def decide(self, score: float, mark: Mark | None = None) -> None:
        """One row of an element of its own."""
        self.decided += 1
        row = Row(f"cell-{self.decided}", self.decided * 100_000, score)
        made = replace(batch([row], self.decided), pipeline="p", feature_digest=DIGEST)
        made = replace(made, flow=replace(made.flow, mark=mark))
        await self.js.publish("decisions.p.0", encode_decisions(made))

    async def verdicts(self) -> list[Verdicts]:
        """Those with rows, one a decision."""
        found = [m for m in await stored(self.client, "VERDICTS") if m.data]
        return [batch for m in found if len((batch := decode_verdicts(m.data)).rows)]

    async def judged(self, score: float) -> tuple[Verdict, str, int]:
        """Verdict, reason and revision of the calibration of a new decision."""
        await self.decide(score)

        async def all_judged() -> bool:
            return len(await self.verdicts()) >= self.decided

        await until(all_judged)
        last = (await self.verdicts())[-1]
        reason = last.reason[int(last.reason_index[0]) - 1] if last.reason_index[0] else ""
        return Verdict(int(last.verdict[0])), reason, last.flow.revisions.get("calibration", 0)

    async def calibration(self) -> tuple[Calibration | None, int]:
        try:
            return await Kv(lambda: self.client, streams.CALIBRATION, Calibration).load("p")
        except UnreadableRecordError:
            return None, 0

    async def calibrated(self, rows: int) -> Calibration:
        """The calibration that so many rows are in."""

        async def ready() -> bool:
            found, _ = await self.calibration()
            return found is not None and found.rows >= rows

        await until(ready)
        found, _ = await self.calibration()
        assert found is not None
        return found

    async def events(self, what: str) -> list[Any]:
        found = [m for m in await stored(self.client, "EVENTS") if m.subject.endswith(f".{what}")]
        return [json.loads(m.data) for m in found]


@pytest.fixture
async def world(provisioned: Client) -> World:
    made = World(provisioned)
    await made.apply()
    return made


async def test_what_labels_prove_is_cleared_and_what_they_refute_is_advised(
    world: World, nats_url: str
):
    async with risk_service(nats_url):
        assert (await world.judged(0.99))[2] == 0
        await world.label(stream(100, wrong=0.02))
        few = await world.calibrated(100)
        verdict, reason, revision = await world.judged(0.99)
        assert (verdict, revision > 0) == (Verdict.NOTIFY, True)
        assert few.cut_off is not None
        assert f"{few.cut_off.rows} of {few.cut_off.needed} labelled rows" in reason
        await world.label(stream(300, wrong=0.02, start=101))
        many = await world.calibrated(400)
        assert many.cut_off is not None
        assert many.cut_off.proven
        assert (await world.judged(0.99))[0] is Verdict.CLEAR
        await world.label([replace(row, label=0.0) for row in stream(60, start=401)])
        await until(lambda: world.events("stepped-back"))
        verdict, reason, _ = await world.judged(0.99)
        assert verdict is Verdict.ADVISE
        (told,) = await world.events("stepped-back")
        assert SteppedBackNow.model_validate(told).found.lower_bound > 0.05
        assert [Calibrated.model_validate(e) for e in await world.events("calibrated")]


async def test_a_restart_goes_on_where_it_stood_and_tells_nothing_twice(
    world: World, nats_url: str
):
    async with risk_service(nats_url):
        await world.label(stream(400, wrong=0.02))
        before = await world.calibrated(400)
        told = await until_told(world, "calibrated")
    async with risk_service(nats_url):
        assert (await world.judged(0.99))[0] is Verdict.CLEAR
        await world.label(stream(50, wrong=0.02, start=401))
        after = await world.calibrated(450)
    assert after.rows == before.rows + 50
    assert len(await world.events("calibrated")) <= told + 1


async def until_told(world: World, what: str) -> int:
    await until(lambda: world.events(what))
    return len(await world.events(what))


async def test_a_lost_or_damaged_state_begins_anew_from_what_samples_has(
    world: World, nats_url: str
):
    await world.label(stream(400, wrong=0.02))
    async with risk_service(nats_url):
        before = await world.calibrated(400)
    await world.js.publish("$KV.positions.state.CALIBRATION.p", b"no state at all")
    await world.js.publish("$KV.calibration.p", b"{}")
    async with risk_service(nats_url):
        again = await world.calibrated(400)
        assert (await world.judged(0.99))[0] is Verdict.CLEAR
    assert again.cut_off == before.cut_off
    assert again.conformal == before.conformal


async def test_a_changed_limit_is_proven_anew_at_once(world: World, nats_url: str):
    async with risk_service(nats_url):
        await world.label(stream(400, wrong=0.02))
        await world.calibrated(400)
        await world.apply(max_error=0.005)

        async def noticed() -> bool:
            found, _ = await world.calibration()
            cut = found.cut_off if found is not None else None
            return cut is not None and cut.max_error == 0.005

        await until(noticed)
        verdict, reason, _ = await world.judged(0.99)
        assert verdict is Verdict.NOTIFY
        assert "not proven yet" in reason


async def test_in_lockstep_nothing_behind_a_mark_is_judged_before_its_labels_are_in_force(
    world: World, nats_url: str
):
    first, last = Mark("m1", 1), Mark("m2", 2, last=True)
    async with risk_service(nats_url):
        await world.decide(0.99, first)
        await world.decide(0.99)
        await until(lambda: _count(world, 1))
        await world.label(stream(400, wrong=0.02), first)
        await until(lambda: _count(world, 2))
        await world.decide(0.99, last)
        await world.decide(0.99)
        await until(lambda: _count(world, 4))
    revisions = [v.flow.revisions.get("calibration", 0) for v in await world.verdicts()]
    assert revisions[0] == 0
    assert len(set(revisions[1:])) == 1
    assert revisions[1] > 0
    found, revision = await world.calibration()
    assert found is not None
    assert (found.rows, revision) == (400, revisions[1])


async def test_labels_that_prove_nothing_keep_the_breaker_closed(world: World, nats_url: str):
    await world.apply(breaker={"labels_within": "90s"})
    mark = Mark("m1", 1)
    async with risk_service(nats_url):
        await world.decide(0.99, mark)
        await world.decide(0.99)
        await until(lambda: _count(world, 1))
        await world.label([Labelled(time_ms=110_000, action=None)], mark)
        await until(lambda: _count(world, 2))
    assert [Verdict(int(v.verdict[0])) for v in await world.verdicts()] == [Verdict.NOTIFY] * 2
    assert (await world.calibration())[0] is None


async def _count(world: World, least: int) -> bool:
    return len(await world.verdicts()) >= least
