"""The fence of one incarnation of a node: after a crash not one of its port calls has an effect.

Every port call of a simulated world passes `Fence.enter` (or `check`, for calls that don't suspend). There
`on_port_call` tells the nemesis of it by kind, such as "disk.sync" or "net.send", and may crash the node right there:
the n-th port call of a node is an exact crash point.

`Crashed` derives from BaseException, like trio's `Cancelled`, so that no `except Exception` of the product swallows
it; a `finally` block that calls a port gets it again. It never leaves the tasks of the incarnation that crashed:
whoever starts an incarnation runs it under `absorb_crash`.

Tasks that wait inside a port wait through the fence, which wakes them all with `Crashed` when it trips: nothing of a
dead incarnation stays asleep on a timer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import outcome
import trio

from sim.runner import VirtualClock


class Crashed(BaseException):
    """This incarnation of the node has crashed."""


def _nothing(kind: str) -> None:
    """No nemesis."""


class Fence:
    """What all ports of one incarnation share. `owner` names the node in messages."""

    def __init__(self, owner: str, clock: VirtualClock, on_port_call: Callable[[str], object] = _nothing) -> None:
        self.owner = owner
        self.clock = clock
        self.tripped = False
        self._on_port_call = on_port_call
        self._parked: dict[trio.lowlevel.Task, int] = {}
        self._tickets = 0
        self._scopes: dict[trio.CancelScope, None] = {}

    @contextmanager
    def ending(self, scope: trio.CancelScope) -> Iterator[None]:
        """Within, the end of this incarnation cancels the scope: for tasks that clients have inside."""
        self._scopes[scope] = None
        if self.tripped:
            scope.cancel()
        try:
            yield
        finally:
            del self._scopes[scope]

    def check(self) -> None:
        """Raise `Crashed` after the crash."""
        if self.tripped:
            raise Crashed(f"{self.owner} has crashed")

    async def enter(self, kind: str) -> None:
        """Begin a port call that suspends: a cancellation point and a crash point, before any effect."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self.reach(kind)

    def reach(self, kind: str) -> None:
        """A crash point that doesn't suspend."""
        self.check()
        self._on_port_call(kind)
        self.check()

    def trip(self) -> None:
        """Crash: from now on every port call raises, and so do those that wait."""
        self.tripped = True
        parked, self._parked = self._parked, {}
        for task in parked:
            trio.lowlevel.reschedule(task, outcome.Error(Crashed(f"{self.owner} has crashed")))
        for scope in self._scopes:
            scope.cancel()

    async def sleep(self, delay_ns: int, *, shielded: bool = False) -> None:
        """Suspend for a virtual time. Shielded: like a thread's work, it can't be cancelled half way."""
        task = trio.lowlevel.current_task()
        ticket = self._park(task)

        def wake() -> None:
            if self._parked.get(task) == ticket:
                self.wake(task)

        self.clock.call_after(delay_ns, wake)
        await self._wait(task, shielded)

    async def wait(self) -> None:
        """Suspend the calling task until `wake` names it; cancellable."""
        task = trio.lowlevel.current_task()
        self._park(task)
        await self._wait(task, False)

    def wake(self, task: trio.lowlevel.Task) -> None:
        """Let a task that waits go on; harmless if it waits no more."""
        if self._parked.pop(task, None) is not None:
            trio.lowlevel.reschedule(task)

    def _park(self, task: trio.lowlevel.Task) -> int:
        self.check()
        self._tickets += 1
        self._parked[task] = self._tickets
        return self._tickets

    async def _wait(self, task: trio.lowlevel.Task, shielded: bool) -> None:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            if shielded:
                return trio.lowlevel.Abort.FAILED
            self._parked.pop(task, None)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)


@contextmanager
def absorb_crash() -> Iterator[None]:
    """Run an incarnation inside: swallows `Crashed`, alone or in groups; anything else passes."""
    try:
        yield
    except Crashed:
        pass
    except BaseExceptionGroup as group:
        _, rest = group.split(Crashed)
        if rest is not None:
            raise rest from None
