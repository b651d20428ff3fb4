"""One run of one seed: build the world, let clients and nemesis loose, heal, read everything back, check.

Phases
1. safety: clients work, the nemesis disturbs, checkers watch each step;
2. liveness: the nemesis mends a core, while a minority may stay down; every request is answered within a bound (I36);
3. convergence: all is mended; every member of every group comes to the same place, with the same state (I38);
4. in some runs: something is destroyed beyond repair, and nodes must refuse or stay truthful (I40);
5. the power is cut once more, or not; a fresh client reads every stream and every log; the whole history is checked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sim.bugs.patch import Bug, planted
from sim.checkers.sql_past import near_restore_points
from sim.options import Options
from sim.rare import RareBranches
from sim.result import Result
from sim.retaining.part import short_days
from sim.revision import revision
from sim.runner import RunFailed, run
from sim.simulation import Simulation
from sim.verdict import Violation
from sim.words import unsteady_words
from vdb.marks import COUNTS
from vdb.rare import drawn_by

BUDGET_SECONDS = 3600.0
"""Virtual time after which a run counts as hung."""


def run_seed(
    seed: int,
    *,
    overrides: Mapping[str, Any] | None = None,
    bug: Bug | None = None,
    trace_lines: list[str] | None = None,
    attach: Callable[[Simulation], object] | None = None,
) -> Result:
    """Run a seed, with some options overridden or a bug planted, which may override some itself. Everything that goes
    wrong is in the result.

    `attach` is called with the simulation before it runs; what it attaches may look and must not touch.
    """
    wanted = {**(bug.overrides if bug is not None else {}), **(overrides or {})}
    options = Options.draw(seed).override(wanted)
    simulations: list[Simulation] = []
    COUNTS.clear()
    started = time.perf_counter()
    failure: Violation | None = None
    branches = RareBranches(seed, options.rare)
    near = options.sql_every_commit or bool(options.erasing and options.erased_rows)
    words = unsteady_words(seed, lost=options.words_lost, again=options.words_again)
    with planted(bug), drawn_by(branches), short_days(), near_restore_points(near), words:

        async def main() -> None:
            simulations.append(Simulation(seed, options, trace_lines))
            if attach is not None:
                attach(simulations[0])
            await simulations[0].run()

        try:
            run(seed, main, budget_s=BUDGET_SECONDS)
        except RunFailed as error:
            failure = Violation("I36", f"{type(error).__name__}: {error}")
        finally:
            for simulation in simulations:
                simulation.close()
    simulation = simulations[0]
    violation = simulation.verdict.violation or failure
    return Result(
        seed=seed,
        digest=simulation.trace.digest(),
        commit=revision(),
        virtual_seconds=simulation.virtual_ns / 1e9,
        wall_seconds=time.perf_counter() - started,
        events=simulation.trace.events,
        ops_committed=simulation.watch.ops_committed,
        faults=Counter(simulation.counts) + branches.taken,
        checks=Counter(simulation.verdict.checks),
        marks=tuple(sorted(COUNTS)),
        violation=violation,
        acknowledged=simulation.history.acknowledged,
        crashes=simulation.cluster.crashes,
        idle=simulation.idle,
        stopped=simulation.stopped,
        last_events=simulation.trace.last_lines() if violation is not None else {},
    )
