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


def hunt(wanted: tuple[str, int]) -> Hunt:
    """Run seeds 1, 2, ... with the bug of this id planted, at most so many. A seed counts only if it passes without
    the bug."""
    from sim.run import run_seed

    bug_id, seeds_max = wanted
    bug = next(bug for bug in BUGS if bug.id == bug_id)
    others: list[str] = []
    for seed in range(1, seeds_max + 1):
        violation = run_seed(seed, bug=bug).violation
        if violation is None:
            continue
        if violation.invariant not in bug.expected:
            others.append(f"{seed}: {violation.invariant}: {violation.message[:120]}")
        elif run_seed(seed, overrides=bug.overrides).ok:
            return Hunt(id=bug.id, found=True, seeds=seed, seed=seed, invariant=violation.invariant,
                        message=violation.message, others=tuple(others))  # fmt: skip
    return Hunt(id=bug.id, found=False, seeds=seeds_max, seed=0, invariant="", message="", others=tuple(others))


def hunt_all(
    bugs: Sequence[Bug], *, workers: int, on_result: Callable[[Hunt], None], seeds_max: int = SEEDS_MAX
) -> None:
    """Hunt all bugs, in parallel. `on_result` is called as each hunt ends."""
    jobs = [(bug.id, seeds_max) for bug in bugs]
    for done in run_all(hunt, jobs, workers=workers, cpu_seconds_max=seeds_max * CPU_SECONDS_MAX):
        on_result(
            done.result
            or Hunt(
                id=done.job[0], found=False, seeds=0, seed=0, invariant="", message=done.error, others=(done.error,)
            )
        )
