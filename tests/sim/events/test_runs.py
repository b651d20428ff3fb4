"""Whole runs with typed streams: clean ones, the same twice, and planted bugs that are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sim.bugs.catalogue import find_bug
from sim.bugs.consumers import CONSUMER_BUGS
from sim.bugs.projections import PROJECTION_BUGS
from sim.options import Options
from sim.run import run_seed

SMALL: Mapping[str, Any] = {
    "sql": False, "events": True, "events_deeds": 40, "requests": 20, "clients": 2, "tenants": 1, "spares": 0,
    "harmed": [], "dead_at_the_end": False, "disturbances": ["crash", "crash"], "beyond_repair": False,
    "events_poison": 0.1, "events_policy": "park", "events_rebuilds": 3, "events_effects": True, "consumers": 1,
    "consumer_members": 2, "consumer_faults": 0.3, "consumer_ack_us": 100_000,
    "events_mix": {"append": 4, "rows": 2, "read": 2, "follow": 1, "aggregate": 2},
}  # fmt: skip
CHECKED = ("E1", "E2", "E3", "E5", "P1", "P2", "P4", "C1", "C4", "C7")


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run_holds_and_is_the_same_twice(nodes: int) -> None:
    one = run_seed(5, overrides={**SMALL, "nodes": nodes})
    assert one.violation is None
    assert min(one.checks[name] for name in CHECKED) > 0
    assert run_seed(5, overrides={**SMALL, "nodes": nodes}).digest == one.digest


def test_a_planted_bug_is_found() -> None:
    bug = find_bug("p5")
    assert bug is not None
    for seed in range(1, 10):
        violation = run_seed(seed, bug=bug, overrides={"events_deeds": 40}).violation
        if violation is not None:
            assert violation.invariant in bug.expected
            break
    else:
        raise AssertionError("nothing was found")


def test_there_are_planted_bugs_of_each_kind() -> None:
    assert [bug.id for bug in CONSUMER_BUGS] == [f"c{number}" for number in range(1, 7)]
    assert [bug.id for bug in PROJECTION_BUGS] == [f"p{number}" for number in range(3, 8)]


def test_a_third_of_the_seeds_has_typed_streams_and_none_of_them_sql() -> None:
    drawn = [Options.draw(seed) for seed in range(300)]
    assert 70 <= sum(options.events for options in drawn) <= 130
    assert not any(options.events and options.sql for options in drawn)
    assert all(
        options.limits.sessions_max >= 2 * options.consumers * options.consumer_members
        for options in drawn
        if options.events
    )
