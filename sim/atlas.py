"""The fault atlas: which harm one replica can survive, and where the nemesis may therefore do it.

With one replica there is no second copy of a prepare, a segment or a checkpoint. What can be repaired is what is stored
more than once: a superblock copy, and the ring of redundant headers. So

- within the atlas: one bit in one superblock copy or one live redundant header, found by the restart that follows; a
  lost or misdirected write of redundant headers; an EIO, which ends the node unless what it hit is stored twice or
  needed by nobody; at most one damage at rest between two starts, and no EIO on top of it while the next one repairs
  it, because two at once may meet in one place;
- beyond it: a rotted prepare above the checkpoint, segment, checkpoint file, node file, or three superblock copies. The
  node must then refuse with an error of `vdb.errors`, or go on without ever giving a false answer (the byte may
  belong to nothing that matters).
"""

from __future__ import annotations

from random import Random

from attrs import define, field

from sim.world.disk import SimDisk
from sim.world.platter import PAGE
from vdb.limits import PREPARE_HEADER_SIZE, SUPERBLOCK_COPIES, Limits

SUPERBLOCK_COPY_SIZE = 16 * 1024
_SUPERBLOCK_USED = 320
_AT_REST = ("disk.lost_write",)
_PLACES_TRIED = 16


@define
class Atlas:
    """Decides over one disk. `SimDisk.permit` asks `permit`."""

    disk: SimDisk
    limits: Limits
    groups: tuple[str, ...]
    random: Random
    beyond: str = ""
    """What was destroyed beyond repair; '' while nothing was."""
    armed: dict[str, int] = field(factory=dict)
    """Kind to how many more may fire."""
    damaged: bool = False
    """Something at rest was harmed since the last start."""
    recovering: bool = False
    """Something was harmed before the last start: an EIO where its only other copy lies would be one harm too many."""
    _tampered: dict[tuple[str, int], None] = field(factory=dict)

    def on_start(self) -> None:
        """The node recovers now, and repairs what it finds."""
        self.recovering, self.damaged = self.damaged, False

    def permit(self, kind: str, path: str, offset: int, size: int) -> bool:
        """Whether this fault may happen here and now."""
        if kind == "disk.fsync_failed":
            return True
        if self.armed.get(kind, 0) <= 0 or (kind == "disk.eio_read" and self.recovering):
            return False
        if kind in _AT_REST:
            if self.damaged or not self._is_header_ring(path, offset, size):
                return False
            self._tamper(path, offset, size)
        self.armed[kind] -= 1
        return True

    def aim(self, path: str, offset: int, size: int) -> int | None:
        """Where a misdirected write of redundant headers may land: on others of them, or where nothing is."""
        if self.damaged or self.armed.get("disk.misdirected_write", 0) <= 0:
            return None
        if not self._is_header_ring(path, offset, size):
            return None
        ring = range(0, self.limits.wal_headers_size, PAGE)
        places = [place for place in ring if place != offset and place + size <= self.limits.wal_headers_size]
        if not places:
            places = self._empty_places(path, size)
        if not places:
            return None
        wrong = self.random.choice(places)
        self._tamper(path, offset, size)
        self._tamper(path, wrong, size)
        self.armed["disk.misdirected_write"] -= 1
        return wrong

    def _empty_places(self, path: str, size: int) -> list[int]:
        content = self.disk.content(path)
        drawn = [self.random.randrange(len(content) // PAGE) * PAGE for _ in range(_PLACES_TRIED)]
        return [
            place for place in drawn if place >= self.limits.wal_headers_size and not any(content[place : place + size])
        ]

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        """Whether a fault has touched these bytes: then what lies there isn't the node's doing."""
        return any((path, page) in self._tampered for page in range(offset // PAGE, (offset + size - 1) // PAGE + 1))

    def place_to_rot(self) -> tuple[str, int] | None:
        """A byte whose rot is found and repaired at the next start; None if there is none now."""
        if self.damaged:
            return None
        group = self.random.choice(self.groups)
        if self.random.random() < 0.5:
            return self._superblock_place(group)
        return self._header_place(group)

    def note_rot(self, path: str, offset: int) -> None:
        """A byte was rotted there."""
        self._tamper(path, offset, 1)

    def places_beyond_repair(self) -> list[tuple[str, int]]:
        """Bytes whose rot no single replica can repair, all of one drawn kind."""
        files = [path for path in self.disk.paths() if self.disk.content(path)]
        kinds = sorted({_file_kind(path) for path in files} - {"lock"})
        kind = self.random.choice(kinds)
        path = self.random.choice([path for path in files if _file_kind(path) == kind])
        content = self.disk.content(path)
        if kind == "superblock":
            return [(path, copy * SUPERBLOCK_COPY_SIZE + 48 + self.random.randrange(200)) for copy in range(3)]
        used = [index for index, byte in enumerate(content) if byte]
        if kind == "wal":
            used = [index for index in used if index >= self.limits.wal_headers_size] or used
        return [(path, self.random.choice(used))] if used else []

    def _is_header_ring(self, path: str, offset: int, size: int) -> bool:
        return path.endswith("/wal") and offset + size <= self.limits.wal_headers_size

    def _tamper(self, path: str, offset: int, size: int) -> None:
        self.damaged = True
        for page in range(offset // PAGE, (offset + max(size, 1) - 1) // PAGE + 1):
            self._tampered[path, page] = None

    def _superblock_place(self, group: str) -> tuple[str, int] | None:
        path = f"groups/{group}/superblock"
        if path not in self.disk.paths():
            return None
        content = self.disk.stable_content(path)
        copies = [content[c * SUPERBLOCK_COPY_SIZE : (c + 1) * SUPERBLOCK_COPY_SIZE] for c in range(SUPERBLOCK_COPIES)]
        if len({copy[16:] for copy in copies}) != 1 or self.disk.platter.find(path).dirty:
            return None  # an update is under way
        copy = self.random.randrange(SUPERBLOCK_COPIES)
        return path, copy * SUPERBLOCK_COPY_SIZE + self.random.randrange(_SUPERBLOCK_USED)

    def _header_place(self, group: str) -> tuple[str, int] | None:
        path = f"groups/{group}/wal"
        if path not in self.disk.paths():
            return None
        content = self.disk.stable_content(path)
        slots = [
            slot
            for slot in range(self.limits.wal_slots)
            if content[slot * PREPARE_HEADER_SIZE + 167 : slot * PREPARE_HEADER_SIZE + 168] == b"\x01"
        ]
        if not slots:
            return None
        return path, self.random.choice(slots) * PREPARE_HEADER_SIZE + self.random.randrange(200)


def _file_kind(path: str) -> str:
    """'superblock', 'wal', 'checkpoints', 'log' or 'node'."""
    parts = path.split("/")
    if parts[0] != "groups":
        return parts[0].lower()
    return parts[2]
