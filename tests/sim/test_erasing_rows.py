"""Whole runs in which rows of a SQL database are erased with their subjects."""

from __future__ import annotations

import pytest

from sim.bugs.catalogue import find_bug
from sim.options import Options
from sim.run import run_seed
from sim.simulation import Simulation

ROWS = {
    "erasing": True, "erasing_deeds": 0, "erased_rows": 50, "governance": False, "sql": False, "events": False,
    "rotating": False, "projection": False, "requests": 5, "clients": 1, "nodes": 1, "spares": 0, "regions": 1,
    "beyond_repair": False, "disturbances": ["crash", "crash"],
}  # fmt: skip


def test_some_seeds_have_it() -> None:
    drawn = [options for options in map(Options.draw, range(200)) if options.erasing]
    having = [options for options in drawn if options.erased_rows]
    assert len(drawn) / 2 <= len(having) < len(drawn)
    assert any(options.sql for options in having)


def test_a_run() -> None:
    seen: list[Simulation] = []
    result = run_seed(1, overrides=ROWS, attach=seen.append)
    assert result.ok, result.violation
    assert {"E9", "E10", "E11"} <= result.checks.keys()
    (run,) = seen
    assert run.rows.erased >= 3
    assert run.rows.rows.acked[0], "and the node has said so"
    assert not run.rows.lag()


@pytest.mark.parametrize(("bug", "seed"), [("e8", 1), ("e9", 5), ("e10", 2)])
def test_each_planted_bug_is_found_by_name(bug: str, seed: int) -> None:
    found = find_bug(bug)
    assert found is not None
    result = run_seed(seed, overrides=dict(found.overrides), bug=found)
    assert result.violation is not None
    assert result.violation.invariant in found.expected
