"""Whole runs with SQL: clean ones, the same twice, and a planted bug that is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sim.bugs.catalogue import find_bug
from sim.bugs.sql import SQL_BUGS
from sim.run import run_seed

SMALL: Mapping[str, Any] = {**SQL_BUGS[0].overrides, "sql_deeds": 40, "requests": 20, "sql_travel": 0.1}


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_run_with_sql_holds_and_is_the_same_twice(nodes: int) -> None:
    one = run_seed(5, overrides={**SMALL, "nodes": nodes})
    assert one.violation is None
    assert min(one.checks[f"Q{number}"] for number in (1, 3, 4, 5, 6, 7, 8, 9, 11)) > 0
    assert run_seed(5, overrides={**SMALL, "nodes": nodes}).digest == one.digest


def test_a_planted_bug_is_found() -> None:
    bug = find_bug("q9")
    assert bug is not None
    for seed in range(1, 20):
        violation = run_seed(seed, bug=bug, overrides={"sql_deeds": 60}).violation
        if violation is not None:
            assert violation.invariant in bug.expected
            break
    else:
        raise AssertionError("nothing was found")


def test_a_run_looks_back_at_every_commit_from_restore_points_of_its_own() -> None:
    small = {**SMALL, "sql_every_commit": True, "sql_travel": 0.0, "beyond_repair": False}
    result = run_seed(6, overrides=small)
    assert result.violation is None
    assert "sql.left_restore_point" in result.marks
    assert result.checks["Q8"] >= 2 * result.checks["Q4"] > 20


@pytest.mark.parametrize("id", ["q11", "q12"])
def test_what_is_wrong_in_one_place_alone_is_found(id: str) -> None:
    bug = find_bug(id)
    assert bug is not None
    found = (run_seed(seed, bug=bug, overrides={"sql_deeds": 60}).violation for seed in range(1, 20))
    violation = next(filter(None, found))
    assert violation.invariant in bug.expected


def test_there_are_twelve_of_sql() -> None:
    assert [bug.id for bug in SQL_BUGS] == [f"q{number}" for number in range(1, 13)]
