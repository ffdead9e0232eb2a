"""The fold runner against a real broker: what every fault does, and that the rows stay exact."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.chaos.foldlab.lab import FAST, NEXT, OUT, Lab, ends_with, lab, running
from tests.chaos.foldlab.proxy import Proxy
from tests.chaos.foldlab.sums import MARK_HEADER, RollingSum, pack, rolling, source_rows, unpack
from typing_extensions import override

from flyball_kit.fold import Endpoint, Fenced, InputChanged, InputLost, Output, OutputLost
from flyball_kit.fold.broker import end
from flyball_kit.fold.position import Position
from flyball_kit.fold.positions import forget, purge_behind
from flyball_proto.headers import EXPECT, MARK, OWNER, POSITION

pytestmark = pytest.mark.broker


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        await made.add_streams()
        yield made


async def exact(bench: Lab, rows: int, subject: str = "out.a") -> None:
    expected = rolling(source_rows(rows))
    if subject == "out.b":
        expected = rolling(expected)
    assert (await bench.judge(subject, expected)).faults == []


async def test_two_chained_folds_give_what_a_recomputation_gives(bench: Lab) -> None:
    await bench.feed(source_rows(300))
    async with running(bench.runner("a"), bench.runner("b", source=OUT, target=NEXT)):
        await bench.feed(source_rows(200, start=300))
        await bench.until_row(499, "out.b")
    await exact(bench, 500)
    await exact(bench, 500, "out.b")


async def test_a_restart_rebuilds_its_state_by_reading_the_look_back_again(bench: Lab) -> None:
    await bench.feed(source_rows(100))
    async with running(bench.runner()):
        await bench.until_row(99)
    again = bench.runner()
    await bench.feed(source_rows(100, start=100))
    async with running(again):
        await bench.until_row(199)
    assert again.stats.replayed == 64
    await exact(bench, 200)


async def test_of_two_instances_one_is_fenced_and_the_rows_stay_exact(bench: Lab) -> None:
    lively = replace(FAST, keepalive_s=0.05)  # also an idle loser has to commit
    first, second = bench.runner(options=lively), bench.runner(options=lively)
    async with running(first, second) as tasks:
        await bench.feed(source_rows(200))
        await bench.until_row(199)
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert [type(task.exception()) for task in done] == [Fenced]
        assert len(pending) == 1
    await exact(bench, 200)


async def test_a_zombie_that_wakes_up_is_fenced_at_its_next_commit(bench: Lab) -> None:
    asleep, woken = asyncio.Event(), asyncio.Event()

    async def sleep_through(_: Output) -> None:
        asleep.set()
        await woken.wait()

    zombie, successor = bench.runner(gate=sleep_through), bench.runner()
    async with running(zombie) as (zombie_task,):
        await bench.feed(source_rows(10), headers={MARK_HEADER: "m"})
        await asleep.wait()
        async with running(successor):
            await bench.until_row(9)
            woken.set()
            error = await ends_with(zombie_task)
            assert isinstance(error, Fenced)
            assert "another instance" in str(error).lower()
    await exact(bench, 10)


async def test_bytes_of_a_dead_predecessor_that_arrive_late_are_refused(bench: Lab) -> None:
    async with Proxy(bench.engine.port) as proxy:
        dead = bench.runner(out_via=proxy)
        task = asyncio.create_task(dead.run())
        await bench.feed(source_rows(50))
        await bench.until_row(49)
        proxy.hold = True
        await bench.feed(source_rows(50, start=50))
        await proxy.something_held.wait()
        await end(task)
        async with running(bench.runner()):
            await bench.until_row(99)
            assert proxy.release() > 0
            await bench.feed(source_rows(10, start=100))
            await bench.until_row(109)
    await exact(bench, 110)


async def test_a_lost_acknowledgement_doubles_nothing(bench: Lab) -> None:
    async with Proxy(bench.engine.port) as proxy:
        runner = bench.runner(out_via=proxy)
        async with running(runner):
            for start in range(0, 100, 20):
                await bench.until(lambda: runner.stats.commits > 0, "the claim")
                proxy.something_swallowed.clear()
                proxy.swallow = True
                await bench.feed(source_rows(20, start=start))
                await proxy.something_swallowed.wait()
                proxy.cut()
                proxy.swallow = False
                await bench.until_row(start + 19)
        assert runner.stats.own >= 1
    await exact(bench, 100)


async def test_a_deleted_consumer_is_made_anew_behind_what_was_read(bench: Lab) -> None:
    runner = bench.runner()
    async with running(runner):
        for start in range(0, 150, 50):
            await bench.feed(source_rows(50, start=start))
            await bench.until_row(start + 49)
            for consumer in await bench.js.consumers_info("IN"):
                await bench.js.delete_consumer("IN", consumer.name)
    assert runner.stats.opens >= 3
    await exact(bench, 150)


async def test_a_broker_killed_and_restarted_costs_no_row(bench: Lab) -> None:
    runner = bench.runner()
    async with running(runner):
        await bench.feed(source_rows(100))
        await bench.until_row(99)
        bench.engine.kill()
        bench.engine.start()
        await bench.until(lambda: bench.client.is_connected, "the lab's connection")
        await bench.until(lambda: bench.js.stream_info("IN"), "the stream")
        await bench.feed(source_rows(100, start=100))
        await bench.until_row(199)
    assert runner.stats.opens >= 2
    await exact(bench, 200)


async def test_a_fold_waits_for_a_broker_and_a_stream_that_come_up_later(tmp_path: Path) -> None:
    async with lab(tmp_path) as bench:
        bench.engine.kill()
        async with running(bench.runner()):
            bench.engine.start()
            await bench.until(lambda: bench.client.is_connected, "the lab's connection")
            await bench.until(bench.js.account_info, "JetStream")
            await bench.add_streams()
            await bench.feed(source_rows(10))
            await bench.until_row(9)
        await exact(bench, 10)


async def test_a_stream_made_anew_under_a_running_fold_is_noticed(bench: Lab) -> None:
    async with running(bench.runner()) as (task,):
        await bench.feed(source_rows(50))
        await bench.until_row(49)
        await bench.js.delete_stream("IN")
        await bench.js.add_stream(name="IN", subjects=["in.>"])
        error = await ends_with(task)
    assert isinstance(error, InputChanged)
    assert "created" in str(error)


async def test_a_stream_made_anew_while_the_fold_was_down_is_noticed(bench: Lab) -> None:
    async with running(bench.runner()):
        await bench.feed(source_rows(50))
        await bench.until_row(49)
    await bench.js.delete_stream("IN")
    await bench.js.add_stream(name="IN", subjects=["in.>"])
    await bench.feed(source_rows(90))
    async with running(bench.runner()) as (task,):
        assert isinstance(await ends_with(task), InputChanged)


@pytest.mark.parametrize(
    ("sequence", "time_ns", "found"),
    [(70, 0, "rolled back"), (20, 1_700_000_000_000_000_000, "refilled")],
)
async def test_a_stream_rolled_back_by_a_power_loss_is_noticed(
    bench: Lab, sequence: int, time_ns: int, found: str
) -> None:
    await bench.feed(source_rows(50))
    epoch = (await bench.js.stream_info("IN")).created.isoformat()  # type: ignore[union-attr]
    position = Position(1, sequence, 0, time_ns, epoch)
    await bench.js.publish(
        "out.a", b"", headers={EXPECT: "0", POSITION: str(position), OWNER: "before"}
    )
    async with running(bench.runner()) as (task,):
        error = await ends_with(task)
    assert isinstance(error, InputChanged)
    assert found in str(error)


async def test_input_removed_unread_while_the_fold_was_down_is_an_error(bench: Lab) -> None:
    async with running(bench.runner(fold=Stateless)):
        await bench.feed(source_rows(50))
        await bench.until_row(49)
    await bench.feed(source_rows(50, start=50))
    await bench.js.purge_stream("IN", seq=81)
    async with running(bench.runner(fold=Stateless)) as (task,):
        error = await ends_with(task)
    assert isinstance(error, InputLost)
    assert "81" in str(error)


async def test_a_look_back_that_was_removed_is_an_error(bench: Lab) -> None:
    async with running(bench.runner()):
        await bench.feed(source_rows(100))
        await bench.until_row(99)
    await bench.js.purge_stream("IN", seq=60)
    await bench.feed(source_rows(1, start=100))
    async with running(bench.runner()) as (task,):
        assert isinstance(await ends_with(task), InputLost)


async def test_a_hole_in_a_chained_subject_is_noticed_with_the_next_message(bench: Lab) -> None:
    await bench.js.publish("out.noise", b"keeps the stream's beginning where it is")
    after_me = [0]
    for row in source_rows(3):
        headers = {EXPECT: str(after_me[-1])}
        after_me.append((await bench.js.publish("out.a", pack([row]), headers=headers)).seq)
    reader = bench.runner("b", source=OUT, target=NEXT, fold=Stateless)
    async with running(reader):
        await bench.until_row(2, "out.b")
    for row in source_rows(2, start=3):
        headers = {EXPECT: str(after_me[-1])}
        after_me.append((await bench.js.publish("out.a", pack([row]), headers=headers)).seq)
    await bench.js.purge_stream("OUT", subject="out.a", seq=after_me[-1])
    async with running(bench.runner("b", source=OUT, target=NEXT, fold=Stateless)) as (task,):
        error = await ends_with(task)
    assert isinstance(error, InputLost)
    assert f"{after_me[-2]} precedes {after_me[-1]}" in str(error)


class Stateless(RollingSum):
    """Claims to depend on nothing."""

    @override
    def since(self) -> int | None:
        return None


async def test_a_full_output_stream_holds_the_fold_back_and_loses_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as bench:
        await bench.add_streams(max_msgs=4)
        runner = bench.runner()
        async with running(runner):
            for index in range(4):
                await bench.feed(source_rows(1, start=index))
                if index < 3:
                    await bench.until_row(index)
            await bench.until(lambda: runner.stats.retries > 1, "back-pressure")
            before = await bench.messages("out.a")
            await bench.js.purge_stream("OUT", seq=before[-1].seq)
            await bench.until_row(3)
        after = await bench.messages("out.a")
        rows = [row for m in before[:-1] + after for row in unpack(m.data or b"")]
        assert rows == rolling(source_rows(4))


async def test_a_message_larger_than_a_request_passes(bench: Lab) -> None:
    small = replace(FAST, max_bytes=10_000)
    await bench.js.publish("in.0", pack(source_rows(3000)))
    async with running(bench.runner(options=small)):
        await bench.until_row(2999)
    await exact(bench, 3000)


async def test_an_idle_fold_renews_its_commit(bench: Lab) -> None:
    await bench.feed(source_rows(1))
    async with running(bench.runner(options=replace(FAST, keepalive_s=0.05))):
        await bench.until_row(0)
        renewals = bench.runner().stats.commits + 6

        async def renewed() -> bool:
            return len(await bench.messages("out.a")) >= renewals

        await bench.until(renewed, "renewals")
    stored = await bench.messages("out.a")
    assert [m.data for m in stored if m.data] == [pack(rolling(source_rows(1)))]


@pytest.mark.parametrize("early", [0, 1])
async def test_a_quiet_subject_misses_nothing_when_another_is_purged(
    bench: Lab, early: int
) -> None:
    await bench.feed(source_rows(early))
    quiet = replace(FAST, advance_s=0.05)
    runner = bench.runner(fold=Stateless, options=quiet)
    async with running(runner):
        await bench.feed(source_rows(100), subject="in.other")
        at = 100 if early == 0 else 1
        await bench.until(lambda: runner.stats.position == at, "the position")
    await bench.feed(source_rows(100), subject="in.other")
    await bench.feed(source_rows(2, start=early))
    await purge_behind(bench.js, "IN", "in.other", keep_bytes=0)
    await purge_behind(bench.js, "IN", "in.0", keep_bytes=0)
    again = bench.runner(fold=Stateless, options=quiet)
    async with running(again) as (task,):
        await bench.until_row(early + 1)
        looked = again.reader.surely_read
        await bench.feed(source_rows(1), subject="in.other")
        await bench.until(lambda: again.reader.surely_read > looked or task.done(), "a look")
        assert not task.done(), task.exception()


async def test_nothing_behind_a_mark_is_folded_before_the_gate_opens(bench: Lab) -> None:
    asked: asyncio.Queue[Output] = asyncio.Queue()
    opened = asyncio.Event()

    async def gate(output: Output) -> None:
        asked.put_nowait(output)
        await opened.wait()

    runner = bench.runner(gate=gate)
    async with running(runner):
        await bench.feed(source_rows(5))
        await bench.feed([], subject="in.0")
        await bench.js.publish("in.0", b"", headers={MARK_HEADER: "t5"})
        await bench.feed(source_rows(5, start=5))
        assert (await asked.get()).mark == "t5"
        await bench.until(lambda: runner.stats.lag_messages == 0, "everything received")
        assert runner.stats.rows == 5
        opened.set()
        await bench.until_row(9)
    await exact(bench, 10)


async def test_a_restart_right_behind_a_mark_asks_the_gate_again(bench: Lab) -> None:
    asked: asyncio.Queue[Output] = asyncio.Queue()

    async def closed(output: Output) -> None:
        asked.put_nowait(output)
        await asyncio.Event().wait()

    await bench.js.publish("in.0", pack(source_rows(1)), headers={MARK_HEADER: "t1"})
    await bench.feed(source_rows(1, start=1))
    async with running(bench.runner(gate=closed)):
        assert (await asked.get()).mark == "t1"
    for _ in range(2):
        async with running(bench.runner(gate=closed)):
            assert await asked.get() == Output(b"", mark="t1")
    stored = await bench.messages("out.a")
    assert [(m.headers or {}).get(MARK) for m in stored] == [None, "t1", "t1", "t1"]
    passed: list[str | None] = []

    async def open_gate(output: Output) -> None:
        passed.append(output.mark)

    async with running(bench.runner(gate=open_gate)):
        await bench.until_row(1)
    async with running(bench.runner(gate=open_gate)):
        await bench.feed(source_rows(1, start=2))
        await bench.until_row(2)
    assert passed == ["t1"]
    await exact(bench, 3)


class Ticking(RollingSum):
    """Says when a second passed."""

    @override
    def tick(self, now_ms: int) -> None:
        self.out.append(pack([(now_ms, 0)]))


async def test_ticks_reach_the_fold_and_its_reader_in_order(bench: Lab) -> None:
    async with running(bench.runner(fold=Ticking, options=replace(FAST, tick_s=0.02))):
        await bench.until_row(10**12)
        seen = len(await bench.messages("out.a"))

        async def more() -> bool:
            return len(await bench.messages("out.a")) > seen + 3

        await bench.until(more, "ticks")
    stored = await bench.messages("out.a")
    times = [unpack(m.data)[0][0] for m in stored if m.data]
    assert times == sorted(times)


async def test_a_stop_is_prompt_and_the_commit_under_way_is_finished(bench: Lab) -> None:
    runner = bench.runner()
    task = asyncio.create_task(runner.run())
    await bench.feed(source_rows(100))
    await bench.until(lambda: runner.stats.rows > 0, "a first row")
    async with asyncio.timeout(1):
        await runner.stop()
    await task
    async with running(bench.runner()):
        await bench.until_row(99)
    await exact(bench, 100)


async def test_a_stop_is_prompt_while_the_broker_is_away(bench: Lab) -> None:
    runner = bench.runner()
    task = asyncio.create_task(runner.run())
    await bench.until(lambda: runner.stats.opens > 0, "the reader")
    bench.engine.kill()
    async with asyncio.timeout(10):
        await runner.stop()
        await task


async def test_an_output_that_lost_its_commits_is_not_written_from_the_start(bench: Lab) -> None:
    runner = bench.runner()
    async with running(runner):
        await bench.feed(source_rows(10))
        await bench.until_row(9)
    await bench.js.purge_stream("OUT")
    async with running(bench.runner()) as (task,):
        error = await ends_with(task)
    assert isinstance(error, OutputLost)
    assert "registered position" in str(error)
    await forget(bench.js, "IN", "a")
    async with running(bench.runner()):
        await bench.until_row(9)


async def test_a_message_that_no_fold_wrote_is_not_taken_for_a_commit(bench: Lab) -> None:
    await bench.js.publish("out.a", b"hello")
    async with running(bench.runner()) as (task,):
        error = await ends_with(task)
    assert isinstance(error, OutputLost)
    assert "was not written by a fold" in str(error)


async def test_a_fold_that_starts_at_the_next_message_leaves_the_past_alone(bench: Lab) -> None:
    await bench.feed(source_rows(5))
    runner = bench.runner(options=replace(FAST, start="next"))
    async with running(runner):
        await bench.until(lambda: runner.stats.opens > 0, "the reader")
        await bench.feed(source_rows(5))
        await bench.until_row(4)
    await exact(bench, 5)


async def test_several_subjects_of_a_stream_are_read_in_its_order(bench: Lab) -> None:
    for index, row in enumerate(source_rows(40)):
        await bench.feed([row], subject=("in.0", "in.x.y", "in.not-mine")[index % 3])
    source = Endpoint("IN", "in.0", also=("in.x.>",))
    async with running(bench.runner(source=source)):
        await bench.until_row(39)
    mine = [row for index, row in enumerate(source_rows(40)) if index % 3 < 2]
    assert (await bench.judge("out.a", rolling(mine))).faults == []
