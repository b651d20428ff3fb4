"""What the judge of projections takes, and what it doesn't: files and rows written by hand."""

from __future__ import annotations

import pytest

from sim.checkers.events_log import LoggedFact
from sim.checkers.events_projected import Passed, _may_be_parked, check_passed
from sim.events.kinds import MOVED, Fact
from sim.events.projecting import fold
from sim.verdict import Verdict


def logged(position: int, patient: str, *, poisoned: bool = False) -> LoggedFact:
    fact = Fact(number=position + 1, type=MOVED, patient=patient, ward=0, poisoned=poisoned)
    return LoggedFact(position=position, stream="ev-bed-1", offset=position, fact=fact)


EVENTS = [
    logged(0, "a"), logged(1, "b"), logged(2, "a", poisoned=True), logged(3, "a"), logged(4, "b"), logged(5, "a"),
]  # fmt: skip
FAILED = Passed(key="a", attempts=1, skipped=False)
WAITS = Passed(key="a", attempts=0, skipped=False)
SKIPPED = Passed(key="a", attempts=1, skipped=True)


def passes(policy: str, passed: dict[int, Passed]) -> bool:
    verdict = Verdict()
    check_passed(verdict, EVENTS, passed, policy, "a file")
    return verdict.ok


@pytest.mark.parametrize(
    ("policy", "passed", "due"),
    [
        ("stop", {}, False),
        ("park", {2: FAILED, 3: WAITS, 5: WAITS}, True),
        ("park", {2: FAILED, 3: WAITS}, False),
        ("park", {2: FAILED, 3: WAITS, 4: WAITS, 5: WAITS}, False),
        ("park", {2: SKIPPED}, True),
        ("park", {2: SKIPPED, 5: WAITS}, True),  # the drop was cut short before it came to the last
        ("park", {}, False),
        ("skip", {2: SKIPPED}, True),
        ("skip", {2: FAILED}, False),
        ("skip", {2: SKIPPED, 3: SKIPPED}, False),
        ("park", {2: SKIPPED, 9: SKIPPED}, False),
    ],
)
def test_what_may_be_passed_over(policy: str, passed: dict[int, Passed], due: bool) -> None:
    assert passes(policy, passed) is due


def test_rows_while_something_is_parked() -> None:
    whole = [EVENTS[at].fact for at in (0, 1, 3, 4, 5)]
    for count, due in ((2, False), (3, False), (5, True)):
        assert _may_be_parked(fold(whole[:count], 1), EVENTS, 1) is due
    parked = [EVENTS[at].fact for at in (0, 1, 4)]
    assert _may_be_parked(fold(parked, 1), EVENTS, 1)
    assert not _may_be_parked(fold(parked, 2), EVENTS, 1)
    assert not _may_be_parked(fold([*parked, EVENTS[5].fact], 1), EVENTS, 1), "an event is missing between"
