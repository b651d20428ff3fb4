"""Deterministic trio: `run(seed, async_fn)` is a pure function of its arguments, whatever the process.

Three rules make it hold
1. Time is virtual. It moves only when no task can run, inside `deadline_to_sleep_time`, which trio asks just then:
   to the next deadline or to the next action of `call_at`, whichever is earlier.
2. Ties have an order. Each reading of the clock advances it by a nanosecond, and equal deadlines expire in the order
   in which they were registered (trio alone breaks such ties by memory address). The scheduler sorts each batch by
   the tasks' age and shuffles it with a generator seeded from `seed`.
3. No threads and no real IO: both are refused at the place where every use of them must pass.

A run can't hang. If nothing can run and nothing is due it ends with `Deadlocked`, which lists the tasks; past
`budget_s` of virtual time with `BudgetExceeded`; and when time stands still while tasks spin, with `Livelocked`.
In each case the tasks are cancelled first, so that `finally` blocks run.

Actions of `call_at` run between two steps of tasks and must not block. They stand in for one task per message or
per timer: a simulated network needs no task of its own.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from math import ceil, inf
from pathlib import PurePath
from threading import get_ident
from typing import Any, TypeVar

import outcome
import trio
from trio._core import _run as trio_run
from trio._core import _thread_cache as trio_threads
from trio._core._wakeup_socketpair import WakeupSocketpair

T = TypeVar("T")

NS = 1_000_000_000
"""Nanoseconds in a second."""

SPIN_MAX = 5_000_000
"""Readings of the clock between two jumps after which the run counts as spinning."""

GC_THRESHOLDS = (50_000, 20, 50)
"""A run makes many objects and few cycles of them: looking for those at Python's usual pace is a fifth of its time."""

SHORT_S = 1e-6
"""Sleeps no longer than this are left to trio: their end may come while they begin."""

STOPS_MAX = 8
"""Attempts to end a run's tasks before the run is given up with whatever still sleeps."""


class RunFailed(Exception):
    """The run can't go on, for a reason that is no task's exception."""


class Deadlocked(RunFailed):
    """Nothing can run and nothing is due."""


class BudgetExceeded(RunFailed):
    """The run reached its bound of virtual time."""


class Livelocked(RunFailed):
    """Tasks run on and on without time passing."""


class RealWorldRefused(RunFailed):
    """A simulated program asked for a thread or for real IO."""


class VirtualClock(trio.abc.Clock):
    """Time of one run, in whole nanoseconds from 0, and the actions that are due."""

    def __init__(self, budget_ns: int) -> None:
        self._now = 0
        self._budget = budget_ns
        self._last_jump = 0
        self._actions: list[tuple[int, int, Callable[[], object]]] = []
        self._sequence = 0
        self._stop: Callable[[], object] | None = None
        self._stops = 0
        self.failure: BaseException | None = None

    def now_ns(self) -> int:
        """The time; one nanosecond later at each reading."""
        self._now += 1
        return self._now

    @property
    def present_ns(self) -> int:
        """The time, without advancing it: for onlookers, who must not change the run that they look at."""
        return self._now

    def call_at(self, when_ns: int, action: Callable[[], object]) -> None:
        """Run `action` at `when_ns`, after all actions that are due before or were put earlier for the same time."""
        self._sequence += 1
        heappush(self._actions, (when_ns, self._sequence, action))

    def call_after(self, delay_ns: int, action: Callable[[], object]) -> None:
        """Run `action` when `delay_ns` have passed."""
        self.call_at(self._now + delay_ns, action)

    def stop_with(self, failure: BaseException) -> None:
        """End the run with `failure`; the first one counts. Tasks that shield themselves get it as an exception."""
        self._stops += 1
        if self._stop is None or self._stops > STOPS_MAX:
            raise failure
        if self.failure is None:
            self.failure = failure
            self._stop()
        else:
            _throw_into_all(failure)

    # --- trio's side -------------------------------------------------------------------------------------------

    def start_clock(self) -> None:
        runner = trio_run.GLOBAL_RUN_CONTEXT.runner
        runner.deadlines = _OrderedDeadlines()
        if not runner.instruments["_all"]:
            # Whether there are any is asked several times a turn, and of a plain dict it costs a tenth.
            runner.instruments = {}  # type: ignore[assignment]

    def stop_main_with(self, stop: Callable[[], object]) -> None:
        """Tell the clock how to cancel the main task."""
        self._stop = stop

    def current_time(self) -> float:
        now = self.now_ns()
        if now - self._last_jump > SPIN_MAX:
            self._last_jump = now
            self.stop_with(Livelocked(f"{SPIN_MAX} readings of the clock without a jump:\n{_describe_tasks()}"))
        return now / NS

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Jump to what is due next, and run it if it is an action, until a task can run. Always says: don't sleep."""
        runner = trio_run.GLOBAL_RUN_CONTEXT.runner
        if runner.waiting_for_idle:
            return inf  # `wait_all_tasks_blocked`: trio sleeps for the cushion that it asked for, and wakes it
        while True:
            due = self._actions[0][0] if self._actions else inf
            wake = inf if deadline == inf else ceil(deadline * NS)
            at = min(due, wake)
            if at == inf:
                self.stop_with(Deadlocked(f"nothing can run and nothing is due:\n{_describe_tasks()}"))
                return 0.0
            if at > self._budget:
                self._exceed_budget()
                return 0.0
            self._jump(int(at), deadline if wake <= due else None)
            if wake < due:
                return 0.0
            self._run_due_action()
            if runner.runq or wake == due:
                return 0.0
            deadline = runner.deadlines.next_deadline()

    def _exceed_budget(self) -> None:
        self.stop_with(
            BudgetExceeded(f"the run reached its bound of {self._budget / NS} virtual seconds:\n{_describe_tasks()}")
        )
        self._budget = 2 * self._budget + NS  # room for the cancelled tasks to end in

    def _jump(self, at: int, deadline: float | None) -> None:
        self._now = max(self._now, at)
        self._last_jump = self._now
        if deadline is not None:
            while self._now / NS < deadline:
                self._now += 1

    def _run_due_action(self) -> None:
        _, _, action = heappop(self._actions)
        try:
            action()
        except Exception as error:
            self.stop_with(error)


