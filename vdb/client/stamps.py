"""What a writer draws for its envelopes: ids of events, and the time. From the ports, so that a simulated client is
deterministic."""

from __future__ import annotations

from attrs import frozen

from vdb.limits import EVENT_ID_SIZE
from vdb.ports import Clock, Entropy


@frozen
class Stamps:
    """May be used from several threads."""

    entropy: Entropy
    clock: Clock | None = None
    """None: events must say themselves when they happened."""

    def new_id(self) -> bytes:
        """16 bytes that nobody has drawn before."""
        return self.entropy.random_bytes(EVENT_ID_SIZE)

    def now(self) -> int | None:
        """Microseconds UTC; None without a clock."""
        return None if self.clock is None else self.clock.wall_us()
