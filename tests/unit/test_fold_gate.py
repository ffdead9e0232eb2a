"""The gate in front of a dispatcher's sends."""

import asyncio

from flyball_kit.fold import Gate


async def test_closing_waits_for_the_sends_under_way_and_lets_nothing_else_begin() -> None:
    gate = Gate()
    assert gate.enter(0)
    assert gate.enter(0)
    closing = asyncio.ensure_future(gate.close())
    await asyncio.sleep(0)
    assert not gate.enter(0)
    gate.leave()
    await asyncio.sleep(0)
    assert not closing.done()
    gate.leave()
    await closing
    assert not gate.is_open


async def test_what_was_decided_before_a_stop_never_passes_again() -> None:
    gate = Gate()
    gate.set(3, is_open=False)
    gate.set(4, is_open=True)
    assert gate.is_open
    assert [gate.bars(revision) for revision in (0, 3, 4, 5)] == [True, True, False, False]


async def test_a_record_that_is_heard_of_late_does_not_open_a_gate_that_was_closed() -> None:
    gate = Gate()
    gate.set(4, is_open=True)
    await gate.close()
    gate.set(4, is_open=True)
    gate.set(3, is_open=True)
    assert gate.bars(4)
    gate.open(3)
    assert gate.bars(4)
    gate.open(4)
    assert gate.enter(4)
