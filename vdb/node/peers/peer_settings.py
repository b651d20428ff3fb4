"""How a node keeps its connections to the other nodes of its cluster."""

from __future__ import annotations

from attrs import frozen

from vdb.vsr.clock_sync import TOLERANCE_US


@frozen(kw_only=True)
class PeerSettings:
    """Sizes are bytes. Safety depends on none of these."""

    queue_bytes_max: int = 32 * 1024 * 1024
    """Of frames that wait for one peer. Beyond it the oldest are dropped; one frame may wait in any case."""
    batch_bytes_max: int = 256 * 1024
    """Of frames that leave in one go; one frame leaves in any case."""
    read_size: int = 256 * 1024
    round_s: float = 0.5
    """Between two probes, and two looks at who is silent."""
    silent_rounds_max: int = 4
    """After so many rounds without a byte an outgoing connection is taken for dead."""
    hello_timeout_s: float = 5.0
    """For a handshake, which may have to write a disk id."""
    redial_first_s: float = 0.02
    redial_longest_s: float = 1.0
    strangers_max: int = 64
    """Incoming connections that haven't said hello yet; beyond it the oldest ends."""
    clock_tolerance_us: int = TOLERANCE_US

    def __attrs_post_init__(self) -> None:
        assert self.queue_bytes_max >= self.batch_bytes_max >= 1
        assert self.silent_rounds_max >= 1
        assert self.strangers_max >= 1
        assert 0 < self.redial_first_s <= self.redial_longest_s
