"""A sweep: many seeds, their faults and checks added up, and whether they were worth running.

A sweep fails when a seed fails, and also when its seeds are tame: too few requests, faults or crashes in the median,
too much idle time, or, in a sweep large enough to expect each of them, a kind of fault that never fired; or when a seed
reached a mark of those that none can (`sim.outside_marks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from attrs import frozen

from sim.faults import FAULT_KINDS
from sim.mark_names import mark_names
from sim.outside_marks import OUTSIDE_MARKS
from sim.result import Result
from sim.worker import run_all

ACKNOWLEDGED_MIN = 200
FAULT_KINDS_MIN = 3
CRASHES_MIN = 1
IDLE_MAX = 0.2
SEEDS_FOR_EVERY_KIND = 200
"""In a sweep of this many seeds each kind of fault must have fired."""
SEEDS_FOR_DISTRIBUTION = 20
"""Below this many seeds a median says nothing about the generator, and isn't judged."""


@frozen(kw_only=True)
class Sweep:
    """The sum of many runs. `failing` are seeds; `errors` are runs that ended in the simulator, not in a verdict."""

    results: tuple[Result, ...]
    errors: tuple[tuple[int, str], ...]

    @property
    def failing(self) -> list[int]:
        broken = [result.seed for result in self.results if not result.ok]
        return sorted(broken + [seed for seed, _ in self.errors])

    @property
    def faults(self) -> Counter[str]:
        total: Counter[str] = Counter(dict.fromkeys(FAULT_KINDS, 0))
        for result in self.results:
            total.update(result.faults)
        return total

    @property
    def checks(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for result in self.results:
            total.update(result.checks)
        return total

    @property
    def distribution(self) -> dict[str, float]:
        """Medians over the seeds, and the worst share of idle time."""
        runs = self.results
        if not runs:
            return {"acknowledged": 0, "fault_kinds": 0, "crashes": 0, "idle": 1.0, "idle_worst": 1.0}
        return {
            "acknowledged": median(run.acknowledged for run in runs),
            "fault_kinds": median(sum(run.faults.get(kind, 0) > 0 for kind in FAULT_KINDS) for run in runs),
            "crashes": median(run.crashes for run in runs),
            "idle": round(median(run.idle for run in runs), 4),
            "idle_worst": round(max(run.idle for run in runs), 4),
        }

    def missed_marks(self) -> list[str]:
        """Marks of the source that no seed reached, though some seed should."""
        reached = self._marks()
        return [name for name in mark_names() if name not in reached and name not in OUTSIDE_MARKS]

    def _marks(self) -> dict[str, None]:
        return {mark: None for run in self.results for mark in run.marks}

    def complaints(self) -> list[str]:
        """Why the sweep as a whole doesn't count, apart from seeds that fail."""
        found: list[str] = []
        if len(self.results) >= SEEDS_FOR_DISTRIBUTION:
            seen = self.distribution
            for name, least in (
                ("acknowledged", ACKNOWLEDGED_MIN),
                ("fault_kinds", FAULT_KINDS_MIN),
                ("crashes", CRASHES_MIN),
            ):
                if seen[name] < least:
                    found.append(f"the median of {name} is {seen[name]:g}; at least {least} are expected")
            if seen["idle"] > IDLE_MAX:
                found.append(
                    f"the median seed is idle for {seen['idle']:.0%} of its time; at most {IDLE_MAX:.0%} may be"
                )
        if len(self.results) >= SEEDS_FOR_EVERY_KIND:
            found += [f"the fault {kind!r} never fired" for kind in FAULT_KINDS if not self.faults[kind]]
        found += [
            f"the mark {mark!r} was reached, and sim/outside_marks.py says that none can"
            for mark in self._marks()
            if mark in OUTSIDE_MARKS
        ]
        return found

    @property
    def ok(self) -> bool:
        return not self.failing and not self.complaints()

    def as_json(self, seed_from: int) -> dict[str, Any]:
        """The object that `sweep --json` prints: the keys of a run, summed, with `seeds` and `failing`."""
        runs = self.results
        first = next((run for run in runs if not run.ok), None)
        out: dict[str, Any] = {
            "seed": seed_from,
            "ok": self.ok,
            "digest": "",
            "commit": runs[0].commit if runs else "unknown",
            "virtual_seconds": round(sum(run.virtual_seconds for run in runs), 3),
            "wall_seconds": round(sum(run.wall_seconds for run in runs), 3),
            "events": sum(run.events for run in runs),
            "ops_committed": sum(run.ops_committed for run in runs),
            "faults": dict(sorted(self.faults.items())),
            "checks": dict(sorted(self.checks.items())),
            "marks": sorted(self._marks()),
            "marks_missed": self.missed_marks(),
            "marks_outside": len(OUTSIDE_MARKS),
            "distribution": self.distribution,
            "complaints": self.complaints(),
            "stopped": sum(bool(run.stopped) for run in runs),
            "seeds": len(runs) + len(self.errors),
            "failing": self.failing,
        }
        if first is not None and first.violation is not None:
            out["violation"] = {
                "seed": first.seed,
                "invariant": first.violation.invariant,
                "message": first.violation.message,
            }
        return out


def run_one(seed: int, overrides: Mapping[str, Any] | None = None) -> Result:
    """What a worker does for one seed."""
    from sim.run import run_seed

    return run_seed(seed, overrides=overrides)


def sweep(
    seeds: Sequence[int],
    *,
    workers: int,
    overrides: Mapping[str, Any] | None = None,
    on_result: Callable[[Result], None] = lambda _result: None,
) -> Sweep:
    """Run all seeds, all with these options changed. `on_result` is called as each one ends."""
    results: list[Result] = []
    errors: list[tuple[int, str]] = []
    for done in run_all(partial(run_one, overrides=overrides), seeds, workers=workers):
        if done.result is None:
            errors.append((done.job, done.error))
        else:
            results.append(done.result)
            on_result(done.result)
    return Sweep(results=tuple(sorted(results, key=lambda run: run.seed)), errors=tuple(sorted(errors)))
