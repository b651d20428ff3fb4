"""Whole runs with the workload of governance."""

from __future__ import annotations

import pytest

from sim.bugs.catalogue import find_bug
from sim.governance.load import Fate, policy_text
from sim.options import Options
from sim.run import run_seed
from sim.simulation import Simulation
from vdb.policy.file import parse_policy

GOVERNED = {"governance": True, "sql": False, "events": False, "requests": 40, "governance_deeds": 80}


def test_the_runs_policy_is_sound() -> None:
    policy, _ = parse_policy(policy_text(1, 5))
    assert policy.roles_of("spiffe://sim.example/c300", 1) == {"officer", "worker"}
    assert policy.roles_of("spiffe://sim.example/c302", 1) == {"clinician", "worker"}
    assert policy.roles_of("spiffe://sim.example/c1", 1) == {"worker"}


def test_some_seeds_have_it() -> None:
    drawn = [Options.draw(seed) for seed in range(200)]
    assert 20 <= sum(options.governance for options in drawn) <= 100
    beside = [options for options in drawn if options.governance and (options.sql or options.events)]
    assert 5 <= len(beside) <= 50


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run(nodes: int) -> None:
    seen: list[Simulation] = []
    result = run_seed(2, overrides={**GOVERNED, "nodes": nodes, "regions": 1}, attach=seen.append)
    assert result.ok, result.violation
    assert {"G1", "G2", "G3", "G4", "G5", "G7"} <= result.checks.keys()
    kinds = {deed.kind for deed in seen[0].governance.load.deeds if deed.fate is Fate.DONE}
    assert {"apply", "open", "list", "give"} <= kinds


def test_one_consent_that_shows_everybodys_rows_is_found() -> None:
    violation = run_seed(1, bug=find_bug("g12")).violation
    assert violation is not None
    assert violation.invariant == "G7"


def test_a_grant_that_its_review_doesnt_end_is_found() -> None:
    violation = run_seed(1, bug=find_bug("g4")).violation
    assert violation is not None
    assert violation.invariant == "G3"
