"""Whether this node's wall clock agrees with those of enough others: only then does a primary stamp requests.

Each answered probe bounds how far the other clock is from this node's monotonic one: the other read its clock at some
moment between the probe and the answer. Bounds grow with age, since clocks drift; a new bound is intersected with the
old one, unless they exclude each other, which means that the other clock was set: then the old one is forgotten.
Monotonic time is the reference so that a jump of this node's own wall clock shows at once.

Sources: Marzullo and Owicki, Maintaining the Time in a Distributed System (1983): intervals that hold the true time,
which grow by the rate of drift and are intersected. Marzullo's dissertation of the same title (1984): where clocks may
be faulty, the smallest interval that the largest number of sources share.

Rules
- The own clock is one of the sources that agree, always: a quorum that agrees without it doesn't help it.
- Sources agree when their intervals, widened by half of the tolerance, share a point: then no two of them are further
  apart than the tolerance and what isn't known of them.
- A source whose offset isn't known to within the tolerance, or of which nothing was heard for SAMPLE_AGE_MAX_US,
  doesn't count.
- Safety depends on none of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from attrs import frozen

DRIFT_PPM = 500
"""How fast two clocks may move apart, microseconds a second: what a clock that is being adjusted may do."""
SAMPLE_AGE_MAX_US = 60_000_000
TOLERANCE_US = 500_000

_PPM = 1_000_000
_NS_PER_US = 1000
_ROUNDING_US = 2
"""Each reading is rounded down."""


class Interval(NamedTuple):
    """From low to high, both included, microseconds."""

    low_us: int
    high_us: int

    @property
    def width_us(self) -> int:
        return self.high_us - self.low_us

    def widened(self, by_us: int) -> Interval:
        """Larger by so much at either end."""
        return Interval(self.low_us - by_us, self.high_us + by_us)

    def shifted(self, by_us: int) -> Interval:
        return Interval(self.low_us + by_us, self.high_us + by_us)

    def meet(self, other: Interval) -> Interval | None:
        """What both have; None if they share no point."""
        low, high = max(self.low_us, other.low_us), min(self.high_us, other.high_us)
        return Interval(low, high) if low <= high else None


class Agreement(NamedTuple):
    """The interval that most sources share, and how many they are."""

    interval: Interval
    sources: int


def marzullo(intervals: Sequence[Interval]) -> Agreement:
    """The smallest of the intervals in which the largest number of sources overlap. At least one source."""
    assert intervals
    # Of edges at one point the lower ones come first: intervals that touch overlap.
    edges = sorted([(each.low_us, 0) for each in intervals] + [(each.high_us, 1) for each in intervals])
    best: Agreement | None = None
    count = 0
    for (at, is_end), (until, _) in pairwise(edges):
        count += -1 if is_end else 1
        found = Agreement(Interval(at, until), count)
        if best is None or (count, -found.interval.width_us) > (best.sources, -best.interval.width_us):
            best = found
    assert best is not None
    return best


@frozen
class ClockView:
    """What is known at one moment. `offsets`: how far the clock of each other node is ahead of the own wall clock."""

    offsets: Mapping[int, Interval]
    tolerance_us: int

    def agreement(self, others: Sequence[int]) -> Agreement:
        """The own clock's best agreement with the clocks of `others`, by node number; itself is one of the sources."""
        margin = self.tolerance_us // 2
        own = Interval(0, 0).widened(margin)
        sources = [own]
        for node in others:
            offset = self.offsets.get(node)
            if offset is None or offset.width_us > self.tolerance_us:
                continue
            shared = offset.widened(margin).meet(own)
            if shared is not None:
                sources.append(shared)
        return marzullo(sources)

    def is_synchronised(self, others: Sequence[int], quorum: int) -> bool:
        """Whether the own clock agrees with enough of the others that they are `quorum` together."""
        return self.agreement(others).sources >= quorum


@frozen
class _Bound:
    """The other node's wall clock less this node's monotonic one, as it is known since `at_us`: when it was asked."""

    interval: Interval
    at_us: int

    def grown(self, now_us: int) -> Interval:
        age = max(0, now_us - self.at_us)
        return self.interval.widened(-(-age * DRIFT_PPM // _PPM))


class ClockSync:
    """Collects samples. Times are the caller's readings of its own two clocks."""

    def __init__(self, *, tolerance_us: int = TOLERANCE_US) -> None:
        assert tolerance_us > 0
        self.tolerance_us = tolerance_us
        self._bounds: dict[int, _Bound] = {}

    def sample(self, node: int, *, sent_ns: int, wall_us: int, received_ns: int) -> None:
        """`node` read `wall_us` from its clock between two moments of this node's monotonic clock."""
        if sent_ns > received_ns:
            return  # not an answer to what was asked
        sent_us, received_us = sent_ns // _NS_PER_US, received_ns // _NS_PER_US
        interval = Interval(wall_us - received_us, wall_us - sent_us).widened(_ROUNDING_US)
        before = self._bounds.get(node)
        if before is not None:
            # Disjoint: the other clock was set, and what was known of it is void.
            interval = before.grown(sent_us).meet(interval) or interval
        self._bounds[node] = _Bound(interval, sent_us)

    def forget(self, node: int) -> None:
        """The node is no member any more."""
        self._bounds.pop(node, None)

    def view(self, *, monotonic_ns: int, wall_us: int) -> ClockView:
        """What is known now."""
        now_us = monotonic_ns // _NS_PER_US
        own_us = wall_us - now_us
        offsets = {
            node: bound.grown(now_us).shifted(-own_us)
            for node, bound in sorted(self._bounds.items())
            if now_us - bound.at_us <= SAMPLE_AGE_MAX_US
        }
        return ClockView(offsets, self.tolerance_us)
