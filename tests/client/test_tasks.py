"""A client's background tasks go on while a cancellation unwinds its block, and end with the client."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import trio
import trio.lowlevel

from vdb.client.tasks import LastingTasks


async def test_tasks_outlast_a_cancellation_until_they_are_ended() -> None:
    ticks: list[float] = []

    async def tick(*, task_status: Any = None) -> None:
        if task_status is not None:
            task_status.started("ready")
        while True:
            await trio.sleep(0.001)
            ticks.append(trio.current_time())

    with trio.fail_after(30):
        with trio.CancelScope() as outside:
            async with anyio.create_task_group() as group:
                tasks = LastingTasks(group)
                tasks.start_soon(tick)
                assert await tasks.start(tick) == "ready"
                outside.cancel()
                with trio.CancelScope(shield=True):
                    count = len(ticks)
                    while len(ticks) < count + 10:  # noqa: ASYNC110
                        await trio.sleep(0.001)
                tasks.end()
                group.cancel_scope.cancel()
    count = len(ticks)
    await trio.sleep(0.01)
    assert len(ticks) == count


async def test_nothing_starts_after_the_end() -> None:
    ran: list[str] = []

    async def run(*, task_status: Any = None) -> None:
        await trio.lowlevel.checkpoint()
        ran.append("ran")
        if task_status is not None:
            task_status.started()

    async with anyio.create_task_group() as group:
        tasks = LastingTasks(group)
        tasks.end()
        with pytest.raises(RuntimeError, match="the tasks have ended"):
            tasks.start_soon(run)
        with pytest.raises(RuntimeError):
            await tasks.start(run)
    assert not ran


async def test_an_error_in_a_task_is_the_groups() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with anyio.create_task_group() as group:
            LastingTasks(group).start_soon(fail)
