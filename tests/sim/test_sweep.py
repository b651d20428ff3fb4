"""A sweep counts only when its seeds were worth running."""

from __future__ import annotations

from typing import Any

from sim.faults import FAULT_KINDS
from sim.mark_names import mark_names
from sim.outside_marks import OUTSIDE_MARKS
from sim.result import Result
from sim.sweep import SEEDS_FOR_EVERY_KIND, Sweep, run_one
from sim.verdict import Violation


def result(seed: int, **changes: Any) -> Result:
    fields: dict[str, Any] = {
        "seed": seed,
        "digest": "",
        "commit": "abc",
        "virtual_seconds": 1.0,
        "wall_seconds": 1.0,
        "events": 10,
        "ops_committed": 5,
        "faults": dict.fromkeys(FAULT_KINDS, 1),
        "checks": {"I1": 3},
        "marks": (),
        "acknowledged": 300,
        "crashes": 2,
        "idle": 0.01,
    }
    return Result(**{**fields, **changes})


def sweep_of(count: int = 20, **changes: Any) -> Sweep:
    return Sweep(results=tuple(result(seed, **changes) for seed in range(count)), errors=())


def test_a_good_sweep_holds() -> None:
    assert sweep_of().ok
    assert sweep_of().checks["I1"] == 60


def test_tame_seeds_are_complained_about() -> None:
    assert sweep_of(acknowledged=150).complaints() == ["the median of acknowledged is 150; at least 200 are expected"]
    assert sweep_of(crashes=0).complaints() == ["the median of crashes is 0; at least 1 are expected"]
    assert sweep_of(idle=0.3).complaints() == ["the median seed is idle for 30% of its time; at most 20% may be"]
    few = {"node.crash": 5, "disk.torn": 1}
    assert sweep_of(faults=few).complaints() == ["the median of fault_kinds is 2; at least 3 are expected"]


def test_a_fault_that_never_fires_fails_a_large_sweep_only() -> None:
    faults = {**dict.fromkeys(FAULT_KINDS, 1), "disk.torn": 0}
    assert sweep_of(SEEDS_FOR_EVERY_KIND - 1, faults=faults).ok
    assert sweep_of(SEEDS_FOR_EVERY_KIND, faults=faults).complaints() == ["the fault 'disk.torn' never fired"]


def test_json_names_what_failed() -> None:
    broken = result(7, violation=Violation("I5", "lost"))
    found = Sweep(results=(result(1), broken), errors=((9, "Hung: no end"),))
    printed = found.as_json(1)
    assert printed["failing"] == [7, 9]
    assert printed["seeds"] == 3
    assert not printed["ok"]
    assert printed["violation"] == {"seed": 7, "invariant": "I5", "message": "lost"}


def test_result_json_has_the_fixed_keys() -> None:
    keys = {"seed", "ok", "digest", "commit", "virtual_seconds", "wall_seconds", "events", "ops_committed", "faults",
            "checks", "marks"}  # fmt: skip
    assert keys <= result(1).as_json().keys()
    assert "violation" not in result(1).as_json()
    assert result(1, violation=Violation("I5", "lost")).as_json()["violation"] == {"invariant": "I5", "message": "lost"}


def test_a_seed_of_a_sweep_has_the_options_that_were_asked_for() -> None:
    found = run_one(2, {"requests": 10, "nodes": 1, "sql": False, "events": False, "disturbances": []})
    assert found.ok, found.violation
    assert not found.crashes or found.faults["node.crash"] <= 1


def test_marks_that_no_seed_can_reach_are_apart() -> None:
    assert all(mark in mark_names() for mark in OUTSIDE_MARKS), "a mark that is gone leaves the page as well"
    outside = next(iter(OUTSIDE_MARKS))
    missed = sweep_of().missed_marks()
    assert sorted((*missed, *OUTSIDE_MARKS)) == list(mark_names())
    assert sweep_of(marks=(missed[0],)).missed_marks() == missed[1:]
    [complaint] = sweep_of(marks=(outside,)).complaints()
    assert complaint == f"the mark '{outside}' was reached, and sim/outside_marks.py says that none can"
