"""The fence: who gets `Crashed`, and where it ends."""

from __future__ import annotations

import pytest
import trio

from sim.runner import run, virtual_clock
from sim.world.fence import Crashed, Fence, absorb_crash


def test_a_group_of_crashes_is_absorbed_and_anything_else_passes() -> None:
    with absorb_crash():
        raise BaseExceptionGroup("tasks", [Crashed("n0"), BaseExceptionGroup("more", [Crashed("n0")])])
    with pytest.raises(ExceptionGroup) as caught, absorb_crash():
        raise BaseExceptionGroup("tasks", [Crashed("n0"), ValueError("a bug")])
    assert caught.group_contains(ValueError, match="a bug")
    assert not caught.group_contains(Crashed)


def test_a_crash_wakes_sleepers_and_their_timers_do_no_harm() -> None:
    async def main() -> list[str]:
        fence = Fence("n0", virtual_clock())
        ended = []

        async def sleeper() -> None:
            with absorb_crash():
                await fence.sleep(10**9, shielded=True)
                ended.append("slept on")
            ended.append("woken")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper)
            await trio.sleep(0.5)
            fence.trip()
        assert trio.current_time() < 0.6
        await trio.sleep(5)
        return ended

    assert run(1, main) == ["woken"]


def test_a_shielded_sleep_can_not_be_cancelled_and_another_can() -> None:
    async def main() -> None:
        fence = Fence("n0", virtual_clock())
        with trio.move_on_after(1):
            await fence.sleep(5 * 10**9, shielded=True)
        assert trio.current_time() > 5
        with trio.move_on_after(1) as scope:
            await fence.sleep(5 * 10**9)
        assert scope.cancelled_caught
        assert trio.current_time() < 6.1

    run(1, main)
