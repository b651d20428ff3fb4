"""Copies of files between the members of a group: given, fetched for state sync, fetched to mend what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from vdb.node.replication.chunks import Chunks
from vdb.node.replication.group_storage import GroupStorage
from vdb.node.replication.repairer import Repairer
from vdb.node.replication.supplier import Supplier
from vdb.node.replication.syncer import Syncer, standing
from vdb.vsr.message import Chunk, Manifest, SyncMessage
from vdb.vsr.ready import SyncTarget


class Copying:
    """One for each time that a group is opened. `synced` is set when the group should be opened anew."""

    def __init__(
        self,
        *,
        group: str,
        storage: GroupStorage,
        send: Callable[[int, SyncMessage], None],
        others: Callable[[], Sequence[int]],
        on_unpinned: Callable[[], None],
    ) -> None:
        durable = storage.superblock.state
        self._chunks = Chunks(replica=durable.replica, limits=durable.limits, send=send)
        self._supplier = Supplier(storage=storage, send=send, on_unpinned=on_unpinned)
        self.synced = trio.Event()
        self.syncer = Syncer(
            group=group, own=standing(storage), chunks=self._chunks, send=send, on_ready=self.synced.set
        )
        self._repairer = Repairer(group=group, storage=storage, chunks=self._chunks, sources=others)

    def on(self, message: SyncMessage) -> None:
        """A message of another node."""
        if isinstance(message, Chunk):
            self._chunks.on(message)
        elif isinstance(message, Manifest):
            self.syncer.on(message)
        else:
            self._supplier.on(message)

    def want(self, target: SyncTarget) -> None:
        """The replica needs a newer checkpoint than its log can reach."""
        self.syncer.want(target)

    async def repair(self, path: str) -> bool:
        """Mend a damaged file of the checkpoint or of the event log from another member; False if nobody can."""
        return await self._repairer.repair(path)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._supplier.run)
            nursery.start_soon(self.syncer.run)
