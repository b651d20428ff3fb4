"""Marks: names for branches that only rare circumstances reach.

`mark("wal.torn")` counts; the simulator reports which marks of the source no seed reached, so that a branch
that tests never enter is seen. Counting is all it does: no code path may read a mark.
"""

from __future__ import annotations

from collections import Counter

COUNTS: Counter[str] = Counter()


def mark(name: str) -> None:
    """Count that the branch `name` (package.branch) was reached."""
    COUNTS[name] += 1
