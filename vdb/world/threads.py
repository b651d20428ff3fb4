"""Threads, for code that runs in those of a program: which one is this, and work for another one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

T = TypeVar("T")

Lock = threading.Lock
"""For what several threads of a program share."""

RLock = threading.RLock
"""The same, where a thread that has it may take it again."""

thread_ident = threading.get_ident
"""A number of the thread that calls; another thread may have it later."""


class Turns:
    """Calls in worker threads, one after another, in the order in which they were asked for. Of one loop."""

    def __init__(self) -> None:
        self._turn = anyio.CapacityLimiter(1)
        self._thread = anyio.CapacityLimiter(1)
        """Its own: whoever has a turn never waits for a thread behind those who wait for what it holds."""

    async def call(self, work: Callable[[], T], on_cancel: Callable[[], None] | None) -> T:
        """Call this in a worker thread. `on_cancel` is called if the caller is cancelled meanwhile.

        The call has ended when the cancellation goes on.
        """
        found: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                found.append(work())
            except BaseException as error:
                failed.append(error)

        async def watch() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                if on_cancel is not None and not found and not failed:
                    on_cancel()

        async with self._turn:
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                await anyio.to_thread.run_sync(run, limiter=self._thread)
                group.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint_if_cancelled()
        if failed:
            raise failed[0]
        return found[0]


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
