"""The simulated disk as the checkers see it: what is on the platter, under durable names.

Bytes that a fault has touched are nobody's promise: `is_tampered` tells, so that a lost write isn't held against the
node that was told it had succeeded.
"""

from __future__ import annotations

from sim.atlas import Atlas
from sim.world.disk import SimDisk


class PlatterView:
    """Implements `sim.checkers.media.Platter`."""

    def __init__(self, disk: SimDisk, atlas: Atlas) -> None:
        self._disk = disk
        self._atlas = atlas

    def durable(self, path: str) -> bytes | None:
        inode = self._disk.platter._stable_names.get(path)
        return None if inode is None else bytes(inode.stable)

    def durable_part(self, path: str, offset: int, size: int) -> bytes:
        inode = self._disk.platter._stable_names.get(path)
        return b"" if inode is None else bytes(memoryview(inode.stable)[offset : offset + size])

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        return self._atlas.is_tampered(path, offset, size)
