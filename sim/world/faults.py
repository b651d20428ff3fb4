"""What may go wrong, as numbers that the swarm draws. All is off by default: such a world is fast and honest.

Probabilities lie between 0 and 1. Times are microseconds, sizes bytes. Each fault that fires is counted by kind in the
world's `faults` counter; the kinds are listed here.
"""

from __future__ import annotations

from attrs import frozen

DISK_KINDS = (
    "disk.torn",
    "disk.lost_unsynced",
    "disk.kept_unsynced",
    "disk.reordered",
    "disk.bit_rot",
    "disk.database_rot",
    "disk.misdirected_write",
    "disk.lost_write",
    "disk.eio_read",
    "disk.eio_write",
    "disk.fsync_failed",
    "disk.full",
    "disk.slow",
)
NETWORK_KINDS = ("net.cut", "net.stalled", "net.half_open", "net.one_way", "net.slow", "net.refused")
CLOCK_KINDS = ("clock.skew", "clock.drift", "clock.jump")
NODE_KINDS = ("node.crash",)


@frozen(kw_only=True)
class DiskFaults:
    """The character of one disk."""

    read_us: int = 60
    write_us: int = 15
    sync_us: int = 250
    """Base times; each call takes between the base and twice the base, and `bytes_per_us` on top."""
    bytes_per_us: int = 500

    lose_unsynced: float = 0.0
    """At a crash, for each file: that some of what wasn't synced is lost. Otherwise all of it is kept."""
    reorder: float = 0.0
    """When a file loses something: that each of its writes has its own fate. Otherwise the latest ones are lost."""
    tear: float = 0.0
    """That a write at the edge of what is lost survives in part, by sectors of 512 bytes."""
    tear_garbage: float = 0.0
    """That a sector of a torn write which didn't survive holds garbage instead of its old bytes."""
    lose_names: float = 0.0
    """At a crash: that an unsynced creation, rename or removal is lost."""

    lost_write: float = 0.0
    misdirected_write: float = 0.0
    eio_read: float = 0.0
    eio_write: float = 0.0
    fsync_failed: float = 0.0
    full: float = 0.0
    """That a write which grows a file finds the disk full (besides `SimDisk.capacity`)."""
    slow: float = 0.0
    slow_factor: int = 40


@frozen(kw_only=True)
class NetworkFaults:
    """The character of the fabric. Cuts and stalls are the nemesis' to order."""

    latency_us: int = 100
    jitter_us: int = 50
    bytes_per_us: int = 125
    window: int = 256 * 1024
    """Bytes of one direction of a connection that may be under way or unread; more make `send_all` wait."""
    split: float = 0.0
    """That a read returns fewer bytes than have arrived."""
    half_open: float = 0.0
    """At a crash or a cut, for each connection: that the other end isn't told."""
    slow: float = 0.0
    """That a chunk takes `slow_factor` times as long."""
    slow_factor: int = 50
