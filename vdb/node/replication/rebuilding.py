"""A group whose own checkpoint is damaged comes back from other members, before it is opened.

A checkpoint at or above the lost one is fetched as in state sync, and installed; segments that are still here are kept.
The WAL, and with it all that this replica acked, is as it was.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from vdb.marks import mark
from vdb.node import log
from vdb.node.replication.chunks import Chunks
from vdb.node.replication.group_storage import CheckpointLost, group_directory, group_hash
from vdb.node.replication.syncer import Standing, Syncer
from vdb.ports import Disk
from vdb.types import GroupId
from vdb.vsr.message import Chunk, Manifest, Message
from vdb.vsr.ready import SyncTarget


class Rebuilding:
    """Hears for the group until it is open. `run` it once; then open the group again."""

    def __init__(self, *, lost: CheckpointLost, disk: Disk, send: Callable[[int, Message], None]) -> None:
        durable = lost.durable
        self._durable = durable
        self._lost = lost
        self._done = trio.Event()
        self._chunks = Chunks(replica=durable.replica, limits=durable.limits, send=send)
        self._syncer = Syncer(
            group=durable.group,
            own=Standing(
                disk=disk,
                directory=group_directory(GroupId(durable.group)),
                group_hash=group_hash(durable.cluster, GroupId(durable.group)),
                replica=durable.replica,
                checkpoint_op=lambda: durable.checkpoint_op - 1,
                view=None,
                segments=None,
            ),
            chunks=self._chunks,
            send=send,
            on_ready=self._done.set,
        )

    def receive(self, message: Message) -> None:
        """A message of another node. The replica's own aren't heard: it isn't there."""
        if isinstance(message, Chunk):
            self._chunks.on(message)
        elif isinstance(message, Manifest):
            self._syncer.on(message)

    def lose(self, node: int) -> None:
        """Whom to ask is drawn anew each time."""

    async def run(self) -> None:
        """Fetch, however long it takes."""
        mark("rebuilding.begins")
        durable = self._durable
        log.warning("group.checkpoint_lost", group=durable.group, reason=log.reason(self._lost))
        others = tuple(node for node in durable.members.members if node != durable.replica)
        self._syncer.want(SyncTarget(checkpoint_op=durable.checkpoint_op, sources=others))
        await self._syncer.run()
        assert self._done.is_set()
