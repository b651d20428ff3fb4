"""Failure detection by rhythm: how long the primary's silence may last before a backup wants another view.

The primary is judged by the moving average of the intervals between its own messages, not by one fixed timeout: a group
whose primary beats slowly, because its machine is slow, isn't disturbed, and one that beats fast is given up early. The
bound has seeded jitter, drawn at the start of a view and at each beat that follows a suspicion, so that backups don't
suspect in step.

Silence is all that tells of a machine that hangs or is cut off. Of a process that has ended, the other end of its
connections tells at once: `give_up` doesn't wait.

Source: the idea of accrual detectors (Hayashibara et al., The phi accrual failure detector, 2004), in integers.
"""

from __future__ import annotations

from collections.abc import Callable

from vdb.vsr.timing import Timing

_SCALE = 16


class Rhythm:
    """Ticks only. `beat` when the primary was heard, `is_silent` to judge."""

    def __init__(self, timing: Timing, random: Callable[[int], int]) -> None:
        self._timing = timing
        self._random = random
        self._average = timing.heartbeat * _SCALE
        self._last = 0
        self._jitter = 0
        self._given_up = False

    def start(self, tick: int) -> None:
        """A view begins now; what was learnt of an earlier primary doesn't count."""
        self._average = self._timing.heartbeat * _SCALE
        self._last = tick
        self._given_up = False
        self._draw()

    def beat(self, tick: int) -> None:
        if self.is_silent(tick):
            self._draw()
        self._given_up = False
        interval = tick - self._last
        self._last = tick
        self._average += (interval * _SCALE - self._average) // 8

    def give_up(self) -> None:
        """It is known that there is no primary: silent until it beats again."""
        self._given_up = True

    def is_silent(self, tick: int) -> bool:
        return self._given_up or tick - self._last > self.bound

    @property
    def bound(self) -> int:
        """Ticks of silence that are tolerated."""
        timing = self._timing
        rhythm = timing.suspicion_beats * max(self._average, timing.heartbeat * _SCALE) // _SCALE
        return min(max(rhythm, timing.suspicion_min), timing.suspicion_max) + self._jitter

    def _draw(self) -> None:
        self._jitter = self._random(self._timing.jitter + 1)
