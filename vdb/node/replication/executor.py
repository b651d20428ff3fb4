"""Applies committed ops to the kernel, in order, each once, and does what they ask for.

    replica commits -> (batch of the pipeline, or body decoded and executed) -> event log, keyring, checkpoint, replies

Rules
- What the proposer executed when it made the prepare isn't executed again: its state becomes the committed one, under
  the assertion that it was executed on the very state before it. All else is executed here, from its body.
- Ops whose bodies are in memory are applied in the step that commits them. Where one must be read back, or a checkpoint
  is due while the last one is still being written, those behind it wait.
- An op that asks for a root key which this node wasn't given waits for it, with those behind it. A group of one has
  nobody who goes on meanwhile: there it raises WrongKey.
- `state` is the state after op `applied`. Whoever waits for a commit is told after its op was applied.
- Checkpoints begin at the same ops on all replicas, so theirs are equal byte for byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import trio
from attrs import frozen

from vdb.crypto.keyring import Keyring
from vdb.kernel.effect import (
    AppendRecord,
    ChangeMembers,
    DestroyKeys,
    Effect,
    EvictSession,
    PruneSegments,
    StoreKey,
    TurnToRootKey,
    WakeConsumer,
    WakeProjection,
)
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.marks import mark
from vdb.node.observer import Observer
from vdb.node.replication.batch import Batch, Changed
from vdb.node.replication.bodies import Bodies
from vdb.node.replication.checkpointer import Checkpointer, CheckpointPlan
from vdb.node.replication.group_storage import CheckpointHead
from vdb.node.replication.holding import missing_root_key
from vdb.node.replication.pipeline import Pipeline
from vdb.node.signals import Progress, Signals
from vdb.storage.event_log import EventLog
from vdb.types import GroupId, is_audit_log
from vdb.vsr.header import PrepareHeader
from vdb.wire.command import decode_body


@frozen(kw_only=True)
class Sinks:
    """Where the effects of commits go, and who hears of them."""

    event_log: EventLog
    keyring: Keyring
    signals: Signals
    progress: Progress
    checkpointer: Checkpointer
    observer: Observer
    on_members: Callable[[State], None]
    """The members have changed; this is the state that says how."""
    is_alone: Callable[[], bool]
    """Whether the group has no other member."""


class Executor:
    """See the module's docstring. One for each time that a group is opened."""

    def __init__(
        self,
        *,
        group: GroupId,
        limits: Limits,
        state: State,
        applied: int,
        bodies: Bodies,
        pipeline: Pipeline,
        sinks: Sinks,
    ) -> None:
        self._group = group
        self._limits = limits
        self._bodies = bodies
        self._sinks = sinks
        self._pipeline = pipeline
        self.state = state
        self.applied = applied
        self._queue: deque[PrepareHeader] = deque()
        self._wake = trio.Event()
        self.missing_root_key = b""
        """The id of the root key that the next op waits for, 16 bytes; empty: none is missing."""

    # What the member calls -------------------------------------------------------------------------------------

    def commit(self, headers: Sequence[PrepareHeader]) -> None:
        """These ops are committed, the next ones in order. Applies all that it can."""
        self._queue.extend(headers)
        self.pump()

    def pump(self) -> None:
        """Apply what waits, as far as bodies are in memory, checkpoints allow, and root keys are known."""
        while self._queue and not self._lacks_root_key():
            header = self._queue[0]
            checkpoint_due = self.is_checkpoint_op(header.op)
            if checkpoint_due and self.checkpoint_busy:
                mark("executor.waits_for_checkpoint")
                return
            batch = self._pipeline.take_batch(header)
            if batch is None:
                body = self._bodies.find(header)
                if body is None:
                    self._wake.set()
                    return
                batch = execute(header, body, self.state, checkpoint_due=checkpoint_due)
                if self._must_hold(batch):
                    return
            self._queue.popleft()
            self._apply(header, batch)

    def _lacks_root_key(self) -> bool:
        """Whether the root key that was missing still is."""
        if self.missing_root_key and self._sinks.keyring.roots.find(self.missing_root_key) is not None:
            mark("executor.root_key_given")
            self.missing_root_key = b""
        return bool(self.missing_root_key)

    def _must_hold(self, batch: Batch) -> bool:
        if not self._sinks.is_alone():
            self.missing_root_key = missing_root_key(batch.effects, self._sinks.keyring)
        return bool(self.missing_root_key)

    async def run(self) -> None:
        """Read back the bodies that memory doesn't hold, one op after the other. Runs until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            if not self._queue or self._lacks_root_key():
                continue
            header = self._queue[0]
            body = await self._bodies.fetch(header)
            checkpoint_due = self.is_checkpoint_op(header.op)
            if self._queue and self._queue[0] is header and not (checkpoint_due and self.checkpoint_busy):
                batch = execute(header, body, self.state, checkpoint_due=checkpoint_due)
                if self._must_hold(batch):
                    continue
                self._queue.popleft()
                self._apply(header, batch)
            self.pump()

    @property
    def checkpoint_busy(self) -> bool:
        """Whether the last checkpoint is still being written: the op that begins the next one has to wait."""
        return self._sinks.checkpointer.busy

    @property
    def is_drained(self) -> bool:
        """Whether everything that was committed is applied."""
        return not self._queue

    async def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait for a commit after which this holds; at once if it holds now."""
        await self._sinks.progress.wait_until(reached)

    def is_checkpoint_op(self, op: int) -> bool:
        """Whether a checkpoint stands at this op."""
        return op % self._limits.checkpoint_interval == 0

    # Applying --------------------------------------------------------------------------------------------------

    def _apply(self, header: PrepareHeader, batch: Batch) -> None:
        """Take the batch's state, do what it asks for, begin a checkpoint if one is due, then reply."""
        assert header.op == self.applied + 1, f"op {header.op} is applied after op {self.applied}"
        assert batch.base is self.state, f"op {header.op} was executed on another state than the one before it"
        assert (header.timestamp, header.request_count) == (batch.timestamp, len(batch.requests))
        self.state = batch.state
        self.applied = header.op
        for effect in batch.effects:
            self._perform(effect)
        if batch.changed is not None:
            self._begin_checkpoint(header, batch.changed)
        self._bodies.forget(header.op)
        self._sinks.observer.on_commit(self._group, header, batch.requests, batch.replies)
        self._pipeline.reply(batch)
        self._sinks.progress.tell()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AppendRecord():
                self._sinks.event_log.append(effect)
                if not effect.first_offset and not is_audit_log(effect.tenant):
                    self._sinks.signals.first(effect.tenant, effect.stream, effect.record)
            case WakeProjection():
                self._sinks.signals.notify(effect.tenant)
            case StoreKey():
                self._sinks.keyring.add(effect.row)
            case TurnToRootKey():
                self._sinks.keyring.root(effect.root_key_id)  # the state says which; WrongKey where it wasn't given
            case DestroyKeys():
                mark("executor.keys_destroyed")
                for dek_id in effect.dek_ids:
                    self._sinks.keyring.destroy(dek_id)
            case PruneSegments():
                mark("executor.segments_pruned")
                self._sinks.event_log.prune(effect)
            case WakeConsumer():
                self._sinks.signals.notify_consumer(effect.tenant, effect.lookup)
            case EvictSession():
                mark("group.session_evicted")
            case ChangeMembers():
                self._sinks.on_members(self.state)

    def _begin_checkpoint(self, header: PrepareHeader, changed: Changed) -> None:
        """Fix what the checkpoint at this op holds; the checkpointer writes it while later ops commit."""
        head = CheckpointHead(checksum=header.checksum, timestamp=header.timestamp + header.request_count - 1)
        self._sinks.checkpointer.submit(
            CheckpointPlan(
                op=header.op,
                configuration=header.configuration,
                head=head,
                changed={int(table): rows for table, rows in changed.items()},
                log=self._sinks.event_log.begin_checkpoint(),
            )
        )


def execute(header: PrepareHeader, body: bytes, base: State, *, checkpoint_due: bool) -> Batch:
    """Execute a prepare's body on the state before it."""
    batch = Batch(timestamp=header.timestamp, base=base)
    for request in decode_body(body):
        batch.add(request)
    batch.close(checkpoint_due=checkpoint_due)
    return batch
