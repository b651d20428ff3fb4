"""Groups of pure replicas: lost, doubled and reordered messages, crashes with torn writes, rot, reconfiguration."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.bugs.patch import planted
from sim.bugs.views import VIEW_BUGS
from sim.cores.group import Chances, Group, draw

STEPS = 1200
QUICK = {"2": 10, "3": 10, "5": 40, "6": 40, "7": 40, "8": 10, "9": 10, "10": 20, "12": 10, "14": 10}
"""Planted bugs, and how many seeds find each with room to spare."""
STORMY = Chances(drop=0.5, cut=0.05, abdicate=0.3, propose=0.9, crash=0.0)
"""Old primaries go on with long logs of their own, and views follow each other: what bugs 5, 6 and 7 need."""


@pytest.mark.parametrize("seed", range(0, 60, 4))
def test_seeds_hold(seed: int) -> None:
    for number in range(seed, seed + 4):
        group = draw(number)
        group.run(STEPS)
        group.heal()


def test_the_faults_of_these_seeds_fire() -> None:
    counts: dict[str, int] = {}
    for seed in range(12):
        group = draw(seed)
        group.run(STEPS)
        for what, count in group.counts.items():
            counts[what] = counts.get(what, 0) + count
    assert {"crash", "restart", "cut", "sync"} <= counts.keys()


rates = st.sampled_from((0.0, 0.01, 0.05, 0.2))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 6),
    chances=st.builds(Chances, drop=rates, double=rates, cut=rates, crash=st.sampled_from((0.0, 0.01)), abdicate=rates),
)
def test_any_mix_of_faults_holds(seed: int, size: int, chances: Chances) -> None:
    group = Group(random=Random(seed), size=size, chances=chances)
    group.run(400)
    group.heal()


@pytest.mark.parametrize("bug", [bug for bug in VIEW_BUGS if bug.id in QUICK], ids=lambda bug: bug.id)
def test_a_planted_bug_is_found(bug) -> None:  # type: ignore[no-untyped-def]
    with planted(bug):
        for seed in range(QUICK[bug.id]):
            group = draw(seed) if bug.id not in "567" else Group(random=Random(seed), size=3, chances=STORMY)
            try:
                group.run(STEPS)
                group.heal()
            except AssertionError:
                return
    raise AssertionError(f"bug {bug.id} isn't found in {QUICK[bug.id]} seeds")
