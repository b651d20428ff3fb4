"""Runs of seeds in processes of their own, over all cores.

Each worker is a fresh interpreter (spawn): it shares nothing with its neighbours, and a worker that dies or hangs
takes only its seed with it. The order of results doesn't matter to anybody: they carry their seed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from types import FrameType
from typing import Generic, TypeVar

from attrs import frozen

CPU_SECONDS_MAX = 180
"""A run that takes more is stuck in a loop that takes no virtual time: it is reported as hung. It is the processor's
time, not the wall clock's, so that a busy machine makes no run look stuck."""

A = TypeVar("A")
R = TypeVar("R")


class Hung(Exception):
    """The run took more of the processor's time than any run needs."""


@frozen
class Done(Generic[A, R]):
    """One job's end: a result, or the error that its process met."""

    job: A
    result: R | None
    error: str = ""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Workers:
    """`count` processes that live as long as the `with` block, for jobs that come batch by batch."""

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._pool = ProcessPoolExecutor(
            max_workers=self.count, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(
        self, work: Callable[[A], R], jobs: Sequence[A], *, cpu_seconds_max: int = CPU_SECONDS_MAX
    ) -> Iterator[Done[A, R]]:
        """Call `work`, a module's function, once per job. Yields as jobs end."""
        todo = {self._pool.submit(_guarded, work, job, cpu_seconds_max): job for job in jobs}
        try:
            for future in as_completed(todo):
                job = todo.pop(future)
                error = future.exception()
                if error is None:
                    yield Done(job, future.result())
                else:
                    yield Done(job, None, f"{type(error).__name__}: {error}")
        finally:
            for future in todo:
                future.cancel()


def run_all(
    work: Callable[[A], R], jobs: Sequence[A], *, workers: int, cpu_seconds_max: int = CPU_SECONDS_MAX
) -> Iterator[Done[A, R]]:
    """All these jobs, in `workers` processes of their own. Yields as jobs end."""
    with Workers(workers) as pool:
        yield from pool.run(work, jobs, cpu_seconds_max=cpu_seconds_max)


def _leave_interrupts() -> None:
    """Control-C is for the process that waits for the results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _guarded(work: Callable[[A], R], job: A, cpu_seconds_max: int) -> R:
    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise Hung(f"no end after {cpu_seconds_max} seconds of the processor's time")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds_max)
    try:
        return work(job)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
