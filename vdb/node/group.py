"""A group's member on this node: the shell around replica, kernel and storage.

    submit -> queue -> preparer seals -> replica proposes -> journal writes -> gate -> replica commits
           -> kernel applies -> event log, keyring, replies

Rules
- Requests that arrive while a prepare is being written travel together in the next one (group commit). No timer
  delays a batch: a prepare is made as soon as the journal has none waiting.
- Commits are applied in order. While the group serves, the step that commits ops applies all of them before anything
  else runs. Recovery suspends between two ops, because each body is read back from the WAL; nothing is proposed,
  answered or read until it is through.
- `state` is the committed state; `prepared` is it with the whole pipeline applied.
- A request that is sent again while its first copy is in the pipeline waits for that copy's reply.
- A transaction's parts fill consecutive prepares, alone. What recovery finds of one that isn't closed is void: the
  command that says so stands before all that this view serves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from vdb.errors import DamagedData, DiskFull, Overloaded, RefusalCode
from vdb.kernel.apply import stored_reply
from vdb.kernel.command import Origin
from vdb.kernel.effect import AppendRecord, Effect, EvictSession, StoreKey, WakeProjection
from vdb.kernel.reply import Refusal, Reply
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.marks import mark
from vdb.node import log
from vdb.node.batch import Batch, Changed
from vdb.node.checkpointer import Checkpointer, CheckpointPlan
from vdb.node.cutting import size_bound
from vdb.node.group_storage import CheckpointHead, GroupStorage, group_hash
from vdb.node.observer import Observer
from vdb.node.preparer import Preparer
from vdb.node.request import Pending, PlainRequest, PlainTransaction, PlainVoid
from vdb.node.send_gate import SendGate
from vdb.node.sending import Sending, add_part, begin
from vdb.node.signals import Signals
from vdb.ports import World
from vdb.storage.event_log import EventLog
from vdb.storage.scrubber import Scrubber, ScrubFault
from vdb.storage.superblock import Superblock
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import CheckpointDurable, Message, Opened, PrepareDurable, Propose, ViewDurable
from vdb.vsr.ready import Ready
from vdb.vsr.replica import Replica
from vdb.wire.command import decode_body, encode_body

OnReply = Callable[[Reply], None]


class Group:
    """See the module's docstring. Open the storage first (`group_storage`), then `run`."""

    def __init__(
        self,
        *,
        name: GroupId,
        world: World,
        storage: GroupStorage,
        preparer: Preparer,
        observer: Observer,
        scrub_period_s: float,
    ) -> None:
        durable = storage.superblock.state
        self.name = name
        self.world = world
        self.storage = storage
        self.preparer = preparer
        self.keyring = preparer.keyring
        self.limits: Limits = durable.limits
        self.state: State = storage.state
        self.prepared: State = storage.state
        self.signals = Signals()
        self.scrubbed_at = 0
        """Microseconds UTC of the end of the last full scrub; 0: none yet."""
        self.scrubber = Scrubber(
            disk=world.disk,
            superblock=storage.superblock,
            journal=storage.journal,
            checkpoints=storage.checkpoints,
            event_log=storage.event_log,
            period_seconds=scrub_period_s,
            on_fault=self._on_scrub_fault,
            on_pass=self._on_scrub_pass,
        )
        self.replica = Replica(
            group=group_hash(durable.cluster, name),
            replica=durable.replica,
            limits=durable.limits,
        )
        self.checkpointer = Checkpointer(
            group=name, storage=storage, observer=observer, on_durable=self._on_checkpoint_durable
        )
        self._observer = observer
        self._gate = SendGate(
            group=name,
            superblock=storage.superblock,
            journal=storage.journal,
            deliver=self._deliver,
            observer=observer,
        )
        self._inbox: deque[Message] = deque()
        self._queue: deque[Pending] = deque()
        self._queued_bytes = 0
        self._sending: Sending | None = None
        """The transaction whose next part fills the next prepare."""
        self._in_flight: deque[Batch] = deque()
        self._retries: dict[Origin, list[OnReply]] = {}
        self._wake = trio.Event()

    # What the node uses ----------------------------------------------------------------------------------------

    @property
    def superblock(self) -> Superblock:
        return self.storage.superblock

    @property
    def journal(self) -> Journal:
        return self.storage.journal

    @property
    def event_log(self) -> EventLog:
        return self.storage.event_log

    def submit(self, request: PlainRequest, on_reply: OnReply, origin: Origin) -> None:
        """Queue a request; `on_reply` is called once, when its op has committed, or never if the node stops.

        Raises Overloaded and DiskFull, both definite, without using up the origin's number.
        """
        size = size_bound(request)
        refusal = self._refusal(size)
        if refusal is not None and not self._knows(origin):
            raise refusal
        self._enqueue(Pending(request=request, on_reply=on_reply, size=size, origin=origin))

    def _refusal(self, size: int) -> Overloaded | DiskFull | None:
        """Why a request of this size can't be queued now."""
        if self.disk_full:
            return DiskFull("the node's disk is full: writes are refused until there is space, reads go on")
        if len(self._queue) >= self.limits.request_queue_max:
            mark("group.overloaded")
            return Overloaded(f"group {self.name} has {len(self._queue)} requests waiting: try again later")
        size_max = self.limits.request_queue_bytes_max
        if self._queue and self._queued_bytes + size > size_max:
            mark("group.overloaded_bytes")
            return Overloaded(
                f"group {self.name} has {self._queued_bytes} bytes of requests waiting: expected at most {size_max} "
                f"with this one of {size}, try again later"
            )
        return None

    def _knows(self, origin: Origin) -> bool:
        """Whether the request has its answer, or is in the pipeline: it is answered even when others are refused."""
        if not origin.session:
            return False
        if origin in self._retries:
            return True
        reply = stored_reply(self.prepared, origin)
        return reply is not None and not (isinstance(reply, Refusal) and reply.code is RefusalCode.SESSION_GAP)

    def _enqueue(self, pending: Pending) -> None:
        self._queue.append(pending)
        self._queued_bytes += pending.size
        self._wake.set()

    def _dequeue(self) -> Pending:
        pending = self._queue.popleft()
        self._queued_bytes -= pending.size
        return pending

    async def execute(self, request: PlainRequest, origin: Origin) -> Reply:
        """`submit` for a task that waits."""
        replies: list[Reply] = []
        done = trio.Event()

        def on_reply(reply: Reply) -> None:
            replies.append(reply)
            done.set()

        self.submit(request, on_reply, origin)
        await done.wait()
        return replies[0]

    @property
    def disk_full(self) -> bool:
        return self.checkpointer.disk_full or self.journal.disk_full is not None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Recover, then serve until cancelled. Errors of the disk and broken invariants end it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.journal.run)
            await self._recover()
            nursery.start_soon(self.checkpointer.run)
            nursery.start_soon(self.event_log.run)
            nursery.start_soon(self.scrubber.run)
            nursery.start_soon(self._propose_when_woken)
            task_status.started()

    @property
    def scrub_faults(self) -> int:
        """Faults that the last full scrub found."""
        return len(self.scrubber.faults)

    def _on_scrub_fault(self, fault: ScrubFault) -> None:
        log.warning(
            "scrub.fault",
            group=self.name,
            path=fault.path,
            offset=fault.offset,
            reason=fault.message,
            repaired=fault.repaired,
        )

    def _on_scrub_pass(self) -> None:
        self.scrubbed_at = self.world.clock.wall_us()

    # Recovery --------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Raise the view, durably, then commit what the WAL holds above the checkpoint."""
        for row in self.state.keys():  # noqa: SIM118 - rows of the key store, not a dict's keys
            self.keyring.add(row)
        durable = self.superblock.state
        self._observer.on_superblock(self.name, durable)
        opened = Opened(
            view=durable.view,
            log_view=durable.log_view,
            checkpoint_op=durable.checkpoint_op,
            checkpoint_id=durable.checkpoint_id,
            checkpoint_checksum=self.storage.head.checksum,
            checkpoint_timestamp=self.storage.head.timestamp,
            headers=self._headers_above(durable.checkpoint_op),
        )
        ready = self.replica.on(opened)
        change = ready.view_change
        assert change is not None
        durable = await self.superblock.update(view=change.view, log_view=change.log_view)
        self._observer.on_superblock(self.name, durable)
        await self._commit_recovered(self.replica.on(ViewDurable(view=change.view, log_view=change.log_view)))
        self.prepared = self.state
        self._void_what_is_open()
        log.info(
            "group.recovered",
            group=self.name,
            view=self.replica.view,
            checkpoint_op=durable.checkpoint_op,
            commit=self.replica.commit_number,
        )
        self._observer.on_recovered(self.name, self.replica.commit_number, self.state)

    def _void_what_is_open(self) -> None:
        """The parts of a transaction that an earlier view began can't be followed by others of this one."""
        found = self.state.transaction()
        if found is not None:
            mark("group.transaction_void")
            request = PlainVoid(transaction=found.transaction)
            self._enqueue(Pending(request=request, on_reply=lambda _reply: None, size=size_bound(request)))

    def _headers_above(self, checkpoint_op: int) -> tuple[PrepareHeader, ...]:
        """Headers of the ops that the WAL holds above the checkpoint, in order."""
        head = self.journal.recovery.head
        last = max(checkpoint_op, head.op if head is not None else 0)
        headers = [self.journal.header(op) for op in range(checkpoint_op + 1, last + 1)]
        assert None not in headers
        return tuple(header for header in headers if header is not None)

    async def _commit_recovered(self, ready: Ready) -> None:
        """Ops of the WAL pass the gate as any op does; their bodies are read back one by one."""
        headers: list[PrepareHeader] = list(ready.commits)
        for envelope in ready.messages:
            self._gate.send(envelope)
        while self._inbox:
            headers.extend(self.replica.on(self._inbox.popleft()).commits)
        for header in headers:
            prepare = await self.journal.read(header.op)
            if prepare is None or prepare.header.checksum != header.checksum:
                raise DamagedData(f"{self.journal.path}: op {header.op} was whole at the start and can't be read now")
            batch = Batch(timestamp=header.timestamp, base=self.state)
            for request in decode_body(prepare.body):
                batch.add(request)
            batch.close(checkpoint_due=self._is_checkpoint_op(header.op))
            self._commit(header, batch)

    # Proposing -------------------------------------------------------------------------------------------------

    async def _propose_when_woken(self) -> None:
        """Wait a turn of the loop, so that requests which arrived together are sealed together."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            self._pump()
            self._drain()

    def _pump(self) -> None:
        """Make prepares while there are requests, places in the pipeline, and no prepare that waits for the journal."""
        while (self._queue or self._sending) and self._can_propose() and not self.journal.has_waiting:
            batch = self._make_batch()
            if not batch.requests:
                continue
            body = encode_body(batch.requests)
            batch.close(checkpoint_due=self._is_checkpoint_op(self.replica.op + 1))
            self._in_flight.append(batch)
            self.prepared = batch.state
            self._do(self.replica.on(Propose(body=body, timestamp=batch.timestamp, request_count=len(batch.requests))))

    def _can_propose(self) -> bool:
        """The op at which a checkpoint begins waits until the one before is durable: there is one at a time."""
        at_checkpoint = self._is_checkpoint_op(self.replica.op + 1)
        return self.replica.can_propose() and not (at_checkpoint and self.checkpointer.busy)

    def _is_checkpoint_op(self, op: int) -> bool:
        return op % self.limits.checkpoint_interval == 0

    def _make_batch(self) -> Batch:
        timestamp = self.replica.next_timestamp(self.world.clock.wall_us())
        batch = Batch(timestamp=timestamp, base=self.prepared)
        if self._sending is not None:
            self._add_part(batch, self._sending)
            return batch
        while self._queue and len(batch.requests) < self.limits.requests_per_prepare_max:
            pending = self._queue[0]
            if batch.size and batch.size + pending.size > self.limits.body_size_max:
                break
            self._dequeue()
            if self._answer_duplicate(batch, pending):
                continue
            if isinstance(pending.request, PlainTransaction):
                self._begin_sending(batch, pending)
                break
            self.preparer.add(batch, pending)
        return batch

    def _begin_sending(self, batch: Batch, pending: Pending) -> None:
        """A transaction is larger than a prepare, so it finds an empty batch."""
        assert not batch.requests
        sending = begin(self.preparer, batch, pending)
        if sending is not None:
            self._add_part(batch, sending)

    def _add_part(self, batch: Batch, sending: Sending) -> None:
        add_part(self.preparer, batch, sending)
        self._sending = None if sending.done else sending

    def _answer_duplicate(self, batch: Batch, pending: Pending) -> bool:
        """Answer a request that was executed before; one that is still in the pipeline waits for its commit."""
        origin = pending.origin
        if not origin.session:
            return False
        waiting = self._retries.get(origin)
        if waiting is not None:
            mark("group.retry_in_pipeline")
            waiting.append(pending.on_reply)
            return True
        reply = stored_reply(batch.state, origin)
        if reply is not None:
            mark("group.retry_answered")
            pending.on_reply(reply)
            return True
        self._retries[origin] = []
        return False

    # Doing what the replica wants ------------------------------------------------------------------------------

    def _do(self, ready: Ready) -> None:
        assert ready.view_change is None, "a group of one changes its view at the start only"
        for prepare in ready.persist:
            self._observer.on_prepare(self.name, prepare)
            self.journal.submit(prepare, self._on_prepare_durable)
        for envelope in ready.messages:
            self._gate.send(envelope)
        for header in ready.commits:
            self._commit(header, self._in_flight.popleft())

    def _deliver(self, to: int, message: Message) -> None:
        assert to == self.replica.replica, "a group of one speaks to itself alone"
        self._inbox.append(message)

    def _drain(self) -> None:
        while self._inbox:
            self._do(self.replica.on(self._inbox.popleft()))

    def _on_prepare_durable(self, header: PrepareHeader) -> None:
        self._observer.on_durable(self.name, header)
        self._do(self.replica.on(PrepareDurable(header=header)))
        self._drain()
        self._pump()

    def _on_checkpoint_durable(self, op: int, checkpoint_id: bytes) -> None:
        self.journal.release(op)
        self._do(self.replica.on(CheckpointDurable(op=op, checkpoint_id=checkpoint_id)))
        self._pump()

    # Committing ------------------------------------------------------------------------------------------------

    def _commit(self, header: PrepareHeader, batch: Batch) -> None:
        """Take the batch's state, do what it asks for, begin a checkpoint if one is due, then reply."""
        assert batch.base is self.state, f"op {header.op} was executed on another state than the one before it"
        assert (header.timestamp, header.request_count) == (batch.timestamp, len(batch.requests))
        self.state = batch.state
        for effect in batch.effects:
            self._perform(effect)
        if batch.changed is not None:
            self._begin_checkpoint(header, batch.changed)
        self._observer.on_commit(self.name, header, batch.requests, batch.replies)
        self._reply(batch)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AppendRecord():
                self.event_log.append(effect)
            case WakeProjection():
                self.signals.notify(effect.tenant)
            case StoreKey():
                self.keyring.add(effect.row)
            case EvictSession():
                mark("group.session_evicted")

    def _reply(self, batch: Batch) -> None:
        for index, pending in batch.waiters:
            reply = batch.replies[index]
            pending.on_reply(reply)
            if pending.origin.session:
                for on_reply in self._retries.pop(pending.origin):
                    on_reply(reply)

    def _begin_checkpoint(self, header: PrepareHeader, changed: Changed) -> None:
        """Fix what the checkpoint at this op holds; the checkpointer writes it while later ops commit."""
        head = CheckpointHead(checksum=header.checksum, timestamp=header.timestamp + header.request_count - 1)
        self.checkpointer.submit(
            CheckpointPlan(
                op=header.op,
                configuration=header.configuration,
                head=head,
                changed={int(table): rows for table, rows in changed.items()},
                log=self.event_log.begin_checkpoint(),
            )
        )
