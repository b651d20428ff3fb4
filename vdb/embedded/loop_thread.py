"""A trio loop in a daemon thread, and the bridges to it from other threads and from other loops.

Rules
- `submit` hands an asynchronous function to the loop; its future gets the result. Cancelling the future cancels it.
- What `vdb.context` says around a call, holds in the loop for that call as well.
- When the loop ends, every future that waits gets NodeStopped with the reason, and so does every later call.
- A forked child has the memory but not the thread: every use there raises ForkedHandle.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import trio

from vdb.errors import ForkedHandle, NodeStopped
from vdb.events.event_context import EventContext, current_context, within_context
from vdb.node.node import first_cause

T = TypeVar("T")

Main = Callable[[Callable[[Any], None]], Awaitable[None]]
"""The loop's main function. It calls its argument with its value once it is ready, and returns when it is over."""


class LoopThread:
    """Runs `main` until it ends or `stop` is called."""

    def __init__(self, main: Main, *, name: str) -> None:
        self._main = main
        self._pid = os.getpid()
        self._ready: Future[Any] = Future()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._pending: dict[int, Future[Any]] = {}
        self._serial = 0
        self._lock = threading.Lock()
        self._ended: str | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Any:
        """Start the thread and wait until `main` is ready: what it said, or its error."""
        self._thread.start()
        return self._ready.result()

    def stop(self) -> None:
        """End the loop and wait for the thread. Harmless when it has ended, and in a forked child."""
        if os.getpid() != self._pid or threading.current_thread() is self._thread:
            return
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()

    def submit(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        """Run an asynchronous function in the loop."""
        if os.getpid() != self._pid:
            raise ForkedHandle(
                "this handle was opened before a fork, and the node runs in the parent process: open the database in "
                "one process, or start it with `vdb start` and use `vdb.connect_sync` in each"
            )
        future: Future[T] = Future()
        with self._lock:
            if self._ended is not None:
                raise NodeStopped(self._ended)
            self._serial += 1
            serial = self._serial
            self._pending[serial] = future
        future.add_done_callback(lambda _: self._forget(serial))
        assert self._token is not None
        with suppress(trio.RunFinishedError):  # then `_end` fails the future
            self._token.run_sync_soon(self._spawn, function, future, current_context())
        return future

    def post(self, function: Callable[[], None]) -> None:
        """Have the loop call a function soon, and don't wait. A loop that has ended calls nothing."""
        if os.getpid() == self._pid and self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(function)

    @property
    def is_ours(self) -> bool:
        """Whether the thread runs in this process: a forked child has none."""
        return os.getpid() == self._pid and self._ended is None

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run an asynchronous function in the loop, and wait for it in this thread."""
        future = self.submit(function)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def call_async(self, function: Callable[[], Awaitable[T]]) -> T:
        """The same from a coroutine of another loop, trio's or asyncio's."""
        future = self.submit(function)
        done = anyio.Event()
        wake = _waker(done)
        future.add_done_callback(lambda _: wake())
        try:
            await done.wait()
        except BaseException:
            future.cancel()
            raise
        return future.result()

    # -- in the loop's thread

    def _run(self) -> None:
        reason = "the database was closed"
        try:
            trio.run(self._serve)
        except BaseException as error:
            cause = first_cause(error) if isinstance(error, BaseExceptionGroup) else error
            reason = f"the node has stopped: {cause}"
            if not self._ready.done():
                self._ready.set_exception(cause)
        self._end(reason)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._main(self._ready.set_result)
                raise NodeStopped("its main function returned")

    def _spawn(self, function: Callable[[], Awaitable[Any]], future: Future[Any], said: EventContext) -> None:
        assert self._nursery is not None
        try:
            with within_context(said):
                self._nursery.start_soon(self._answer, function, future)
        except RuntimeError:
            future.set_exception(NodeStopped("the node is stopping"))

    async def _answer(self, function: Callable[[], Awaitable[Any]], future: Future[Any]) -> None:
        with trio.CancelScope() as scope:
            token = self._token
            assert token is not None

            def on_done(done: Future[Any]) -> None:
                if done.cancelled():
                    with suppress(trio.RunFinishedError):
                        token.run_sync_soon(scope.cancel)

            future.add_done_callback(on_done)
            try:
                result = await function()
            except Exception as error:
                _set(future, error=error)
            else:
                _set(future, result=result)

    def _end(self, reason: str) -> None:
        with self._lock:
            self._ended = reason
            waiting = list(self._pending.values())
        for future in waiting:
            _set(future, error=NodeStopped(reason))

    def _forget(self, serial: int) -> None:
        with self._lock:
            self._pending.pop(serial, None)


def _set(future: Future[Any], *, result: Any = None, error: BaseException | None = None) -> None:
    """Settle a future that its owner may be cancelling in the same moment."""
    if future.set_running_or_notify_cancel():
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _waker(done: anyio.Event) -> Callable[[], None]:
    """A function that sets an event of this loop from any thread."""
    try:
        token = trio.lowlevel.current_trio_token()
    except RuntimeError:  # not in trio
        loop = asyncio.get_running_loop()

        def wake_asyncio() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(done.set)

        return wake_asyncio

    def wake_trio() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    return wake_trio
