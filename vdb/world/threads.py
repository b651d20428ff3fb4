"""Threads, for code that runs in those of a program: which one is this, and work for another one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

T = TypeVar("T")

Lock = threading.Lock
"""For what several threads of a program share."""

thread_ident = threading.get_ident
"""A number of the thread that calls; another thread may have it later."""


async def in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter | None = None) -> T:
    """Call this in a worker thread, from a coroutine of trio's or asyncio's. It isn't abandoned when cancelled."""
    return await anyio.to_thread.run_sync(work, limiter=limiter)


class Background:
    """A thread that calls what it is given, one after another: for what nobody can wait for."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have the thread run; a forked child has to start its own."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="vdb-background", daemon=True)
            self._thread.start()

    def soon(self, work: Callable[[], None]) -> None:
        """Call this in the thread. Never waits, so it may be called from anywhere, finalizers included."""
        self._jobs.put(work)

    def _run(self) -> None:
        while True:
            self._jobs.get()()


background = Background()


def in_background(work: Callable[[], None]) -> None:
    """Call this in the background thread, once that is started, and don't wait. For finalizers."""
    background.soon(work)
