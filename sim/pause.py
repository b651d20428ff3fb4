"""Pausing the tasks of one machine, as SIGSTOP pauses a process: they are put aside whenever they would run next.

Which tasks belong to a machine is told by a context variable, which tasks inherit from the one that starts them.
While nobody is paused, nothing of trio is touched. This leans on private names of trio, as `sim.runner` does. Whoever
pauses must resume before the run can end, since a paused task can't even be cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import trio
from trio._core import _run as trio_run

_RESCHEDULE = trio_run.Runner.reschedule


class Pausable:
    """The tasks of one machine."""

    paused_count = 0
    """Of all machines."""

    def __init__(self) -> None:
        self.paused = False
        self._aside: list[tuple[trio_run.Runner, trio.lowlevel.Task]] = []

    @contextmanager
    def members(self) -> Iterator[None]:
        """The calling task, and all that it starts inside, belong to this machine."""
        token = _OWNER.set(self)
        try:
            yield
        finally:
            _OWNER.reset(token)

    def pause(self) -> None:
        """From now on none of its tasks runs, beyond the step in which it is."""
        assert not self.paused
        self.paused = True
        Pausable.paused_count += 1
        _patch(_reschedule_unless_paused)

    def resume(self) -> None:
        """All that would have run meanwhile runs now, in its order. Harmless when it isn't paused."""
        if not self.paused:
            return
        self.paused = False
        Pausable.paused_count -= 1
        if not Pausable.paused_count:
            _patch(_RESCHEDULE)
        aside, self._aside = self._aside, []
        for runner, task in aside:
            runner.runq.append(task)

    def put_aside(self, runner: trio_run.Runner) -> None:
        """The task that is the last to run next shall not."""
        self._aside.append((runner, runner.runq.pop()))


_OWNER: ContextVar[Pausable | None] = ContextVar("_OWNER", default=None)


def _reschedule_unless_paused(runner: trio_run.Runner, task: trio.lowlevel.Task, *value: Any) -> None:
    _RESCHEDULE(runner, task, *value)
    owner = task.context.get(_OWNER)
    if owner is not None and owner.paused:
        owner.put_aside(runner)


def _patch(reschedule: Any) -> None:
    trio_run.Runner.reschedule = reschedule  # type: ignore[method-assign]
