"""How long a primary may be silent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.vsr.rhythm import Rhythm
from vdb.vsr.timing import Timing

TIMING = Timing(heartbeat=5, suspicion_min=20, suspicion_max=200, suspicion_beats=5, jitter=6)


def a_rhythm(jitter: int = 0) -> Rhythm:
    rhythm = Rhythm(TIMING, lambda bound: min(jitter, bound - 1))
    rhythm.start(0)
    return rhythm


def test_a_new_view_is_given_a_few_heartbeats() -> None:
    rhythm = a_rhythm()
    assert rhythm.bound == 25
    assert not rhythm.is_silent(25)
    assert rhythm.is_silent(26)


def test_a_slow_primary_is_given_more() -> None:
    rhythm = a_rhythm()
    for tick in range(0, 600, 20):
        rhythm.beat(tick)
    assert 80 <= rhythm.bound <= 100


def test_a_fast_one_is_given_no_less_than_its_heartbeats_need() -> None:
    rhythm = a_rhythm()
    for tick in range(200):
        rhythm.beat(tick)
    assert rhythm.bound == 25


def test_a_new_view_forgets_the_old_primary_s_rhythm() -> None:
    rhythm = a_rhythm()
    for tick in range(0, 600, 30):
        rhythm.beat(tick)
    rhythm.start(600)
    assert rhythm.bound == 25
    assert not rhythm.is_silent(625)


def test_jitter_spreads_suspicions() -> None:
    assert {a_rhythm(jitter).bound for jitter in range(7)} == set(range(25, 32))


def test_jitter_is_drawn_again_after_a_suspicion_alone() -> None:
    draws = iter([1, 4, 2, 6])
    always_30 = Timing(heartbeat=5, suspicion_min=30, suspicion_max=30, suspicion_beats=5, jitter=6)
    rhythm = Rhythm(always_30, lambda _bound: next(draws))
    rhythm.start(0)
    rhythm.beat(31)
    assert rhythm.bound == 31, "it wasn't suspected"
    rhythm.beat(31 + 32)
    assert rhythm.bound == 34
    rhythm.beat(70)
    assert rhythm.bound == 34, "one suspicion, one draw"
    rhythm.give_up()
    rhythm.beat(71)
    assert rhythm.bound == 32
    rhythm.start(80)
    assert rhythm.bound == 36


@given(st.lists(st.integers(0, 10_000), max_size=60), st.integers(0, 6))
def test_the_bound_stays_within_its_limits(intervals: list[int], jitter: int) -> None:
    rhythm, tick = a_rhythm(jitter), 0
    for interval in intervals:
        tick += interval
        rhythm.beat(tick)
        assert TIMING.suspicion_min <= rhythm.bound <= TIMING.suspicion_max + TIMING.jitter


def test_one_that_is_given_up_is_silent_until_it_beats() -> None:
    rhythm = a_rhythm()
    rhythm.give_up()
    assert rhythm.is_silent(0)
    rhythm.beat(1)
    assert not rhythm.is_silent(1)
    rhythm.give_up()
    rhythm.start(2)
    assert not rhythm.is_silent(2)
