"""How long to wait before trying again: twice as long each time, to a limit, with jitter from the entropy port.

Jitter matters when a node comes back: its clients shouldn't all arrive in the same instant.
"""

from __future__ import annotations

from attrs import define

from vdb.ports import Entropy

_STEPS = 1 << 16


@define
class Backoff:
    """Delays in seconds: between half of and the whole of `first`, 2 `first`, 4 `first`, ... `longest`."""

    entropy: Entropy
    first: float = 0.02
    longest: float = 1.0
    _tries: int = 0

    def next_delay(self) -> float:
        """The delay before the next try."""
        whole = min(self.longest, self.first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return whole * (0.5 + self.entropy.below(_STEPS) / (2 * _STEPS))

    def reset(self) -> None:
        """A try succeeded."""
        self._tries = 0