class _OrderedDeadlines(trio_run.Deadlines):
    """trio's heap of deadlines with ties broken by the order of registration."""

    __slots__ = ("_registrations",)

    def __init__(self) -> None:
        super().__init__()
        self._registrations = 0

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        self._registrations += 1
        heappush(self._heap, (deadline, self._registrations, cancel_scope))
        self._active += 1


class _Sleeper:
    """Stands in the heap of deadlines for a task that sleeps: as much of a cancel scope as the heap asks for."""

    __slots__ = ("_registered_deadline", "_runner", "_task")

    def __init__(self, task: trio.lowlevel.Task, deadline: float) -> None:
        self._task = task
        self._runner = task._runner
        self._registered_deadline = deadline
        self._runner.deadlines.add(deadline, self)  # type: ignore[arg-type]

    def leave(self) -> None:
        if self._registered_deadline != inf:
            self._runner.deadlines.remove(self._registered_deadline, self)  # type: ignore[arg-type]
            self._registered_deadline = inf

    def _cancel(self, _reason: object) -> None:
        """The deadline has come. A task that something else has woken already is woken once."""
        self.leave()
        if self._task._abort_func is not None:
            self._runner.reschedule(self._task)


def _sleeping(real: Callable[[float], Awaitable[None]]) -> Callable[[float], Awaitable[None]]:
    """`trio.sleep` without a cancel scope, which costs most of it: a simulated node sleeps more often than all else.

    It wakes in the very turn and place in which `real` would, after as many readings of the clock.
    """

    async def sleep(seconds: float) -> None:
        task = trio.lowlevel.current_task()
        clock = task._runner.clock
        is_cancelled = task._cancel_status.effectively_cancelled
        if is_cancelled or not isinstance(clock, VirtualClock) or not SHORT_S < seconds < inf:
            await real(seconds)
            return

        def let_go(_raise_cancel: object) -> trio.lowlevel.Abort:
            clock.current_time()  # a scope that is cancelled from outside looks whether its own time has come
            return trio.lowlevel.Abort.SUCCEEDED

        deadline = clock.current_time() + seconds
        clock.current_time()  # a scope looks whether it is late already
        sleeper = _Sleeper(task, deadline)
        try:
            await trio.lowlevel.wait_task_rescheduled(let_go)
        finally:
            sleeper.leave()
        if task._cancel_status.effectively_cancelled:
            reason = task._cancel_status._scope._cancel_reason
            raise trio.Cancelled._create(source="deadline" if reason is None else reason.source)

    return sleep


def virtual_clock() -> VirtualClock:
    """The clock of the run that the caller is in."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, VirtualClock), "not inside sim.runner.run"
    return clock


def run(
    seed: int,
    async_fn: Callable[..., Awaitable[T]],
    *args: Any,
    budget_s: float = 86_400.0,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run `async_fn(*args)` on virtual time and return its result; its exceptions pass through.

    Raises `Deadlocked`, `BudgetExceeded`, `Livelocked` and `RealWorldRefused`, each a `RunFailed`. Runs don't nest.
    """
    clock = VirtualClock(int(budget_s * NS))

    async def main() -> T:
        result: list[T] = []
        with trio.CancelScope() as scope:
            clock.stop_main_with(scope.cancel)
            result.append(await async_fn(*args))
        if clock.failure is not None:
            raise clock.failure
        return result[0]

    with _deterministic(seed):
        try:
            return trio.run(main, clock=clock, instruments=instruments)
        except trio.TrioInternalError as error:
            if clock.failure is not None:
                raise clock.failure from error
            if isinstance(error.__cause__, RunFailed):
                raise error.__cause__ from None
            raise


