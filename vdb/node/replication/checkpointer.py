"""Writes checkpoints while the pipeline goes on.

There is one at a time. At the commit of every `checkpoint_interval`-th op the group hands over what changed since the
last checkpoint; this task writes it, data first, superblock last. Only then may WAL slots be written again. A full
disk makes it try again: no op is lost, since the WAL keeps them, and the group refuses writes meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import trio
from attrs import frozen

from vdb.errors import DiskFull
from vdb.marks import mark
from vdb.node.observer import Observer
from vdb.node.replication.group_storage import CheckpointHead, GroupStorage
from vdb.rare import rare
from vdb.storage.event_log import LogCheckpoint
from vdb.types import GroupId
from vdb.vsr.configuration import Configuration

T = TypeVar("T")

RETRY_SECONDS = 1.0


@frozen(kw_only=True)
class CheckpointPlan:
    """What the checkpoint at `op` must hold."""

    op: int
    configuration: Configuration
    """The one that holds at this op."""
    head: CheckpointHead
    changed: Mapping[int, Mapping[bytes, bytes | None]]
    log: LogCheckpoint


class Checkpointer:
    """One per group. `submit` from the commit path, `run` as a task."""

    def __init__(
        self,
        *,
        group: GroupId,
        storage: GroupStorage,
        observer: Observer,
        on_durable: Callable[[int, bytes], None],
    ) -> None:
        self._group = group
        self._storage = storage
        self._observer = observer
        self._on_durable = on_durable
        self._plan: CheckpointPlan | None = None
        self._wake = trio.Event()
        self._written = storage.superblock.state.checkpoint_op, storage.head.timestamp
        self._clean_until = storage.head.timestamp
        self.disk_full = False

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written: the op that would begin the next one has to wait."""
        return self._plan is not None

    @property
    def clean_until(self) -> int:
        """Microseconds UTC: the durable checkpoint holds all requests up to then, and there is no file of an older one
        on this disk, nor a segment that was pruned. 0 while such files are being removed."""
        return 0 if self._storage.event_log.removing else self._clean_until

    @property
    def written_until(self) -> int:
        """Microseconds UTC: the durable checkpoint holds all requests up to then."""
        return self._written[1]

    def submit(self, plan: CheckpointPlan) -> None:
        assert self._plan is None, "one checkpoint at a time"
        self._plan = plan
        self._wake.set()

    def prune_again(self) -> None:
        """Somebody has ceased to copy an older checkpoint, and its files are to go."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            if self._plan is not None:
                plan = self._plan
                await self._write(plan)
                self._written = plan.op, plan.head.timestamp
            op, timestamp = self._written
            await self._storage.checkpoints.prune(op)
            if all(pinned == op for pinned in self._storage.checkpoints.pinned):
                self._clean_until = timestamp

    async def _write(self, plan: CheckpointPlan) -> None:
        storage = self._storage
        log_rows = await self._until_there_is_room(lambda: storage.event_log.write_checkpoint(plan.log))
        changed = {**plan.changed, **plan.head.rows(), **log_rows}
        checkpoint_id = await self._until_there_is_room(lambda: storage.checkpoints.write(plan.op, changed))
        if rare("checkpointer.dawdles"):
            await trio.sleep(RETRY_SECONDS)
        state = await storage.superblock.update(
            checkpoint_op=plan.op,
            checkpoint_id=checkpoint_id,
            commit=plan.op,
            configuration=plan.configuration.pack(),
        )
        storage.event_log.checkpoint_durable(log_rows)
        self._observer.on_superblock(self._group, state)
        self._observer.on_checkpoint(self._group, plan.op, checkpoint_id)
        self._plan = None
        self._on_durable(plan.op, checkpoint_id)

    async def _until_there_is_room(self, step: Callable[[], Awaitable[T]]) -> T:
        """A step of storage can be tried again after DiskFull: it picks up where it was."""
        while True:
            try:
                result = await step()
            except DiskFull:
                mark("checkpointer.disk_full")
                self.disk_full = True
                await trio.sleep(RETRY_SECONDS)
            else:
                self.disk_full = False
                return result
