"""The tables that storage itself keeps in a checkpoint, beside the kernel's. Their numbers start above the kernel's."""

from __future__ import annotations

from enum import IntEnum


class StorageTable(IntEnum):
    EVENT_LOGS = 100
    """tenant u64 -> `tenant_log.Cursor`: where the tenant's open segment ends."""
    SEGMENTS = 101
    """tenant u64, segment u32 -> `tenant_log.ClosedSegment`."""
    CHECKPOINT_HEAD = 102
    """One row, "head" -> checksum 32, timestamp u64 of the op that the checkpoint stands at: what the header of the op
    after it must chain to, and the time that it must exceed."""
