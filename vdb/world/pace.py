"""Where blocking work runs: on the loop itself or in a worker thread.

A hop into a thread and back costs more (about 0.3 ms) than a quick sync, so a lonely request is best served inline;
under load the loop has other things to do in the meantime, and wants the thread. So work runs inline when

1. no other work of this disk is under way (queue depth 1),
2. no task of the loop is ready to run, seen after one checkpoint, and
3. the disk isn't slow: when inline work takes more than SLOW_S in the moving average, such work goes to threads for
   SLOW_FOR_S. One long call says little on a busy machine, where the loop's thread itself may have to wait its turn.

Writes to the page cache are judged apart from syncs: on a slow disk they are as quick as on a fast one, until the
system makes writers wait.

Measured on an echo server that syncs before it answers, with group commit (two cores shared with others; requests per
second, always inline / always a thread / this rule): at 1 in flight 1,350 / 1,290 / 1,410; at 16, 2,950 / 4,270 /
4,410; at 64, 8,580 / 7,610 / 8,750. The rule is never far from the better of the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")

SLOW_S = 0.005
"""Inline work that takes longer makes the disk count as slow. Far below the 50 ms that the loop may stall."""

SLOW_FOR_S = 1.0
WEIGHT = 0.2
"""Of the newest call in the moving average: one of 25 ms counts as slow, one of 10 ms doesn't."""
THREADS_MAX = 8
UNBROKEN_MAX = 256 * 1024
"""Bytes that are written into the page cache, some 50 µs of work, before other tasks get a turn."""


class _Speed:
    """The moving average of how long one kind of inline work takes, and whether it is too slow for the loop."""

    __slots__ = ("_average", "_threads_until")

    def __init__(self) -> None:
        self._average = 0.0
        self._threads_until = 0.0

    def is_quick(self) -> bool:
        return time.perf_counter() >= self._threads_until

    def run_inline(self, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return work()
        finally:
            end = time.perf_counter()
            self._average += WEIGHT * (end - start - self._average)
            if self._average > SLOW_S:
                self._average = 0.0
                self._threads_until = end + SLOW_FOR_S


class Pace:
    """Decides for one disk."""

    def __init__(self) -> None:
        self._under_way = 0
        self._unbroken = 0
        self._waiting = _Speed()
        self._touching = _Speed()
        self._limiter: trio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Do work that may take as long as the disk likes; a checkpoint. It can't be cancelled once it has begun."""
        await trio.lowlevel.checkpoint()
        if self._inline_is_better():
            return self._waiting.run_inline(work)
        return await self.run_in_thread(work)

    async def run_quick(self, work: Callable[[], T], size: int) -> T:
        """Do work that only touches memory as a rule (a write of so many bytes to the page cache).

        A point of cancellation. Others run first when much was written since they last did: a turn of the loop takes
        longer than a small write, and a sync that follows gives them theirs.
        """
        self._unbroken += size
        if self._unbroken >= UNBROKEN_MAX:
            self._unbroken = 0
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if self._touching.is_quick():
            return self._touching.run_inline(work)
        return await self.run_in_thread(work)

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """Do work that surely takes long."""
        if self._limiter is None:
            self._limiter = trio.CapacityLimiter(THREADS_MAX)
        self._under_way += 1
        try:
            return await trio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._under_way -= 1

    def _inline_is_better(self) -> bool:
        return (
            self._under_way == 0 and self._waiting.is_quick() and trio.lowlevel.current_statistics().tasks_runnable == 0
        )
