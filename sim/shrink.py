"""Shrinking: a smaller run of the same seed that still breaks the same invariant, found by running it.

Greedy: a step makes one option smaller (fewer nodes, disturbances, requests, clients; a fault switched off). Steps are
tried over all cores, those that take most away first. One whose run breaks the same invariant is kept, and the next
steps start from there; when no step is left that helps, or the bound of runs is reached, what is left is the answer.

- Each step strictly takes something away, so the search ends.
- A step that breaks another invariant, or ends in the simulator itself, doesn't count.
- What a run drew besides its options stays the seed's, so the smaller run is another run, not a cut of the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, evolve, field, frozen

from sim.options import Options
from sim.result import Result
from sim.steps import Step, steps
from sim.verdict import Violation
from sim.worker import Workers

RUNS_MAX = 400
RUN_CPU_SECONDS_MAX = 60


@frozen(kw_only=True)
class Job:
    """One run to try; `bug` is an id of the catalogue, '' for none."""

    seed: int
    overrides: Mapping[str, Any]
    bug: str = ""


def run_job(job: Job) -> Result:
    """Run it. Called in processes of their own."""
    from sim.bugs.catalogue import find_bug
    from sim.run import run_seed

    return run_seed(job.seed, overrides=job.overrides, bug=find_bug(job.bug))


@frozen(kw_only=True)
class Size:
    """How large a run is, in what a reader of it has to go through."""

    nodes: int
    disturbances: int
    requests: int
    clients: int
    faults: int
    """That fired."""
    events: int
    virtual_seconds: float

    @classmethod
    def of(cls, options: Options, result: Result) -> Size:
        return cls(
            nodes=int(getattr(options, "nodes", 1)),
            disturbances=len(options.disturbances),
            requests=options.requests,
            clients=options.clients,
            faults=sum(result.faults.values()),
            events=result.events,
            virtual_seconds=round(result.virtual_seconds, 3),
        )


@frozen(kw_only=True)
class Shrunk:
    """The smallest run found; `first` is the one that was given."""

    first: Result
    smallest: Result
    overrides: Mapping[str, Any]
    before: Size
    after: Size
    runs: int
    finished: bool
    """Whether no step was left; False: the bound of runs, or an interrupt, came first."""


class NothingToShrink(Exception):
    """The run breaks nothing (`holds`), or ended in the simulator itself; the message says so."""

    def __init__(self, message: str, *, holds: bool) -> None:
        super().__init__(message)
        self.holds = holds


@frozen(kw_only=True)
class Trial:
    """A step, and the overrides that it leads to."""

    step: Step
    overrides: dict[str, Any]


@define
class Shrinker:
    """One search. `tell(shrinker)` is called after each run."""

    job: Job
    workers: Workers
    runs_max: int = RUNS_MAX
    tell: Callable[[Shrinker], object] = lambda shrinker: None
    runs: int = 0
    smallest: Result | None = None
    overrides: dict[str, Any] = field(factory=dict)
    kept: list[str] = field(factory=list)
    """What was taken away, in words, in order."""
    _tried: dict[str, None] = field(factory=dict)
    """Runs are deterministic: none is tried twice."""

    def search(self) -> Shrunk:
        """Run, and shrink. Raises NothingToShrink. An interrupt ends the search with what it has."""
        done = next(iter(self.workers.run(run_job, [self.job], cpu_seconds_max=RUN_CPU_SECONDS_MAX)))
        self.runs, first = 1, done.result
        if first is None:
            raise NothingToShrink(f"seed {self.job.seed} ended in the simulator itself: {done.error}", holds=False)
        if first.violation is None:
            raise NothingToShrink(f"seed {self.job.seed} holds: there is nothing to shrink", holds=True)
        self.smallest, self.overrides = first, dict(self.job.overrides)
        finished = False
        with suppress(KeyboardInterrupt):
            while not finished and self.runs < self.runs_max:
                kept = len(self.kept)
                finished = self._pass() and len(self.kept) == kept
        return Shrunk(
            first=first, smallest=self.smallest, overrides=self.overrides, runs=self.runs, finished=finished,
            before=Size.of(self._options(self.job.overrides), first),
            after=Size.of(self._options(self.overrides), self.smallest),
        )  # fmt: skip

    def _options(self, overrides: Mapping[str, Any]) -> Options:
        return Options.draw(self.job.seed).override(overrides)

    def _pass(self) -> bool:
        """All steps once; False if the bound of runs came first."""
        todo = list(steps(self._options(self.overrides), self.smallest))
        todo.reverse()
        while todo and self.runs < self.runs_max:
            others = self._try(self._batch(todo))
            todo.extend(reversed(others))  # they helped what is no longer the smallest: they come first on the new one
        return not todo

    def _batch(self, todo: list[Step]) -> list[Trial]:
        """As many of the next steps as there are workers; those that lead to no run that is new are left out."""
        options = self._options(self.overrides)
        found: list[Trial] = []
        while todo and len(found) < min(self.workers.count, self.runs_max - self.runs):
            step = todo.pop()
            changes = step.changes(options)
            overrides = merged(self.overrides, changes or {})
            run = json.dumps(overrides, sort_keys=True)
            if changes is not None and run not in self._tried:
                self._tried[run] = None
                found.append(Trial(step=step, overrides=overrides))
        return found

    def _try(self, batch: Sequence[Trial]) -> list[Step]:
        """Run them all, and keep the first that breaks the same. Returns the steps of the others that did."""
        jobs = {index: evolve(self.job, overrides=trial.overrides) for index, trial in enumerate(batch)}
        good: dict[int, Result] = {}
        for done in self.workers.run(run_job, list(jobs.values()), cpu_seconds_max=RUN_CPU_SECONDS_MAX):
            self.runs += 1
            if done.result is not None and self._breaks_the_same(done.result):
                good[next(index for index, job in jobs.items() if job is done.job)] = done.result
            self.tell(self)
        for index in sorted(good)[:1]:
            self.smallest, self.overrides = good[index], batch[index].overrides
            self.kept.append(batch[index].step.what)
        return [batch[index].step for index in sorted(good)[1:]]

    def _breaks_the_same(self, result: Result) -> bool:
        assert self.smallest is not None
        assert self.smallest.violation is not None
        if result.violation is None:
            return False
        return breakage(result.violation) == breakage(self.smallest.violation)


_PLACE = re.compile(r'File "[^"]*?([^/"]+)", line \d+, in (\w+)')


def breakage(violation: Violation) -> tuple[str, ...]:
    """What must stay the same: the invariant, and of an exception its type and the function that raised it."""
    if violation.invariant not in ("assertion", "error"):
        return (violation.invariant,)
    places = _PLACE.findall(violation.message)
    return violation.invariant, violation.message.partition(":")[0], *(places[-1] if places else ())


def merged(overrides: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides with some more; tables of both are one."""
    found = dict(overrides)
    for name, value in changes.items():
        before = found.get(name)
        both = isinstance(value, Mapping) and isinstance(before, Mapping) and name != "mix"
        found[name] = {**before, **value} if both else value  # type: ignore[dict-item]
    return found
