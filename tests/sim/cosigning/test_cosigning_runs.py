"""Whole runs with witnesses beside the cluster: clean ones, the same twice, and planted bugs that are found."""

from __future__ import annotations

import pytest

from sim.bugs.catalogue import find_bug
from sim.bugs.cosigning import COSIGNING_BUGS
from sim.options import Options
from sim.run import run_seed

SMALL = {**COSIGNING_BUGS[0].overrides, "spares": 0, "regions": 1, "requests": 40, "disturbances": ["crash"]}


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run_with_witnesses_holds(nodes: int) -> None:
    small = {**SMALL, "nodes": nodes, "global_nodes": 0, "harmed": [], "dead_at_the_end": False}
    result = run_seed(3, overrides=small)
    assert result.violation is None
    assert min(result.checks[f"W{number}"] for number in (2, 3, 4, 6)) > 0
    if nodes == 1:
        assert run_seed(3, overrides=small).digest == result.digest


def test_a_cluster_goes_on_without_its_witnesses() -> None:
    result = run_seed(2, overrides={**SMALL, "nodes": 1, "witnesses_away": True, "witness_forger": False})
    assert result.violation is None
    assert result.checks["W3"] > 0, "in the end they are there"


@pytest.mark.parametrize("id", ["w1", "w4"])
def test_a_planted_bug_is_found(id: str) -> None:
    bug = find_bug(id)
    assert bug is not None
    found = (run_seed(seed, bug=bug, overrides={**SMALL, "nodes": 1}).violation for seed in range(1, 10))
    assert next(one.invariant for one in found if one is not None) in bug.expected


def test_some_seeds_have_witnesses_whatever_else_they_have() -> None:
    drawn = [Options.draw(seed) for seed in range(300)]
    witnessed = [options for options in drawn if options.witnesses]
    assert 25 <= len(witnessed) <= 70
    assert any(options.sql for options in witnessed)
    assert any(options.events for options in witnessed)
    assert any(options.witnesses_away for options in witnessed)
    assert any(options.witness_forger for options in witnessed)
