"""Ctrl-C for a command: it cancels what the command awaits, and never raises inside of it.

Python's own way is a KeyboardInterrupt wherever the signal lands: in a callback, in the middle of a state machine,
inside a `finally`. On its way out it may be swallowed, or another error may take its place. So here

- a command that runs on trio has a cancel scope around it, and SIGINT cancels the scope;
- before that, while the command line is read, SIGINT raises KeyboardInterrupt as ever;
- `happened` says that it came: then whatever came out of the command is no news;
- a second SIGINT ends the process at once, should the first one wait for something that doesn't end.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
from collections.abc import Awaitable, Callable
from types import FrameType, TracebackType
from typing import Any

import trio

from vdb.cli.output import EXIT_INTERRUPTED


class Interrupts:
    """The handler of SIGINT, for the time of a `with` block in the main thread."""

    def __init__(self) -> None:
        self.happened = False
        self._cancel: Callable[[], None] | None = None
        """Cancels the command; None while it doesn't run on trio."""
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def call(self, command: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
        """Run a command to its end, on trio if it is asynchronous. None if it was cancelled."""
        if not inspect.iscoroutinefunction(command):
            return command(*bound.args, **bound.kwargs)
        return trio.run(self._within_scope, command, bound)

    async def _within_scope(self, command: Callable[..., Awaitable[Any]], bound: inspect.BoundArguments) -> Any:
        token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as scope:

            def cancel() -> None:
                with contextlib.suppress(trio.RunFinishedError):
                    token.run_sync_soon(scope.cancel)

            self._cancel = cancel
            return await command(*bound.args, **bound.kwargs)
        return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            os._exit(EXIT_INTERRUPTED)
        self.happened = True
        if self._cancel is None:
            raise KeyboardInterrupt
        self._cancel()
