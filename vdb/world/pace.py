"""Where blocking work runs: on the loop itself or in a worker thread.

A hop into a thread and back costs more (about 0.3 ms, and some 0.2 ms of it the loop's own) than a quick sync: a lonely
request is best served inline, and so is a loop with other things to do, while the disk is that quick. So work runs
inline when

1. no other work of this disk is under way (queue depth 1),
2. the disk isn't slow: when inline work takes more than SLOW_S in the moving average, such work goes to threads for
   SLOW_FOR_S. One long call says little on a busy machine, where the loop's thread itself may have to wait its turn;
3. no task of the loop is ready to run, seen after one checkpoint; or else the work is the sync of a few bytes, and such
   syncs took no more than BRIEF_S in the moving average: above that the others go on beside a thread, for BRIEF_FOR_S.

Writes to the page cache are judged apart from syncs: on a slow disk they are as quick as on a fast one, until the
system makes writers wait.

Measured on a node with 64 publishes in flight, on a disk that syncs in 0.2 ms (two cores, the client has the other
one): syncs in threads 4,050 publishes a second and 179 µs of the processor each, inline 5,530 and 128.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

T = TypeVar("T")

SLOW_S = 0.005
"""Inline work that takes longer makes the disk count as slow. Far below the 50 ms that the loop may stall."""

SLOW_FOR_S = 1.0
BRIEF_S = 0.001
"""A sync that takes longer than this lets the loop's other tasks go on meanwhile. What a hop costs is below it."""
BRIEF_FOR_S = 0.25
BRIEF_BYTES_MAX = 256 * 1024
"""What was written since the file's last sync may be no more, or its sync is no brief one."""
WEIGHT = 0.2
"""Of the newest call in the moving average: with one of 25 ms a disk counts as slow, with one of 10 ms it doesn't."""
THREADS_MAX = 8
UNBROKEN_MAX = 256 * 1024
"""Bytes that are written into the page cache, some 50 µs of work, before other tasks get a turn."""


class _Speed:
    """The moving average of how long one kind of inline work takes, and whether it is too slow for the loop.

    Once it is above `slow_s`, the work isn't quick for `slow_for_s`; then it is tried again.
    """

    __slots__ = ("_average", "_slow_for_s", "_slow_s", "_threads_until")

    def __init__(self, slow_s: float = SLOW_S, slow_for_s: float = SLOW_FOR_S) -> None:
        self._slow_s = slow_s
        self._slow_for_s = slow_for_s
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
            if self._average > self._slow_s:
                self._average = 0.0
                self._threads_until = end + self._slow_for_s


class Pace:
    """Decides for one disk."""

    def __init__(self) -> None:
        self._under_way = 0
        self._unbroken = 0
        self._waiting = _Speed()
        self._touching = _Speed()
        self._brief = _Speed(BRIEF_S, BRIEF_FOR_S)
        self._limiter: trio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Do work that may take as long as the disk likes; a checkpoint. It can't be cancelled once it has begun."""
        await trio.lowlevel.checkpoint()
        if self._inline_is_better():
            return self._waiting.run_inline(work)
        return await self.run_in_thread(work)

    async def run_sync(self, work: Callable[[], None], size: int) -> None:
        """`run` for the sync of a file that was given so many bytes since the last one."""
        await trio.lowlevel.checkpoint()
        brief = size <= BRIEF_BYTES_MAX
        if brief and self._brief.is_quick() and self._waiting.is_quick() and not self._under_way:
            self._brief.run_inline(partial(self._waiting.run_inline, work))
        elif self._inline_is_better():
            self._waiting.run_inline(work)
        else:
            await self.run_in_thread(work)

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
