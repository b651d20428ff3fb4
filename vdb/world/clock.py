"""The Clock port over the machine's clocks."""

from __future__ import annotations

import time


class RealClock:
    """The Clock port."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_us(self) -> int:
        return time.time_ns() // 1000
