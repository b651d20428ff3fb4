"""Tests of the deterministic runner."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import pytest
import trio

from sim import runner
from sim.runner import (
    NS,
    BudgetExceeded,
    Deadlocked,
    Livelocked,
    RealWorldRefused,
    run,
    virtual_clock,
)

TRACE_PROGRAM = """
import anyio, hashlib, trio
from sim.runner import run

async def main():
    digest = hashlib.sha256()
    def note(*what):
        digest.update(repr((what, trio.current_time())).encode())
    send, receive = anyio.create_memory_object_stream(3)
    async def producer(name):
        for n in range(20):
            await trio.sleep(0.001 * (n % 3))
            await send.send((name, n))
            note("sent", name, n)
    async def consumer(name):
        async for item in receive.clone():
            note("got", name, item)
    async def waiter(name, at):
        await trio.sleep_until(at)
        note("woke", name)
    with trio.move_on_after(5):
        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(producer, name)
                nursery.start_soon(consumer, name)
            for name in range(50):
                nursery.start_soon(waiter, name, 1.0)
    return digest.hexdigest()

print(run(SEED, main))
"""


def trace_of(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
    return subprocess.run(
        [sys.executable, "-c", TRACE_PROGRAM.replace("SEED", str(seed))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_same_seed_gives_the_same_trace_in_two_processes() -> None:
    assert trace_of(1, "1") == trace_of(1, "2")


def test_another_seed_gives_another_trace() -> None:
    assert trace_of(1, "1") != trace_of(2, "1")


def test_time_jumps_and_each_reading_differs() -> None:
    async def main() -> tuple[float, float]:
        await trio.sleep(3600)
        return trio.current_time(), trio.current_time()

    first, second = run(1, main)
    assert 3600 <= first < second < 3600.001


def test_actions_run_in_the_order_of_their_time_then_of_their_making() -> None:
    async def main() -> list[str]:
        clock = virtual_clock()
        seen: list[str] = []
        clock.call_at(2 * NS, lambda: seen.append("late"))
        clock.call_at(1 * NS, lambda: seen.append("early"))
        clock.call_at(1 * NS, lambda: seen.append("early too"))
        await trio.sleep(3)
        return seen

    assert run(1, main) == ["early", "early too", "late"]


def test_an_action_that_raises_ends_the_run() -> None:
    async def main() -> None:
        def fail() -> None:
            raise ValueError("from an action")

        virtual_clock().call_after(NS, fail)
        await trio.sleep_forever()

    with pytest.raises(ValueError, match="from an action"):
        run(1, main)


def test_exceptions_pass_through() -> None:
    async def main() -> None:
        await trio.sleep(1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(1, main)


def test_a_deadlock_is_an_error_that_lists_the_tasks() -> None:
    async def stuck_here() -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck_here)

    with pytest.raises(Deadlocked, match="stuck_here"):
        run(1, main)


def test_a_shielded_deadlock_ends_too() -> None:
    async def main() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    with pytest.raises(Deadlocked):
        run(1, main)


def test_virtual_time_is_bounded() -> None:
    async def main() -> None:
        for _ in range(100):
            await trio.sleep(1)

    with pytest.raises(BudgetExceeded, match=r"10\.0 virtual seconds"):
        run(1, main, budget_s=10.0)


def test_spinning_without_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    monkeypatch.setattr(runner, "SPIN_MAX", 1000)
    with pytest.raises(Livelocked, match="1000 readings"):
        run(1, main)


def test_threads_are_refused() -> None:
    async def with_trio() -> None:
        await trio.to_thread.run_sync(lambda: None)

    async def with_anyio() -> None:
        await anyio.to_thread.run_sync(lambda: None)

    for program in (with_trio, with_anyio):
        with pytest.raises(RealWorldRefused, match="asked for a thread"):
            run(1, program)


def test_real_io_is_refused() -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        with left, right:
            await trio.lowlevel.wait_readable(left)

    with pytest.raises(RealWorldRefused, match="real IO"):
        run(1, main)


def test_threads_work_again_after_a_run() -> None:
    async def simulated() -> None:
        await trio.sleep(1)

    async def real() -> int:
        return await trio.to_thread.run_sync(lambda: 7)

    run(1, simulated)
    assert trio.run(real) == 7


def test_wait_all_tasks_blocked_works() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 5)
            await trio.testing.wait_all_tasks_blocked()
            assert trio.current_time() < 1

    run(1, main)


def test_loops_of_other_threads_go_on_and_draw_nothing_from_the_seed() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def work(number: int) -> None:
            for _ in range(200):
                order.append(number)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(work, number)
        return order

    alone = run(7, main)
    turns: list[int] = []
    over = threading.Event()

    async def elsewhere() -> None:
        while not over.is_set():
            turns.append(await trio.to_thread.run_sync(int))

    thread = threading.Thread(target=trio.run, args=(elsewhere,))
    thread.start()
    try:
        assert [run(7, main) for _ in range(5)] == [alone] * 5
        before = len(turns)
        while len(turns) == before and thread.is_alive():
            pass
        assert thread.is_alive()
    finally:
        over.set()
        thread.join()


def sleepers(seed: int, sleep: Callable[[float], Awaitable[None]] | None = None) -> list[object]:
    """What tasks do that sleep, are cancelled and come late, each with the time: by this `sleep`, or the runner's."""
    seen: list[object] = []

    async def work(number: int, draws: random.Random) -> None:
        rest = sleep or trio.sleep
        for _ in range(8):
            with trio.move_on_after(draws.choice([0.002, 0.004, draws.random() * 0.01])) as scope:
                await rest(draws.choice([0.002, 0.004, 1e-9, draws.random() * 0.01]))
            seen.append((number, virtual_clock().present_ns, scope.cancelled_caught))
            await rest(draws.choice([0.001, 0.002]))
            seen.append((number, virtual_clock().present_ns))

    async def main() -> None:
        draws = random.Random(seed)
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(work, number, draws)
                await (sleep or trio.sleep)(draws.random() * 0.03)
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await (sleep or trio.sleep)(0.001)
            seen.append(virtual_clock().present_ns)

    run(seed, main)
    return seen


@pytest.mark.parametrize("seed", range(12))
def test_a_sleep_ends_when_and_in_the_order_in_which_trios_own_would(seed: int) -> None:
    assert sleepers(seed) == sleepers(seed, trio.sleep)
