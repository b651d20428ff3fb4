"""A simulated disk whose misdirected writes are aimed.

Of all the places in a write-ahead log, few are of interest: a sector of redundant headers that lands on another such
sector puts whole headers, with right checksums, into slots that aren't theirs. Drawn places would seldom hit one.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.world.disk import SimDisk
from sim.world.platter import Change, Inode


class AimedDisk(SimDisk):
    """`aim` (path, offset, size) names where a misdirected write lands; None: it goes where it should."""

    aim: Callable[[str, int, int], int | None] | None = None
    on_misdirected: Callable[[], object] | None = None

    def _misdirect(self, path: str, inode: Inode, change: Change) -> bool:
        assert change.data is not None
        wrong = self.aim(path, change.offset, len(change.data)) if self.aim is not None else None
        if wrong is None:
            return False
        self.counts["disk.misdirected_write"] += 1
        inode.land(inode.change(wrong, change.data))
        if self.on_misdirected is not None:
            self.on_misdirected()
        return True
