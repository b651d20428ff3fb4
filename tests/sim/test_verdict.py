"""The verdict keeps the first violation, counts every check and wakes the run."""

from __future__ import annotations

from sim.verdict import Verdict, Violation


def test_first_violation_is_kept_and_checks_are_counted() -> None:
    verdict = Verdict()
    assert verdict.check("I1", True, "unused")
    assert verdict.ok
    assert not verdict.broken.is_set()
    assert not verdict.check("I2", False, "first")
    assert not verdict.check("I1", False, "second")
    assert verdict.violation == Violation("I2", "first")
    assert verdict.broken.is_set()
    assert verdict.checks == {"I1": 2, "I2": 1}
