"""Connections that threads of a program use: nobody is at work on one when it is closed."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.lowlevel

from vdb.world.using import Using


async def test_it_waits_for_who_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.world.using.PATIENCE_SECONDS", 0.02)
    using, interrupted = Using(), []

    def interrupt() -> None:
        interrupted.append(trio.current_time())
        using.leave()

    using.enter()
    begun = trio.current_time()
    assert await using.retire(interrupt)
    assert len(interrupted) == 1
    assert interrupted[0] - begun >= 0.02


async def test_it_waits_for_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the program's may wait for the loop, while SQLite waits for it."""
    monkeypatch.setattr("vdb.world.using.LEFT_SECONDS", 0.02)
    using = Using()
    using.enter()
    assert not await using.retire(lambda: None)
    using.leave()
    assert await using.retire(lambda: None)


async def test_who_comes_later_waits_until_it_is_closed() -> None:
    using, entered = Using(), threading.Event()

    def enter() -> None:
        using.enter()
        entered.set()
        using.leave()

    await using.retire(lambda: None)
    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.02)
    using.closed()
    thread.join()
    assert entered.is_set()
    assert using.inside == 0


async def test_who_is_at_work_may_enter_once_more() -> None:
    using = Using()
    using.enter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(using.retire, lambda: None)
        while not using.gone:
            await trio.lowlevel.checkpoint()
        using.enter()
        using.leave()
        using.leave()
    assert using.inside == 0
