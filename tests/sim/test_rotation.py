"""Whole runs in which root keys are exchanged."""

from __future__ import annotations

import pytest

from sim.bugs.catalogue import find_bug
from sim.bugs.rotation import ROTATION_BUGS
from sim.options import Options
from sim.run import run_seed
from sim.simulation import Simulation

ROTATING = {
    "rotating": True, "rotations": 3, "erasing": False, "governance": False, "sql": False, "events": False,
    "projection": False, "requests": 40, "spares": 0, "regions": 1, "beyond_repair": False,
}  # fmt: skip


def test_some_seeds_have_it() -> None:
    drawn = [Options.draw(seed) for seed in range(200)]
    assert 10 <= sum(options.rotating for options in drawn) <= 100


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run(nodes: int) -> None:
    seen: list[Simulation] = []
    result = run_seed(3, overrides={**ROTATING, "nodes": nodes}, attach=seen.append)
    assert result.ok, result.violation
    assert {"K2", "K3"} <= result.checks.keys()
    (run,) = seen
    assert run.rotating.answered == 3 * 2, "both groups, each time"
    assert run.rotating.retired >= 1
    assert not run.rotating.lag(), "the old root keys are gone in the end"
    assert result.checks["K4"] >= 1


def test_a_machine_gets_the_new_root_key_later_than_the_others() -> None:
    for seed in range(1, 12):
        result = run_seed(seed, overrides={**ROTATING, "nodes": 3, "disturbances": [], "rotations": 4})
        assert result.ok, result.violation
        if "executor.root_key_given" in result.marks:
            return
    pytest.fail("in none of these seeds did a node hold until it was given the root key")


@pytest.mark.parametrize("bug", [bug.id for bug in ROTATION_BUGS])
def test_each_planted_bug_is_found_by_name(bug: str) -> None:
    found = find_bug(bug)
    assert found is not None
    for seed in range(1, 9):
        result = run_seed(seed, overrides=dict(found.overrides), bug=found)
        if result.violation is not None:
            assert result.violation.invariant in found.expected
            return
    pytest.fail(f"{bug} was found by none of these seeds")


def test_files_of_rows_that_a_crash_leaves_under_an_earlier_key_are_looked_into() -> None:
    overrides = {
        **ROTATING, "events": True, "events_deeds": 40, "events_rebuilds": 6, "nodes": 1,
        "disturbances": ["crash", "crash", "crash", "crash"],
    }  # fmt: skip
    for seed in (113, 6, 7):
        result = run_seed(seed, overrides=overrides)
        assert result.ok, result.violation
        if "files.opened_under_an_earlier_key" in result.marks:
            assert result.checks["P1"], "the files were judged"
            return
    pytest.fail("none of these seeds has a crash between a rotation and what follows it")
