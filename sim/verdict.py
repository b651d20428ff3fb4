"""What the checkers found: how often each invariant was checked, and the first one that broke.

A broken invariant isn't raised where it is seen, inside the product's tasks, because product code might swallow
it. It is kept here, and `broken` wakes the run, which ends at once.
"""

from __future__ import annotations

from collections import Counter

import trio
from attrs import frozen


@frozen
class Violation:
    """`invariant` is an id of the list in `sim.checkers`, such as 'I5', or a word for what that list doesn't number."""

    invariant: str
    message: str


class Verdict:
    """The checks of one run."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.violation: Violation | None = None
        self.broken = trio.Event()

    def check(self, invariant: str, holds: bool, message: str) -> bool:
        """Count a check; keep the message if it is the first that fails. Returns `holds`."""
        self.checks[invariant] += 1
        if not holds:
            self.fail(invariant, message)
        return holds

    def fail(self, invariant: str, message: str) -> None:
        """A violation that isn't a yes-or-no check."""
        if self.violation is None:
            self.violation = Violation(invariant, message)
            self.broken.set()

    @property
    def ok(self) -> bool:
        return self.violation is None
