"""Gives others what they copy: the manifest of the durable checkpoint, and chunks of files.

Rules
- A manifest pins its checkpoint: the files stay until nobody has asked for a chunk of it for PIN_SECONDS. At most
  PINS_MAX checkpoints are pinned; the one not asked for longest makes room.
- Requests are answered one after the other; beyond WAITING_MAX they are forgotten, and asked again.
- What isn't here is answered with an empty chunk, so that whoever asked goes elsewhere at once.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import sha256

import trio

from vdb.marks import mark
from vdb.node.replication.chunks import FRAME_ROOM
from vdb.node.replication.group_storage import GroupStorage
from vdb.storage.sync_source import SyncSource
from vdb.vsr.message import Chunk, Manifest, RequestChunk, RequestManifest, SyncMessage

PIN_SECONDS = 60.0
PINS_MAX = 2
WAITING_MAX = 64


class Supplier:
    """One for each time that a group is opened. `send(to, message)` is the way out; `on_unpinned` hears when files of
    an older checkpoint may go."""

    def __init__(
        self, *, storage: GroupStorage, send: Callable[[int, SyncMessage], None], on_unpinned: Callable[[], None]
    ) -> None:
        self._on_unpinned = on_unpinned
        self._storage = storage
        self._replica = storage.superblock.state.replica
        self._size_max = storage.superblock.state.limits.message_size_max - FRAME_ROOM
        self._send = send
        self._source = SyncSource(
            disk=storage.disk,
            directory=storage.directory,
            checkpoints=storage.checkpoints,
            event_log=storage.event_log,
        )
        self._waiting: deque[RequestManifest | RequestChunk] = deque()
        self._pins: OrderedDict[int, float] = OrderedDict()
        """When a pinned checkpoint was last asked for."""
        self._wake = trio.Event()

    def on(self, request: RequestManifest | RequestChunk) -> None:
        if len(self._waiting) == WAITING_MAX:
            mark("supplier.full")
            return
        self._waiting.append(request)
        self._wake.set()

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            with trio.move_on_after(PIN_SECONDS):
                await self._wake.wait()
            self._wake = trio.Event()
            self._unpin_idle()
            while self._waiting:
                request = self._waiting.popleft()
                if isinstance(request, RequestManifest):
                    self._give_manifest(request)
                else:
                    await self._give_chunk(request)

    def _give_manifest(self, request: RequestManifest) -> None:
        durable = self._storage.superblock.state
        files = self._source.files()
        if durable.checkpoint_op < max(request.checkpoint_op, 1) or not files:
            mark("supplier.checkpoint_too_old")
            return
        self._pin(durable.checkpoint_op)
        self._send(
            request.replica,
            Manifest(
                checkpoint_op=durable.checkpoint_op,
                checkpoint_id=durable.checkpoint_id,
                files=files,
                configuration=durable.members,
                view=durable.view,
                replica=self._replica,
            ),
        )

    async def _give_chunk(self, request: RequestChunk) -> None:
        if request.checkpoint_op in self._pins:
            self._touch(request.checkpoint_op)
        data = await self._source.read(request.path, request.offset, min(request.size, self._size_max))
        if len(data) < request.size:
            mark("supplier.not_here")
        chunk = Chunk(
            checkpoint_op=request.checkpoint_op,
            path=request.path,
            offset=request.offset,
            data=data,
            checksum=sha256(data).digest(),
            replica=self._replica,
        )
        self._send(request.replica, chunk)

    def _pin(self, op: int) -> None:
        if op not in self._pins:
            self._storage.checkpoints.pin(op)
        self._touch(op)
        while len(self._pins) > PINS_MAX:
            oldest, _when = self._pins.popitem(last=False)
            self._unpin(oldest)

    def _touch(self, op: int) -> None:
        self._pins[op] = trio.current_time()
        self._pins.move_to_end(op)

    def _unpin_idle(self) -> None:
        for op, when in list(self._pins.items()):
            if when + PIN_SECONDS < trio.current_time():
                mark("supplier.pin_expired")
                del self._pins[op]
                self._unpin(op)

    def _unpin(self, op: int) -> None:
        self._storage.checkpoints.unpin(op)
        self._on_unpinned()
