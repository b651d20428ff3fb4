"""Shrinking really runs what it proposes: the answer is smaller and breaks the same invariant."""

from __future__ import annotations

import pytest
from attrs import asdict

from sim.bugs.catalogue import find_bug
from sim.run import run_seed
from sim.shrink import Job, NothingToShrink, Shrinker, breakage
from sim.verdict import Violation
from sim.worker import Workers

SEED, BUG = 2, "p2"
"""A planted bug that needs one append with two events, found after some seventy requests."""


def test_the_smallest_run_still_breaks_the_same_with_less() -> None:
    told: list[int] = []
    with Workers(2) as workers:
        shrinker = Shrinker(
            job=Job(seed=SEED, overrides={}, bug=BUG), workers=workers, runs_max=40,
            tell=lambda shrinker: told.append(shrinker.runs),
        )  # fmt: skip
        shrunk = shrinker.search()
    assert shrunk.first.violation is not None
    assert shrunk.smallest.violation is not None
    assert shrunk.smallest.violation.invariant == shrunk.first.violation.invariant == "projection"
    assert shrunk.after.requests < shrunk.before.requests / 4
    assert shrunk.after.disturbances < shrunk.before.disturbances
    assert shrunk.after.events < shrunk.before.events
    assert told == list(range(2, shrunk.runs + 1))
    assert shrunk.runs <= 40
    again = run_seed(SEED, overrides=shrunk.overrides, bug=find_bug(BUG))
    assert (again.digest, again.violation) == (shrunk.smallest.digest, shrunk.smallest.violation)


def test_an_interrupt_ends_the_search_with_what_it_has() -> None:
    def interrupt(shrinker: Shrinker) -> None:
        if shrinker.kept:
            raise KeyboardInterrupt

    with Workers(1) as workers:
        shrunk = Shrinker(job=Job(seed=SEED, overrides={}, bug=BUG), workers=workers, tell=interrupt).search()
    assert not shrunk.finished
    before, after = asdict(shrunk.before), asdict(shrunk.after)
    assert any(after[name] < before[name] for name in before)


def test_a_run_that_holds_and_one_that_fails_otherwise_are_refused() -> None:
    with Workers(1) as workers:
        with pytest.raises(NothingToShrink, match="seed 2 holds: there is nothing to shrink") as holds:
            Shrinker(job=Job(seed=2, overrides={"requests": 5}), workers=workers).search()
        with pytest.raises(NothingToShrink, match="seed 2 ended in the simulator itself: StopIteration") as ended:
            Shrinker(job=Job(seed=2, overrides={}, bug="no such bug"), workers=workers).search()
    assert holds.value.holds
    assert not ended.value.holds


def test_an_exception_is_the_same_if_the_same_function_raised_it() -> None:
    def raised(kind: str, line: int, function: str) -> Violation:
        frames = f'  File "vdb/node/node.py", line 9, in run\n  File "vdb/vsr/log.py", line {line}, in {function}\n'
        return Violation("error", f"{kind}: value {line}\n{frames}")

    assert breakage(raised("KeyError", 7, "put")) == breakage(raised("KeyError", 8, "put"))
    assert breakage(raised("KeyError", 7, "put")) == ("error", "KeyError", "log.py", "put")
    assert breakage(raised("KeyError", 7, "put")) != breakage(raised("KeyError", 7, "cut"))
    assert breakage(raised("KeyError", 7, "put")) != breakage(raised("TypeError", 7, "put"))
    assert breakage(Violation("I5", "op 7 is gone")) == breakage(Violation("I5", "op 8 is gone"))
