"""Requests committed and faults fired per second of the processor, in seeds of three nodes: how cheap a seed is.

Each seed runs alone in this process, with every checker, as in a sweep; the medians are over seeds. Answers are what
clients were told; a request that is committed twice in two sessions counts twice, as it is work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import islice

from attrs import frozen

from sim.options import Options
from sim.run import run_seed
from sim.simulation import Simulation
from tests.benchmarks.report import Report

SEEDS = {"full": 50, "quick": 12, "tiny": 1}
NODES = 3


@frozen(kw_only=True)
class Cost:
    """What one seed did, and took."""

    requests: int
    """In committed ops."""
    faults: int
    seconds: float
    """Of the processor."""


def run(report: Report, scale: str) -> None:
    costs = [cost_of(seed) for seed in islice(three_node_seeds(), SEEDS[scale])]
    bounds = {"full": (300.0, 30.0)}.get(scale, (None, None))
    report("requests committed", median(costs, "requests"), "1/s", least=bounds[0])
    report("faults fired", median(costs, "faults"), "1/s", least=bounds[1])
    report("a seed", statistics.median(cost.seconds for cost in costs), "s")
    report("all seeds together", sum(cost.seconds for cost in costs), "s")


def median(costs: list[Cost], what: str) -> float:
    """Per second, seed by seed."""
    return statistics.median(getattr(cost, what) / cost.seconds for cost in costs)


def three_node_seeds() -> Iterator[int]:
    seed = 0
    while True:
        seed += 1
        if Options.draw(seed).nodes == NODES:
            yield seed


def cost_of(seed: int) -> Cost:
    held: list[Simulation] = []
    before = time.process_time()
    result = run_seed(seed, attach=held.append)
    seconds = time.process_time() - before
    ledgers = [watch.ledger for watch in held[0].watch.watches.values()]
    return Cost(
        requests=sum(len(op.replies) for ledger in ledgers for op in ledger.ops.values()),
        faults=sum(result.faults.values()),
        seconds=seconds,
    )
