import asyncio

import pytest

from flyball_kit.errors import PermanentError
from flyball_kit.tasks import Tasks


class Runner:
    """Runs until stopped or told to fail."""

    def __init__(self) -> None:
        self.running, self._end = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None
        self.stopped = False

    async def run(self) -> None:
        self.running.set()
        await self._end.wait()
        if self.error:
            raise self.error
        self.stopped = True

    async def stop(self) -> None:
        self._end.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self._end.set()


async def test_tasks_start_with_the_service_and_stop_with_it() -> None:
    tasks, early, late = Tasks("t"), Runner(), Runner()
    tasks.add("early", early)
    assert not early.running.is_set()
    await tasks.start()
    tasks.add("late", late)
    async with asyncio.timeout(5):
        await early.running.wait()
        await late.running.wait()
    await tasks.stop()
    assert early.stopped
    assert late.stopped


async def test_a_removed_task_has_stopped_and_leaves_the_others_alone() -> None:
    tasks, one, other = Tasks("t"), Runner(), Runner()
    tasks.add("one", one)
    tasks.add("other", other)
    await tasks.start()
    await one.running.wait()
    await tasks.remove("one")
    await tasks.remove("never there")
    assert one.stopped
    assert not other.stopped
    assert tasks.names == {"other"}
    await tasks.stop()


async def test_a_name_is_taken_once() -> None:
    tasks = Tasks("t")
    tasks.add("a", Runner())
    with pytest.raises(PermanentError, match="task a runs already"):
        tasks.add("a", Runner())


async def test_the_first_failure_is_told_with_its_name() -> None:
    tasks, first, second = Tasks("t"), Runner(), Runner()
    told: asyncio.Queue[tuple[str, BaseException]] = asyncio.Queue()

    async def on_failure(name: str, error: BaseException) -> None:
        told.put_nowait((name, error))

    tasks.on_failure = on_failure
    tasks.add("first", first)
    tasks.add("second", second)
    await tasks.start()
    await first.running.wait()
    assert tasks.check() is None
    failure = PermanentError("broken")
    first.fail(failure)
    async with asyncio.timeout(5):
        assert await told.get() == ("first", failure)
    second.fail(PermanentError("broken as well"))
    await tasks.stop()
    assert told.empty()
    assert tasks.failure is failure
    assert tasks.check() == "first: broken"


async def test_a_spawned_coroutine_is_cancelled_to_stop_it() -> None:
    tasks, running = Tasks("t"), asyncio.Event()
    cleaned = False

    async def body() -> None:
        nonlocal cleaned
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned = True

    tasks.spawn("watch", body)
    await tasks.start()
    await running.wait()
    await tasks.stop()
    assert cleaned
    assert tasks.failure is None


async def test_a_task_that_does_not_stop_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball_kit.tasks.STOP_TIMEOUT_S", 0.05)
    cancelled = asyncio.Event()

    class Deaf(Runner):
        async def run(self) -> None:
            self.running.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    tasks, deaf = Tasks("t"), Deaf()
    tasks.add("deaf", deaf)
    await tasks.start()
    await deaf.running.wait()
    async with asyncio.timeout(5):
        await tasks.stop()
    assert cancelled.is_set()
