"""The fault atlas of a replica that has peers: what it loses they still hold.

Only the disks of a minority may be harmed at rest in one run, `harmed`: then each op that was acknowledged, each
checkpoint and each segment has an intact copy elsewhere, and the group must lose nothing and never fork. On such a
disk all may happen at once, but for two things that no replica could see or survive on its own:

- both writes of one op, prepare and redundant header, vanish without a trace: the slot would look as if nothing had
  ever been written;
- more than one superblock copy is harmed between two starts: the replica couldn't say any more what it promised.

Beyond the atlas nothing is left of a thing anywhere (`Nemesis.destroy`).
"""

from __future__ import annotations

from attrs import define, field

from sim.atlas import Atlas
from vdb.limits import PREPARE_HEADER_SIZE

HEADER, PREPARE = "header", "prepare"


@define
class PeerAtlas(Atlas):
    """See the module's docstring."""

    harmed: bool = field(kw_only=True, default=False)
    _superblocks: dict[str, int] = field(factory=dict)
    """Copy that was harmed since the last start, by path."""
    _silent: dict[tuple[str, int], str] = field(factory=dict)
    """By path and slot: which of its two writes vanished since the last start."""

    def on_start(self) -> None:
        self.damaged = self.recovering = False
        self._superblocks.clear()
        self._silent.clear()

    def permit(self, kind: str, path: str, offset: int, size: int) -> bool:
        if kind == "disk.fsync_failed":
            return True
        if self.armed.get(kind, 0) <= 0:
            return False
        if kind == "disk.lost_write" and not self._permit_silent(path, offset, size):
            return False
        self.armed[kind] -= 1
        return True

    def aim(self, path: str, offset: int, size: int) -> int | None:
        """Redundant headers land on others, prepares on others: what they overwrite is gone as well."""
        if self.armed.get("disk.misdirected_write", 0) <= 0 or not self.harmed or not path.endswith("/wal"):
            return None
        places = [place for place in self._starts(offset, size) if place != offset]
        if not places:
            return None
        wrong = self.random.choice(places)
        if not self._permit_silent(path, offset, size) or not self._permit_silent(path, wrong, size):
            return None
        self.armed["disk.misdirected_write"] -= 1
        return wrong

    def place_to_rot(self) -> tuple[str, int] | None:
        """A byte of a group's file that peers, or other copies, have as well."""
        if not self.harmed:
            return None
        group = self.random.choice(self.groups)
        if self.random.random() < 0.15:
            return self._superblock_copy(group)
        if self.random.random() < 0.2:
            return self._header_place(group)
        return self._prepare_place(group)

    def _superblock_copy(self, group: str) -> tuple[str, int] | None:
        place = self._superblock_place(group)
        if place is None or place[0] in self._superblocks:
            return None
        self._superblocks[place[0]] = place[1]
        return place

    def _prepare_place(self, group: str) -> tuple[str, int] | None:
        """A byte of a prepare that was written once: of its header or of its body."""
        path = f"groups/{group}/wal"
        if path not in self.disk.paths():
            return None
        content = self.disk.stable_content(path)
        starts = range(self.limits.wal_headers_size, len(content), self.limits.message_size_max)
        written = [start for start in starts if content[start + 167 : start + 168] in (b"\x01", b"\x02")]
        if not written:
            return None
        start = self.random.choice(written)
        size = int.from_bytes(content[start + 172 : start + 176], "big")
        return path, start + self.random.randrange(min(max(size, PREPARE_HEADER_SIZE), self.limits.message_size_max))

    def _permit_silent(self, path: str, offset: int, size: int) -> bool:
        """Whether this write may vanish; if so, it is written down."""
        if not self.harmed or not path.endswith("/wal"):
            return False
        which, slots = self._slots(offset, size)
        if any(self._silent.get((path, slot), which) != which for slot in slots):
            return False
        for slot in slots:
            self._silent[path, slot] = which
        self._tamper(path, offset, size)
        return True

    def _slots(self, offset: int, size: int) -> tuple[str, range]:
        limits = self.limits
        if offset < limits.wal_headers_size:
            last = min(offset + max(size, 1), limits.wal_headers_size) - 1
            return HEADER, range(offset // PREPARE_HEADER_SIZE, last // PREPARE_HEADER_SIZE + 1)
        slot = (offset - limits.wal_headers_size) // limits.message_size_max
        return PREPARE, range(slot, slot + 1)

    def _starts(self, offset: int, size: int) -> list[int]:
        """Where a write of this kind may begin."""
        limits = self.limits
        if offset < limits.wal_headers_size:
            return list(range(0, limits.wal_headers_size - size + 1, max(size, PREPARE_HEADER_SIZE)))
        return [limits.wal_headers_size + slot * limits.message_size_max for slot in range(limits.wal_slots)]
