"""The hunt: for each planted bug, seeds in order until one of its invariants fires."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from sim.bugs.catalogue import BUGS
from sim.bugs.patch import Bug
from sim.worker import CPU_SECONDS_MAX, run_all

SEEDS_MAX = 100


@frozen(kw_only=True)
class Hunt:
    """`seeds` is how many seeds it took; `invariant` is the one that fired, '' if none of those expected did."""

    id: str
    found: bool
    seeds: int
    seed: int
    invariant: str
    message: str
    others: tuple[str, ...] = ()
    """Invariants that fired without having been named beforehand: they don't count."""


def hunt(bug_id: str) -> Hunt:
    """Run seeds 1, 2, ... with the bug planted. A seed counts only if it passes without the bug."""
    from sim.run import run_seed

    bug = next(bug for bug in BUGS if bug.id == bug_id)
    others: list[str] = []
    for seed in range(1, SEEDS_MAX + 1):
        violation = run_seed(seed, bug=bug).violation
        if violation is None:
            continue
        if violation.invariant not in bug.expected:
            others.append(f"{seed}: {violation.invariant}: {violation.message[:120]}")
        elif run_seed(seed, overrides=bug.overrides).ok:
            return Hunt(id=bug.id, found=True, seeds=seed, seed=seed, invariant=violation.invariant,
                        message=violation.message, others=tuple(others))  # fmt: skip
    return Hunt(id=bug.id, found=False, seeds=SEEDS_MAX, seed=0, invariant="", message="", others=tuple(others))


def hunt_all(bugs: Sequence[Bug], *, workers: int, on_result: Callable[[Hunt], None]) -> list[Hunt]:
    """Hunt all bugs, in parallel; results in the order of the catalogue."""
    found: dict[str, Hunt] = {}
    ids = [bug.id for bug in bugs]
    for done in run_all(hunt, ids, workers=workers, cpu_seconds_max=SEEDS_MAX * CPU_SECONDS_MAX):
        hunted = done.result or Hunt(
            id=done.job, found=False, seeds=0, seed=0, invariant="", message=done.error, others=(done.error,)
        )
        found[done.job] = hunted
        on_result(hunted)
    return [found[bug.id] for bug in bugs]