# --- trio's innards: everything that leans on private names of trio stands below -------------------------------


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Seed the scheduler and refuse threads and real IO; put everything back afterwards.

    trio's loops of other threads (a test's database in this process, say) go on as they are: they share these names,
    and neither draw from the seed nor lose their IO.
    """
    assert not _state.running, "sim.runner.run doesn't nest"
    scheduler, io_manager = trio_run._r, trio_run.TheIOManager  # type: ignore[attr-defined]
    thread_cache = trio_threads.THREAD_CACHE
    waits = io_manager.wait_readable, io_manager.wait_writable
    get_events = io_manager.get_events
    sleep = trio.sleep
    may_be_deterministic = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    gc.collect()  # what an earlier run left must not be finalised in the middle of this one
    freezes = gc.get_freeze_count() == 0  # or whoever runs this has put aside what it holds, and keeps it there
    if freezes:
        gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    _state.running = True
    draws = random.Random(random.Random(f"{seed}/scheduler").getrandbits(64))
    _set(trio_run, "_r", _Draws(draws, scheduler))
    _set(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    _set(trio_threads, "THREAD_CACHE", _NoThreads(thread_cache))
    _set(io_manager, "wait_readable", _only_wakeups(waits[0]))
    _set(io_manager, "wait_writable", _only_wakeups(waits[1]))
    _set(io_manager, "get_events", _only_when_called(get_events))
    _set(trio, "sleep", _sleeping(sleep))
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if freezes:
            gc.unfreeze()
        _set(io_manager, "wait_readable", waits[0])
        _set(io_manager, "wait_writable", waits[1])
        _set(io_manager, "get_events", get_events)
        _set(trio, "sleep", sleep)
        _set(trio_threads, "THREAD_CACHE", thread_cache)
        _set(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", may_be_deterministic)
        _set(trio_run, "_r", scheduler)
        _state.running = False


def _set(owner: object, name: str, value: object) -> None:
    """Replace a private name of trio, which must exist."""
    assert hasattr(owner, name), f"this version of trio has no {name}"
    setattr(owner, name, value)


class _State:
    running = False


_state = _State()


class _Draws:
    """What trio draws of its scheduler: from the seed in this thread."""

    def __init__(self, own: random.Random, others: random.Random) -> None:
        self._own = own
        self._others = others
        self._thread = get_ident()

    def shuffle(self, batch: list[Any]) -> None:
        """One task alone, as most batches are, draws nothing."""
        if len(batch) > 1:
            (self._own if get_ident() == self._thread else self._others).shuffle(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own if get_ident() == self._thread else self._others, name)


class _NoThreads:
    def __init__(self, others: Any) -> None:
        self._others = others
        self._thread = get_ident()

    def start_thread_soon(self, fn: Callable[[], object], deliver: Any, name: str | None = None) -> None:
        if get_ident() == self._thread:
            raise RealWorldRefused(f"a simulated program asked for a thread to run {name or fn}")
        self._others.start_thread_soon(fn, deliver, name)


def _only_wakeups(wait: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Let trio's own wake-up socket through, and nothing else."""
    thread = get_ident()

    async def refuse_real_io(manager: object, fd: Any) -> None:
        if get_ident() != thread:
            await wait(manager, fd)
            return
        wakeup: WakeupSocketpair = trio_run.GLOBAL_RUN_CONTEXT.runner.entry_queue.wakeup
        if fd is not wakeup.wakeup_sock:
            raise RealWorldRefused(f"a simulated program waited for real IO on {fd!r}")
        await wait(manager, fd)

    return refuse_real_io


def _only_when_called(get_events: Callable[..., Any]) -> Callable[..., Any]:
    """Ask the system for events only when somebody has used trio's wake-up socket, or when trio means to sleep."""

    thread = get_ident()

    def look(manager: object, timeout: float) -> Any:
        if get_ident() != thread:
            return get_events(manager, timeout)
        entries = trio_run.GLOBAL_RUN_CONTEXT.runner.entry_queue
        if timeout > 0 or entries.queue or entries.idempotent_queue:
            return get_events(manager, timeout)
        return ()

    return look


def _throw_into_all(failure: BaseException) -> None:
    """Wake every task of the program that sleeps with `failure`."""
    for task in _program_tasks():
        if task._abort_func is not None:
            trio.lowlevel.reschedule(task, outcome.Error(failure))


def _describe_tasks() -> str:
    """One line for each task: its name and the place where it waits."""
    return "\n".join(f"  {task.name}: {_place(task)}" for task in _program_tasks())


def _program_tasks() -> list[trio.lowlevel.Task]:
    """The main task and its descendants, oldest first; not trio's own."""
    main = trio_run.GLOBAL_RUN_CONTEXT.runner.main_task
    found = [] if main is None else [main]
    for task in found:
        found.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return sorted(found, key=lambda task: task._counter)


def _place(task: trio.lowlevel.Task) -> str:
    places = [
        f"{PurePath(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in task.iter_await_frames()
        if "trio" not in PurePath(frame.f_code.co_filename).parts and frame.f_code.co_filename != __file__
    ]
    return places[-1] if places else "not started, or inside trio"
