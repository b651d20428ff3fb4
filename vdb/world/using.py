"""A connection that threads of a program use, and that the node's loop may have to close.

To close a connection of SQLite while another thread is at work on it crashes the process. So

    using.enter() ... using.leave()                      in the program's thread, around each call that works on it
    await using.retire(interrupt); close; using.closed() in the loop: nobody is at work then, and nobody begins

Rules
- Who enters a connection that is being closed waits until it is closed, and hears that from the binding.
- Nobody waits for the loop between `enter` and `leave`: the loop may wait for them.
- `inside` and `gone` are set and read with the interpreter's lock held. Who enters counts first and looks then, who
  retires it says so first and looks then: one of both sees the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import trio

STEP_SECONDS = 0.001
PATIENCE_SECONDS = 1.0
"""After which what is at work is interrupted."""


class Using:
    """See the module's docstring."""

    __slots__ = ("_closed", "gone", "inside")

    def __init__(self) -> None:
        self.inside = 0
        """Calls that are at work."""
        self.gone = False
        self._closed = threading.Event()

    def enter(self) -> None:
        self.inside += 1
        if self.gone:
            self.wait()

    def leave(self) -> None:
        self.inside -= 1

    def wait(self) -> None:
        """Until it is closed; for whoever has counted itself already. Not within another call that is at work."""
        if self.inside > 1:
            return
        self.inside -= 1
        self._closed.wait()
        self.inside += 1

    async def retire(self, interrupt: Callable[[], None]) -> None:
        """Returns once nobody is at work. `interrupt`: have SQLite stop what it is at. Not to be cancelled."""
        self.gone = True
        patience = trio.current_time() + PATIENCE_SECONDS
        while self.inside:
            if trio.current_time() >= patience:
                interrupt()
            await trio.sleep(STEP_SECONDS)

    def closed(self) -> None:
        """The connection is closed."""
        self._closed.set()
