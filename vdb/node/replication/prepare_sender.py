"""Sends prepares from the journal to those who lack them. What it can't keep up with it forgets: they ask again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import trio

from vdb.marks import mark
from vdb.storage.wal import Journal
from vdb.vsr.header import Prepare
from vdb.vsr.ready import Supply

WAITING_MAX = 64


class PrepareSender:
    """One for each time that a group is opened. `send(to, prepare)` is the way out."""

    def __init__(
        self, journal: Journal, *, send: Callable[[int, Prepare], None], on_damaged: Callable[[Supply], None]
    ) -> None:
        self._journal = journal
        self._send = send
        self._on_damaged = on_damaged
        self._waiting: deque[Supply] = deque()
        self._wake = trio.Event()

    def add(self, supplies: Sequence[Supply]) -> None:
        for supply in supplies:
            if supply in self._waiting:
                continue
            if len(self._waiting) == WAITING_MAX:
                mark("prepare_sender.full")
                break
            self._waiting.append(supply)
        self._wake.set()

    async def run(self) -> None:
        """Read and send one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                supply = self._waiting.popleft()
                prepare = await self._journal.read(supply.op)
                if prepare is not None and prepare.header.checksum == supply.checksum:
                    self._send(supply.to, prepare)
                elif self._still_held(supply):
                    mark("prepare_sender.damaged")
                    self._on_damaged(supply)

    def _still_held(self, supply: Supply) -> bool:
        """Whether the ring should have held it; it may have been overwritten since it was asked for."""
        header = self._journal.header(supply.op)
        return header is not None and header.checksum == supply.checksum
