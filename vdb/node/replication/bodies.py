"""Bodies of prepares that are committed or in the pipeline and not applied yet: from memory, else from the journal.

Rules
- A body is found by the header's checksum, never by its op alone: a view change may put another prepare in its place.
- Memory holds a bounded number; the rest is read back. What is applied is forgotten.
- A prepare that the journal can't read is reported, once for each time that it fails, and waited for: a peer has it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import trio

from vdb.marks import mark
from vdb.storage.wal import Journal
from vdb.vsr.header import Prepare, PrepareHeader

RETRY_SECONDS = 1.0
"""A prepare that is waited for is tried again after so long, whoever forgot to say that it came."""


class Bodies:
    """One for each time that a group is opened. `on_damaged` is told of what the journal can't read."""

    def __init__(self, journal: Journal, *, count_max: int, on_damaged: Callable[[PrepareHeader], None]) -> None:
        assert count_max >= 1
        self._journal = journal
        self._count_max = count_max
        self._on_damaged = on_damaged
        self._kept: OrderedDict[int, Prepare] = OrderedDict()
        self._came = trio.Event()

    def keep(self, prepare: Prepare) -> None:
        """Hold a prepare that was given to the journal; the oldest makes room. Who waits has it."""
        self._came.set()
        self._kept.pop(prepare.header.op, None)
        self._kept[prepare.header.op] = prepare
        if len(self._kept) > self._count_max:
            mark("bodies.forgotten")
            self._kept.popitem(last=False)

    def find(self, header: PrepareHeader) -> bytes | None:
        """The body of this prepare, if memory holds it."""
        prepare = self._kept.get(header.op)
        if prepare is None or prepare.header.checksum != header.checksum:
            return None
        return prepare.body

    def forget(self, op: int) -> None:
        """The op was applied."""
        self._kept.pop(op, None)

    async def fetch(self, header: PrepareHeader) -> bytes:
        """The body of this prepare, however long it takes."""
        while True:
            body = self.find(header)
            if body is not None:
                return body
            came = self._came = trio.Event()
            prepare = await self._journal.read(header.op)
            if prepare is not None and prepare.header.checksum == header.checksum:
                return prepare.body
            mark("bodies.damaged")
            self._on_damaged(header)
            with trio.move_on_after(RETRY_SECONDS):
                await came.wait()
