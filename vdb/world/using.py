"""A connection that threads of a program use, and that the node's loop may have to close.

To close a connection of SQLite while another thread is at work on it crashes the process. So

    using.enter() ... using.leave()                      in the program's thread, around each call that works on it
    await using.retire(interrupt); close; using.closed() in the loop: nobody is at work then, and nobody begins

Rules
- Who enters a connection that is being closed waits until it is closed, and hears that from the binding.
- Nobody waits for the loop between `enter` and `leave`: the loop may wait for them. Functions of a program's that
  SQLite calls may do so all the same: then the connection is left open for good, so that it touches no file any more.
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
LEFT_SECONDS = 10.0
"""After which nobody waits any longer."""


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

    async def retire(self, interrupt: Callable[[], None]) -> bool:
        """True once nobody is at work, so that it may be closed; False where that takes too long. `interrupt`: have
        SQLite stop what it is at. Not to be cancelled."""
        self.gone = True
        begun = trio.current_time()
        while self.inside:
            waited = trio.current_time() - begun
            if waited >= LEFT_SECONDS:
                return False
            if waited >= PATIENCE_SECONDS:
                interrupt()
            await trio.sleep(STEP_SECONDS)
        return True

    def closed(self) -> None:
        """The connection is closed, or is left open."""
        self._closed.set()
