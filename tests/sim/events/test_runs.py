"""Whole runs with typed streams: clean ones, and the same twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sim.run import run_seed

SMALL: Mapping[str, Any] = {
    "sql": False, "events": True, "events_deeds": 40, "requests": 20, "clients": 2, "tenants": 1, "spares": 0,
    "harmed": [], "dead_at_the_end": False, "disturbances": ["crash", "crash"], "beyond_repair": False,
    "events_poison": 0.0, "events_rebuilds": 3,
    "events_mix": {"append": 4, "rows": 2, "read": 2, "follow": 1, "aggregate": 2},
}  # fmt: skip
CHECKED = ("E1", "E2", "E3", "E5", "P1", "P2")


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run_holds_and_is_the_same_twice(nodes: int) -> None:
    one = run_seed(5, overrides={**SMALL, "nodes": nodes})
    assert one.violation is None
    assert min(one.checks[name] for name in CHECKED) > 0
    assert run_seed(5, overrides={**SMALL, "nodes": nodes}).digest == one.digest
