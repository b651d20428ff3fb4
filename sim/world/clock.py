"""Simulated clocks: each node's own view of virtual time.

- `HostClock` is the node's hardware: skew (microseconds, fixed), drift (parts per million), and jumps of the wall
  clock. It survives restarts.
- `SimClock` is the Clock port of one incarnation. Its monotonic time drifts and never goes back; its wall time jumps.

Wall time starts at 2030-01-01 UTC, far from any real clock: a test that reads the machine's clock by mistake shows.
"""

from __future__ import annotations

from collections import Counter

from sim.runner import VirtualClock
from sim.world.fence import Fence

WALL_BASE_US = 1_893_456_000_000_000
"""2030-01-01T00:00:00Z in microseconds since 1970."""

PPM = 1_000_000


class HostClock:
    """The clock of one node's machine."""

    def __init__(self, virtual: VirtualClock, faults: Counter[str], *, skew_us: int = 0, drift_ppm: int = 0) -> None:
        assert abs(drift_ppm) < PPM
        self._virtual = virtual
        self._faults = faults
        self._drift_ppm = drift_ppm
        self._offset_us = self._skew_us = skew_us
        if skew_us:
            faults["clock.skew"] += 1
        if drift_ppm:
            faults["clock.drift"] += 1

    def jump(self, by_us: int) -> None:
        """Set the wall clock forward, or back for a negative number; monotonic time doesn't move."""
        self._faults["clock.jump"] += 1
        self._offset_us += by_us

    def set_right(self) -> None:
        """Undo all jumps."""
        self._offset_us = self._skew_us

    def monotonic_ns(self) -> int:
        now = self._virtual.now_ns()
        return now + now * self._drift_ppm // PPM

    def wall_us(self) -> int:
        return WALL_BASE_US + self._offset_us + self.monotonic_ns() // 1000


class SimClock:
    """The Clock port of one incarnation."""

    def __init__(self, host: HostClock, fence: Fence) -> None:
        self._host = host
        self._fence = fence

    def monotonic_ns(self) -> int:
        self._fence.check()
        return self._host.monotonic_ns()

    def wall_us(self) -> int:
        self._fence.check()
        return self._host.wall_us()
