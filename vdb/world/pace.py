"""Where blocking work runs: on the loop itself or in a worker thread.

A hop into a thread and back costs more (about 0.3 ms) than a quick sync, so a lonely request is best served inline;
under load the loop has other things to do in the meantime, and wants the thread. So work runs inline when

1. no other work of this disk is under way (queue depth 1),
2. no task of the loop is ready to run, seen after one checkpoint, and
3. the disk hasn't been slow: after inline work of more than SLOW_S everything goes to threads for SLOW_FOR_S.

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
THREADS_MAX = 8


class Pace:
    """Decides for one disk."""

    def __init__(self) -> None:
        self._under_way = 0
        self._threads_until = 0.0
        self._limiter: trio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Do work that may take as long as the disk likes; a checkpoint. It can't be cancelled once it has begun."""
        await trio.lowlevel.checkpoint()
        if self._inline_is_better():
            return self._run_inline(work)
        return await self.run_in_thread(work)

    async def run_quick(self, work: Callable[[], T]) -> T:
        """Do work that only touches memory as a rule (a write to the page cache); a checkpoint."""
        await trio.lowlevel.checkpoint()
        if time.perf_counter() >= self._threads_until:
            return self._run_inline(work)
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
            self._under_way == 0
            and time.perf_counter() >= self._threads_until
            and trio.lowlevel.current_statistics().tasks_runnable == 0
        )

    def _run_inline(self, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return work()
        finally:
            end = time.perf_counter()
            if end - start > SLOW_S:
                self._threads_until = end + SLOW_FOR_S
