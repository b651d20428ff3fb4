"""Writes checkpoints while the pipeline goes on.

At the commit of every `checkpoint_interval`-th op the group hands over what changed since the last checkpoint; this
task writes it, in order, data first, superblock last. Only then may WAL slots be written again. A full disk makes it
try again: no op is lost, since the WAL keeps them, and the group refuses writes meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import trio
from attrs import frozen

from vdb.errors import DiskFull
from vdb.marks import mark
from vdb.node.group_storage import CheckpointHead, GroupStorage
from vdb.node.observer import Observer
from vdb.storage.event_log import LogCheckpoint
from vdb.types import GroupId

RETRY_SECONDS = 1.0


@frozen(kw_only=True)
class CheckpointPlan:
    """What the checkpoint at `op` must hold."""

    op: int
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
        self._plans: deque[CheckpointPlan] = deque()
        self._wake = trio.Event()
        self.disk_full = False

    def submit(self, plan: CheckpointPlan) -> None:
        assert not self._plans or self._plans[-1].op < plan.op
        self._plans.append(plan)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._plans:
                await self._write_until_done(self._plans[0])
                self._plans.popleft()

    async def _write_until_done(self, plan: CheckpointPlan) -> None:
        while True:
            try:
                await self._write(plan)
            except DiskFull:
                mark("checkpointer.disk_full")
                self.disk_full = True
                await trio.sleep(RETRY_SECONDS)
            else:
                self.disk_full = False
                return

    async def _write(self, plan: CheckpointPlan) -> None:
        storage = self._storage
        log_rows = await storage.event_log.write_checkpoint(plan.log)
        changed = {**plan.changed, **plan.head.rows(), **log_rows}
        checkpoint_id = await storage.checkpoints.write(plan.op, changed)
        state = await storage.superblock.update(checkpoint_op=plan.op, checkpoint_id=checkpoint_id, commit=plan.op)
        self._observer.on_superblock(self._group, state)
        self._observer.on_checkpoint(self._group, plan.op, checkpoint_id)
        self._on_durable(plan.op, checkpoint_id)
        await storage.checkpoints.prune(plan.op)
