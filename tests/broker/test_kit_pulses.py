"""The pulse of a process: what it tells, and that nothing depends on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError

from flyball_kit import connect, telemetry
from flyball_kit.fold import Dispatch, Dispatcher, Endpoint, FoldRunner, Input, Output
from flyball_kit.health import Health
from flyball_kit.pulses import MAX_STAGES, Pulses
from flyball_kit.service import assemble
from flyball_kit.settings import KitSettings
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry
from flyball_local.embedded.engines import NatsEngine
from flyball_proto import subjects
from flyball_proto.progress import Pulse

pytestmark = pytest.mark.broker

WAIT_S = 20.0


class Echo:
    """A fold that repeats its input."""

    def __init__(self) -> None:
        self._batch: list[bytes] = []

    def step(self, message: Input) -> bool:
        self._batch.append(message.data)
        return False

    def tick(self, now_ms: int) -> None: ...

    def take(self) -> Output | None:
        batch, self._batch = self._batch, []
        return Output(b"".join(batch), rows=len(batch)) if batch else None

    def since(self) -> int | None:
        return None

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...


async def pulses(client: Client, service: str) -> AsyncIterator[Pulse]:
    sub = await client.subscribe(subjects.pulse(service))
    try:
        while True:
            yield Pulse.model_validate_json((await sub.next_msg(WAIT_S)).data)
    finally:
        await sub.unsubscribe()


async def until(client: Client, service: str, so: Callable[[Pulse], bool]) -> Pulse:
    """The first pulse that is so."""
    async with asyncio.timeout(WAIT_S):
        async for pulse in pulses(client, service):
            if so(pulse):
                return pulse
    raise AssertionError("it never ends")


async def test_a_pulse_tells_rows_commits_and_latency_of_folds_and_dispatchers(
    provisioned: Client, kit_settings: KitSettings, unique: str
) -> None:
    tasks = Tasks("risk")
    fold, dispatch = f"verdicts.{unique}.0", f"actions.{unique}.0"
    connecting = connect.connector(kit_settings, "risk")
    verdicts = Endpoint("VERDICTS", f"verdicts.{unique}.0")
    tasks.add(
        fold,
        FoldRunner(
            fold,
            connect=connecting,
            source=Endpoint("DECISIONS", f"decisions.{unique}.0"),
            target=verdicts,
            fold=Echo,
            observer=FoldTelemetry(fold),
        ),
    )
    tasks.add(
        dispatch,
        Dispatcher(
            dispatch,
            connect=connecting,
            source=verdicts,
            target="ACTIONS",
            route=lambda m: [Dispatch(f"actions.{unique}.a", (m.sequence, 0), m.data)],
            observer=FoldTelemetry(dispatch),
        ),
    )
    app = assemble("risk", kit_settings, connect.broker(kit_settings, "risk"), tasks=tasks)
    await app.start()
    try:
        await provisioned.jetstream().publish(f"decisions.{unique}.0", b"x")
        pulse = await until(
            provisioned,
            "risk",
            lambda p: len(p.stages) == 2 and all(s.latency_ms for s in p.stages),
        )
    finally:
        await app.stop()
    assert (pulse.service, pulse.live, pulse.ready) == ("risk", True, True)
    found = {stage.stage: stage for stage in pulse.stages}
    assert found[fold].rows == found[dispatch].rows == 1
    assert found[fold].commits >= 1
    for stage in found.values():
        assert 0 < stage.latency_ms["p50"] <= stage.latency_ms["p99"] < 10_000


async def test_a_pulse_gives_the_reasons_of_failing_checks_and_only_stages_that_run(
    connection: Client, unique: str
) -> None:
    FoldTelemetry(f"gone.{unique}")
    for number in range(MAX_STAGES + 1):
        FoldTelemetry(f"{unique}.{number:03}").lagging(number)
    tasks, health = Tasks("risk"), Health()
    for name in telemetry.folds():
        if name.startswith(unique):
            tasks.spawn(name, asyncio.Event().wait)
    health.add("redis", lambda: "away")
    pulse = Pulses("risk", lambda: connection, pid=7, health=health, tasks=tasks).pulse()
    assert (pulse.live, pulse.ready, pulse.reasons) == (True, False, {"redis": "away"})
    told = [stage.stage for stage in pulse.stages]
    assert told == [f"{unique}.{number:03}" for number in range(1, MAX_STAGES + 1)]
    assert len(pulse.model_dump_json()) < 64_000


async def test_while_the_broker_is_away_a_pulse_is_silent_and_nothing_waits(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    engine = NatsEngine(tmp_path, free_port())
    engine.start()
    client = await nats.connect(
        engine.url, max_reconnect_attempts=-1, reconnect_time_wait=0, error_cb=_unheard
    )
    tasks = Tasks("risk")
    pulse = Pulses("risk", lambda: client, pid=7, health=Health(), tasks=tasks)
    try:
        engine.stop()
        async with asyncio.timeout(WAIT_S):
            while client.is_connected:
                await asyncio.sleep(0)
        await asyncio.wait_for(pulse.beat(), 1)
        assert client.pending_data_size == 0
        engine.start()
        listening = await nats.connect(engine.url)
        try:
            sub = await listening.subscribe(subjects.pulse("risk"))
            await listening.flush()
            assert (await _heard(pulse, sub)).pid == 7
        finally:
            await listening.close()
    finally:
        await client.close()
        engine.stop()
    await client.close()
    await asyncio.wait_for(pulse.beat(), 1)  # also on a connection that is closed


async def _heard(pulse: Pulses, sub: Subscription) -> Pulse:
    """The first pulse that is heard: the one in which the client comes back may be lost."""
    async with asyncio.timeout(WAIT_S):
        while True:
            await pulse.beat()
            with suppress(NatsTimeoutError):
                return Pulse.model_validate_json((await sub.next_msg(0.2)).data)


async def _unheard(error: Exception) -> None:
    """The client tells of every try to connect."""
