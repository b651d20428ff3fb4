"""What is overwritten in a write-ahead log so that nothing of a destroyed key is left in it (`Journal.wipe`).

A slot keeps the bytes of older laps behind a shorter prepare, and prepares below the checkpoint until the ring comes
round. An erasure can't wait for that. The writer itself does it, a few slots between two of its turns, so that it never
writes to the same place at the same time.

Rules
- A prepare above the released checkpoint is needed: it stays. An erasure asks once a checkpoint has its op, so none of
  these can have put a key that it destroys.
- One below it goes when any of the erased keys' ids stands in it, or when it can't be read any more; others stay, since
  a member that is behind may want them.
- Behind what stays all is zeros up to the slot's end.
- A damaged slot stays damaged until somebody repairs it, and keeps what is whole and has nothing of the keys. All else
  becomes zeros there, which no prepare is: recovery decides as before. So it is where a write was lost, and the slot of
  a needed prepare holds the lap before.
"""

from __future__ import annotations

import trio
from attrs import define, field

from vdb.limits import WAL_EVIDENCE_SIZE
from vdb.storage.wal_layout import decode_slot, sector_up
from vdb.vsr.header import PrepareHeader

SLOTS_PER_STEP = 8
"""Slots between two turns of the writer."""


@define(eq=False)
class Wiping:
    """One pass over all slots."""

    keys: tuple[bytes, ...] = field(repr=False)
    next_slot: int = 0
    overwritten: int = 0
    """Bytes."""
    done: trio.Event = field(factory=trio.Event, repr=False)

    def kept_of(self, data: bytes, header: PrepareHeader | None, *, needed: bool) -> int:
        """How many bytes of a slot stay, from its start: whole sectors; 0: it has to look as if never written."""
        if header is None:
            return 0
        extent = sector_up(header.size + WAL_EVIDENCE_SIZE)
        if needed:
            return extent
        if not is_of(data, header):
            return 0
        return 0 if any(key in data[:extent] for key in self.keys) else extent

    def kept_of_damaged(self, data: bytes) -> int:
        """The same of a slot that doesn't hold what belongs there."""
        prepare, _ = decode_slot(data)
        if prepare is None:
            return 0
        return self.kept_of(data, prepare.header, needed=False)


def is_of(data: bytes, header: PrepareHeader) -> bool:
    """Whether a slot holds the prepare of this header, whole."""
    prepare, _ = decode_slot(data)
    return prepare is not None and prepare.header.checksum == header.checksum
