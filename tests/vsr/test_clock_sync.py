"""Clocks that agree: Marzullo's algorithm against a search, and samples of clocks that drift and are set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.vsr.clock_sync import (
    DRIFT_PPM,
    SAMPLE_AGE_MAX_US,
    Agreement,
    ClockSync,
    ClockView,
    Interval,
    marzullo,
)

SECOND = 1_000_000
TOLERANCE = 500_000

intervals = st.builds(lambda low, width: Interval(low, low + width), st.integers(-1000, 1000), st.integers(0, 500))


def covering(found: list[Interval], point: int) -> int:
    return sum(each.low_us <= point <= each.high_us for each in found)


@given(found=st.lists(intervals, min_size=1, max_size=7))
def test_no_point_lies_in_more_intervals(found: list[Interval]) -> None:
    agreement = marzullo(found)
    edges = [edge for each in found for edge in each]
    assert agreement.sources == max(covering(found, edge) for edge in edges)
    assert covering(found, agreement.interval.low_us) == agreement.sources
    assert covering(found, agreement.interval.high_us) == agreement.sources


@given(found=st.lists(intervals, min_size=1, max_size=7))
def test_the_interval_is_the_smallest_of_the_best(found: list[Interval]) -> None:
    agreement = marzullo(found)
    best = [
        Interval(low.low_us, min(each.high_us for each in found if each.low_us <= low.low_us <= each.high_us))
        for low in found
        if covering(found, low.low_us) == agreement.sources
    ]
    assert agreement.interval.width_us == min(each.width_us for each in best)


@given(found=st.lists(intervals, min_size=1, max_size=7), order=st.randoms(use_true_random=False))
def test_the_order_of_sources_does_not_matter_for_their_number(found: list[Interval], order: object) -> None:
    shuffled = list(found)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert marzullo(shuffled).sources == marzullo(found).sources
    assert marzullo(shuffled).interval.width_us == marzullo(found).interval.width_us


def test_examples() -> None:
    assert marzullo([Interval(8, 12), Interval(11, 13), Interval(10, 12)]) == Agreement(Interval(11, 12), 3)
    assert marzullo([Interval(8, 12), Interval(11, 13), Interval(14, 15)]) == Agreement(Interval(11, 12), 2)
    assert marzullo([Interval(8, 9), Interval(8, 12), Interval(10, 12)]) == Agreement(Interval(8, 9), 2)
    assert marzullo([Interval(1, 5), Interval(5, 9)]) == Agreement(Interval(5, 5), 2), "touching is overlapping"
    assert marzullo([Interval(7, 7)]) == Agreement(Interval(7, 7), 1)


# Agreement with the own clock ---------------------------------------------------------------------------------


def view(**offsets: int) -> ClockView:
    """Clocks of nodes n1, n2, ... that are exactly so far ahead of the own one."""
    return ClockView({int(name[1:]): Interval(at, at) for name, at in offsets.items()}, TOLERANCE)


def test_a_quorum_that_agrees() -> None:
    clocks = view(n1=100, n2=-100)
    assert clocks.is_synchronised([1, 2], 3)
    assert clocks.agreement([1, 2]).sources == 3
    assert clocks.is_synchronised([1], 2)
    assert not clocks.is_synchronised([1], 3)
    assert not clocks.is_synchronised([3], 2), "nothing is known of it"
    assert clocks.is_synchronised([], 1)


def test_others_that_agree_without_this_node() -> None:
    clocks = view(n1=3_600 * SECOND, n2=3_600 * SECOND, n3=10, n4=3_600 * SECOND)
    assert clocks.agreement([1, 2, 3, 4]).sources == 2
    assert not clocks.is_synchronised([1, 2, 4], 2)
    assert clocks.is_synchronised([1, 2, 3, 4], 2)


def test_the_edge_of_the_tolerance() -> None:
    assert view(n1=TOLERANCE).is_synchronised([1], 2)
    assert not view(n1=TOLERANCE + 1).is_synchronised([1], 2)
    assert not view(n1=-TOLERANCE - 1).is_synchronised([1], 2)
    assert not view(n1=TOLERANCE, n2=-TOLERANCE).is_synchronised([1, 2], 3), "they don't agree with each other"


def test_who_is_hardly_known_does_not_count() -> None:
    clocks = ClockView({1: Interval(-TOLERANCE, 0), 2: Interval(-TOLERANCE, 1)}, TOLERANCE)
    assert clocks.is_synchronised([1], 2)
    assert not clocks.is_synchronised([2], 2)


# Samples ------------------------------------------------------------------------------------------------------


class World:
    """True time, this node's two clocks and another node's wall clock; all drift. Microseconds."""

    def __init__(self, *, own_ppm: int, other_ppm: int, offset: int) -> None:
        self.own_ppm, self.other_ppm, self.offset = own_ppm, other_ppm, offset
        self.own_jump = 0
        self.now = 0

    @property
    def monotonic_ns(self) -> int:
        return self.now * 1000 + self.now * self.own_ppm // 1000

    @property
    def wall_us(self) -> int:
        return 10**15 + self.own_jump + self.monotonic_ns // 1000

    @property
    def other_us(self) -> int:
        return 10**15 + self.offset + self.now + self.now * self.other_ppm // 1_000_000

    def probe(self, sync: ClockSync, there: int, back: int) -> None:
        sent = self.monotonic_ns
        self.now += there
        read = self.other_us
        self.now += back
        sync.sample(1, sent_ns=sent, wall_us=read, received_ns=self.monotonic_ns)

    def known(self, sync: ClockSync) -> Interval | None:
        return sync.view(monotonic_ns=self.monotonic_ns, wall_us=self.wall_us).offsets.get(1)

    @property
    def truth(self) -> int:
        return self.other_us - self.wall_us


drifts = st.integers(-DRIFT_PPM // 2, DRIFT_PPM // 2)
delays = st.integers(0, 300_000)


@given(
    own=drifts,
    other=drifts,
    offset=st.integers(-(10**12), 10**12),
    steps=st.lists(st.tuples(delays, delays, st.integers(0, 20 * SECOND), st.integers(-SECOND, SECOND)), max_size=12),
)
def test_the_true_offset_is_always_within_what_is_known(
    own: int, other: int, offset: int, steps: list[tuple[int, int, int, int]]
) -> None:
    world, sync = World(own_ppm=own, other_ppm=other, offset=offset), ClockSync()
    for there, back, pause, jump in steps:
        world.probe(sync, there, back)
        for wait in (0, pause):
            world.now += wait
            known = world.known(sync)
            assert known is not None
            assert known.low_us <= world.truth <= known.high_us
        world.own_jump += jump  # shows at once, without a new sample


def test_later_samples_narrow_what_is_known() -> None:
    world, sync = World(own_ppm=0, other_ppm=0, offset=40), ClockSync()
    world.probe(sync, 100, 900)
    assert world.known(sync) == Interval(40 - 903, 40 + 103)
    world.probe(sync, 900, 100)
    known = world.known(sync)
    assert known is not None
    assert known.width_us < 210


def test_what_is_known_fades_and_expires() -> None:
    world, sync = World(own_ppm=0, other_ppm=0, offset=0), ClockSync()
    world.probe(sync, 0, 0)
    world.now += 10 * SECOND
    assert world.known(sync) == Interval(-2 - 10 * DRIFT_PPM, 2 + 10 * DRIFT_PPM)
    world.now += SAMPLE_AGE_MAX_US - 10 * SECOND
    assert world.known(sync) is not None
    world.now += 1
    assert world.known(sync) is None


def test_a_clock_that_was_set_is_believed_anew() -> None:
    world, sync = World(own_ppm=0, other_ppm=0, offset=0), ClockSync()
    world.probe(sync, 10, 10)
    world.offset = -3_600 * SECOND
    world.probe(sync, 10, 10)
    assert world.known(sync) == Interval(-3_600 * SECOND - 13, -3_600 * SECOND + 13)


def test_an_answer_from_the_future_is_none() -> None:
    sync = ClockSync()
    sync.sample(1, sent_ns=2000, wall_us=5, received_ns=1000)
    assert sync.view(monotonic_ns=3000, wall_us=5).offsets == {}


def test_a_node_is_forgotten() -> None:
    world, sync = World(own_ppm=0, other_ppm=0, offset=0), ClockSync()
    world.probe(sync, 10, 10)
    sync.forget(1)
    sync.forget(2)
    assert world.known(sync) is None
