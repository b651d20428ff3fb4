"""The background tasks of a client: they outlast a cancellation from outside, and end with the client.

Whoever is cancelled inside of a client's block may still have something to say to a node on the way out, such as what a
member of a consumer group has settled. So each task is shielded, and the client ends all of them when its block ends.
They act for nobody: whom the context named that happened to start one counts no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from vdb.events.event_context import context


class LastingTasks:
    """Starts tasks in a task group; `end` cancels them."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._scopes: dict[int, anyio.CancelScope] = {}
        """Of the tasks that run, by serial number."""
        self._serial = 0
        self._ended = False

    def start_soon(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """RuntimeError once the group has ended."""
        if self._ended:
            raise RuntimeError("the tasks have ended")
        self._group.start_soon(self._run, function, args)

    async def start(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Start a task and wait until it says that it has started: what it said."""
        return await self._group.start(self._run_started, function, args)

    def end(self) -> None:
        """Cancel them all, and those that are started later."""
        self._ended = True
        for scope in self._scopes.values():
            scope.cancel()

    async def _run(self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        with self._scope():
            await function(*args)

    async def _run_started(
        self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], *, task_status: TaskStatus[Any]
    ) -> None:
        with self._scope():
            await function(*args, task_status=task_status)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        self._serial += 1
        serial = self._serial
        with context(actor=""), anyio.CancelScope(shield=True) as scope:
            self._scopes[serial] = scope
            if self._ended:
                scope.cancel()
            try:
                yield
            finally:
                del self._scopes[serial]
