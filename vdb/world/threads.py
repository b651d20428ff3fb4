"""Threads, for code that runs in those of a program: which one is this, and work for another one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

T = TypeVar("T")

thread_ident = threading.get_ident
"""A number of the thread that calls; another thread may have it later."""


async def in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter | None = None) -> T:
    """Call this in a worker thread, from a coroutine of trio's or asyncio's. It isn't abandoned when cancelled."""
    return await anyio.to_thread.run_sync(work, limiter=limiter)


def in_background(work: Callable[[], None]) -> None:
    """Call this in a thread of its own, and don't wait."""
    threading.Thread(target=work, daemon=True).start()
