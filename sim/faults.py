"""The kinds of fault that a sweep must see, by the names that counts and reports use."""

from __future__ import annotations

CRASH = "node.crash"
CRASH_IN_RECOVERY = "node.crash_in_recovery"
PAUSE = "node.pause"
WIPED = "node.disk_replaced"

FAULT_KINDS: tuple[str, ...] = (
    CRASH,
    CRASH_IN_RECOVERY,
    "disk.kept_unsynced",
    "disk.lost_unsynced",
    "disk.torn",
    "disk.reordered",
    "disk.bit_rot",
    "disk.misdirected_write",
    "disk.lost_write",
    "disk.eio_read",
    "disk.eio_write",
    "disk.fsync_failed",
    "disk.full",
    "disk.slow",
    "net.cut",
    "net.stalled",
    "net.half_open",
    "net.one_way",
    "net.dropped",
    "net.slow",
    PAUSE,
    "clock.jump",
    "clock.skew",
)
