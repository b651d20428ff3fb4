"""The kinds of fault, by the names that counts and reports use."""

from __future__ import annotations

FAULT_KINDS: tuple[str, ...] = (
    "crash",
    "crash_in_recovery",
    "unsynced_kept",
    "unsynced_dropped",
    "unsynced_torn",
    "unsynced_reordered",
    "bit_rot",
    "misdirected_write",
    "lost_write",
    "read_error",
    "write_error",
    "sync_failed",
    "disk_full",
    "slow_disk",
    "connection_cut",
    "connection_stalled",
    "half_open",
    "clock_jump",
    "clock_skew",
)
