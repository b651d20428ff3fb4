"""The primary's side of a group: requests become prepares, and commits become replies.

    submit -> queue -> batch sealed on the prepared state -> Propose -> ... -> commit -> reply

Rules
- Requests that arrive while a prepare is being written travel together in the next one (group commit). No timer
  delays a batch: a prepare is made as soon as the journal has none waiting, and a crowd that still grows is let in.
- `prepared` is the committed state with the whole pipeline applied. A new primary makes it anew, by executing what is
  left in the pipeline, before it proposes anything.
- A request that is sent again while its first copy is in the pipeline waits for that copy's reply.
- That a session has ended, or that a number before this one is missing, a primary says once its log has taken the
  refusal: one that was deposed and hasn't heard of it lacks what the others have executed meanwhile, and a client that
  believed it would send the request again under another session.
- A transaction's parts fill consecutive prepares, alone. One that an earlier view left open is void: the command that
  says so stands before all that this view proposes.
- A reconfiguration fills a prepare of its own, and nothing else is in the pipeline beside it.
- Who ceases to be primary says so at once to all that wait: what was never proposed can be sent elsewhere; of the rest
  only the next primary knows the fate. Keys that were made for it are forgotten. One that has given up its view, and
  still leads it until another has begun, takes nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from vdb.errors import NotPrimary, PrimaryLost
from vdb.kernel.apply import is_of_the_books, stored_reply
from vdb.kernel.command import Origin, Reconfigure, Request
from vdb.kernel.effect import StoreKey
from vdb.kernel.reply import Refusal
from vdb.kernel.state import State
from vdb.limits import AUDIT_RECORD_OVERHEAD, Limits
from vdb.marks import mark
from vdb.node.preparing.cutting import size_bound
from vdb.node.preparing.noting import note_request
from vdb.node.preparing.preparer import Preparer
from vdb.node.preparing.request import Pending, PlainReconfigure, PlainReject, PlainTransaction, PlainVoid, nobody
from vdb.node.preparing.request_queue import RequestQueue
from vdb.node.preparing.sending import Sending, add_part, begin
from vdb.node.replication.batch import Batch
from vdb.node.replication.bodies import Bodies
from vdb.node.replication.executor import Executor, execute
from vdb.node.replication.holding import missing_root_key
from vdb.node.replication.pipeline import Pipeline
from vdb.ports import Clock
from vdb.rare import rare
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import Propose
from vdb.vsr.replica import Replica
from vdb.wire.command import encode_body

CROWD = 4
"""Above so many waiting requests more are looked for, for as long as each turn of the loop brings some: a prepare has a
cost of its own, as high as that of several requests."""
GATHER_TURNS_MAX = 8
ROOT_KEY_RETRY_SECONDS = 0.5
"""Between two looks of a primary at whether the root key was given that its log asks for."""


class Proposer:
    """See the module's docstring. One for each time that a group is opened."""

    def __init__(
        self,
        *,
        group: GroupId,
        limits: Limits,
        clock: Clock,
        replica: Replica,
        preparer: Preparer,
        journal: Journal,
        bodies: Bodies,
        pipeline: Pipeline,
        executor: Executor,
        propose: Callable[[Propose], None],
        not_primary: Callable[[], NotPrimary],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._replica = replica
        self._preparer = preparer
        self._journal = journal
        self._bodies = bodies
        self._pipeline = pipeline
        self._executor = executor
        self._propose = propose
        self._not_primary = not_primary
        self.queue = RequestQueue(group, limits)
        self._prepared: State | None = None
        """None: this node isn't primary, or hasn't yet executed what the pipeline holds."""
        self._view: int | None = None
        """The view that this node leads."""
        self.leads_from: int | None = None
        """The position after the last event that another primary, or an earlier life, prepared; None: no primary."""
        self.missing_root_key = b""
        """The id of a root key without which this primary can't begin, 16 bytes; empty: none is missing."""
        self._sending: Sending | None = None
        """The transaction whose next part fills the next prepare."""
        self._wake = trio.Event()
        self._pumping = False
        self._taking_over = trio.CancelScope()
        self.ready = trio.Event()
        """Set while this node is primary and has all in hand that the pipeline holds. One that is replaced is set, too:
        who waits looks again."""

        self._stamped = 0, clock.monotonic_ns()
        """The time of the last prepare that was begun here, and when that was."""

    # What the group calls --------------------------------------------------------------------------------------

    @property
    def prepared(self) -> State:
        """The state with the pipeline applied, as far as this node makes it; else the committed one."""
        return self._executor.state if self._prepared is None else self._prepared

    def time_us(self) -> int:
        """The time that a prepare would have now: this clock's, above all that the log has.

        A clock that was set back is behind the log's time, perhaps for days. What is to happen by the log's time must
        happen all the same, so meanwhile that goes on half as fast as time does.
        """
        stamped, at = self._stamped
        crept = stamped + (self._clock.monotonic_ns() - at) // 2000
        return self._replica.next_timestamp(max(self._clock.wall_us(), crept))

    def submit(self, pending: Pending) -> None:
        """Queue a request: it is proposed soon, or answered with why not."""
        self.queue.add(pending)
        self._wake.set()

    def knows(self, origin: Origin) -> bool:
        """Whether the request has its answer, or is in the pipeline: it is answered even when others are refused."""
        if not origin.session:
            return False
        if self._pipeline.waiting(origin) is not None:
            return True
        reply = stored_reply(self.prepared, origin)
        return reply is not None and not is_of_the_books(reply)

    async def run(self) -> None:
        """Wait a turn of the loop, so that requests which arrived together are sealed together."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            if self._view is not None and self._prepared is None:
                await self._take_over()
            await self._gather()
            self.pump()

    async def _gather(self) -> None:
        """While a crowd comes in, let in those who arrive with the next turns of the loop."""
        found = CROWD
        for _turn in range(GATHER_TURNS_MAX):
            if not found < len(self.queue) < self._limits.requests_per_prepare_max:
                return
            found = len(self.queue)
            await trio.lowlevel.checkpoint()

    # Leading ---------------------------------------------------------------------------------------------------

    def lead(self, view: int) -> None:
        """This node is the primary of a view that has started."""
        assert self._view is None
        self._view = view
        self._wake.set()

    def depose(self, reason: NotPrimary) -> None:
        """It isn't any more. What has committed is still answered by its commit."""
        self._view = self._prepared = self.leads_from = None
        self.missing_root_key = b""
        self._taking_over.cancel()
        waited_for, self.ready = self.ready, trio.Event()
        waited_for.set()
        sending, self._sending = self._sending, None
        fate = PrimaryLost("the node ceased to be primary before the request committed: send it again to the next one")
        for batch in self._pipeline.lose(self._replica.commit_number, fate):
            mark("proposer.lost_batch")
            self._forget_keys(batch)
        if sending is not None:
            mark("proposer.lost_transaction")
            sending.pending.on_lost(fate)
        self._send_elsewhere(reason)

    def _send_elsewhere(self, reason: NotPrimary) -> None:
        """What was never proposed, another primary may take."""
        for pending in self.queue.take_all():
            pending.on_lost(reason)

    def _forget_keys(self, batch: Batch) -> None:
        held = self._executor.state
        for effect in batch.effects:
            if isinstance(effect, StoreKey) and held.key(effect.row.dek_id) is None:
                self._preparer.keyring.remove(effect.row)

    async def _take_over(self) -> None:
        """Apply all commits, then execute what the pipeline holds, which may change while bodies are read back."""
        with trio.CancelScope() as scope:
            self._taking_over = scope
            while True:
                await self._executor.wait_until(lambda: self._executor.is_drained)
                headers = self._replica.pipeline_headers()
                bodies = [await self._bodies.fetch(header) for header in headers]
                if scope.cancel_called:
                    # Deposed after the last wait was over: nothing here would have raised Cancelled.
                    mark("proposer.deposed_in_take_over")
                    return
                if self._executor.is_drained and self._replica.pipeline_headers() == headers:
                    if self._inherit(headers, bodies):
                        return
                    await trio.sleep(ROOT_KEY_RETRY_SECONDS)

    def _inherit(self, headers: Sequence[PrepareHeader], bodies: Sequence[bytes]) -> bool:
        """False where one of them asks for a root key that the node wasn't given: then nothing has happened."""
        assert not self._pipeline
        state, batches = self._executor.state, list[Batch]()
        for header, body in zip(headers, bodies, strict=True):
            batches.append(execute(header, body, state, checkpoint_due=self._executor.is_checkpoint_op(header.op)))
            state = batches[-1].state
        effects = [effect for batch in batches for effect in batch.effects]
        self.missing_root_key = missing_root_key(effects, self._preparer.keyring)
        if self.missing_root_key:
            return False
        for effect in effects:
            if isinstance(effect, StoreKey):
                self._preparer.keyring.add(effect.row)
        for header, batch in zip(headers, batches, strict=True):
            mark("proposer.inherited")
            self._pipeline.inherit(header.op, batch)
        self._prepared = state
        self._stamped = state.last_timestamp, self._clock.monotonic_ns()
        self.leads_from = state.next_position
        self._void_what_is_open(state)
        self.ready.set()
        return True

    def _void_what_is_open(self, state: State) -> None:
        """The parts of a transaction that an earlier view began can't be followed by others of this one."""
        found = state.transaction()
        if found is not None:
            mark("group.transaction_void")
            request = PlainVoid(transaction=found.transaction)
            self.queue.add_first(Pending(request=request, on_reply=nobody, on_lost=nobody, size=size_bound(request)))

    # Proposing -------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Make prepares while there are requests, places in the pipeline, and no prepare that waits for the journal."""
        if self._replica.abdicated and self.queue:
            self._send_elsewhere(self._not_primary())
            if self._prepared is not None and self._sending is None:
                # When nobody takes over, this view goes on: what it has to void still comes before all else.
                self._void_what_is_open(self._prepared)
        if self._prepared is None or self._pumping:
            return
        self._pumping = True
        try:
            while (self.queue or self._sending) and self._can_propose() and not self._journal.has_waiting:
                if not self._pump_one():
                    return
        finally:
            self._pumping = False

    def _pump_one(self) -> bool:
        """One prepare, or answers alone. False: what comes next has to wait."""
        first = self.queue.first
        if self._sending is None and first is not None and isinstance(first.request, PlainReconfigure):
            return self._propose_reconfiguration(first, first.request)
        batch = self._make_batch()
        if batch.requests or batch.notes:
            self._send(batch, None)
        return True

    def _send(self, batch: Batch, configuration: Configuration | None) -> None:
        op = self._replica.op + 1
        self._preparer.finish(batch)
        body = encode_body(batch.requests)
        batch.close(checkpoint_due=self._executor.is_checkpoint_op(op))
        self._pipeline.add(op, batch)
        self._prepared = batch.state
        count = len(batch.requests)
        self._propose(Propose(body=body, timestamp=batch.timestamp, request_count=count, configuration=configuration))

    def _can_propose(self) -> bool:
        """The op at which a checkpoint begins waits until the one before is durable: there is one at a time."""
        at_checkpoint = self._executor.is_checkpoint_op(self._replica.op + 1)
        return self._replica.can_propose() and not (at_checkpoint and self._executor.checkpoint_busy)

    def _new_batch(self) -> Batch:
        timestamp = self.time_us()
        self._stamped = timestamp, self._clock.monotonic_ns()
        return Batch(timestamp=timestamp, base=self.prepared)

    def _make_batch(self) -> Batch:
        batch = self._new_batch()
        if self._sending is not None:
            self._add_part(batch, self._sending)
            return batch
        while self.queue and batch.filled < self._limits.requests_per_prepare_max:
            pending = self.queue.first
            assert pending is not None
            room = self._limits.body_size_max - AUDIT_RECORD_OVERHEAD * (len(batch.notes) + 1)
            if batch.size and batch.size + pending.size > room:
                break
            if isinstance(pending.request, PlainReconfigure):
                break
            self.queue.take()
            if self._answer_duplicate(batch, pending):
                continue
            if isinstance(pending.request, PlainTransaction):
                self._begin_sending(batch, pending)
                break
            self._preparer.add(batch, pending)
            if rare("proposer.small_batch"):
                break
        return batch

    def _propose_reconfiguration(self, pending: Pending, request: PlainReconfigure) -> bool:
        """Alone in the pipeline, as the replica demands. One that is refused is an op like another."""
        if self._pipeline:
            return False
        self.queue.take()
        batch = self._new_batch()
        if self._answer_duplicate(batch, pending):
            return True
        command = Reconfigure(
            epoch=self._replica.op + 1,
            base_epoch=request.base_epoch,
            voters=request.voters,
            learners=request.learners,
            members=request.members,
        )
        reply = batch.add(Request(pending.origin, command))
        batch.waiters.append((0, pending))
        note_request(self._preparer, batch, pending)
        refused = isinstance(reply, Refusal)
        self._send(batch, None if refused else self._replica.next_configuration(request.voters, request.learners))
        return True

    def _begin_sending(self, batch: Batch, pending: Pending) -> None:
        """A transaction is larger than a prepare, so it finds an empty batch."""
        assert not batch.requests
        sending = begin(self._preparer, batch, pending)
        if sending is not None:
            self._add_part(batch, sending)

    def _add_part(self, batch: Batch, sending: Sending) -> None:
        add_part(self._preparer, batch, sending)
        self._sending = None if sending.done else sending

    def _answer_duplicate(self, batch: Batch, pending: Pending) -> bool:
        """Answer a request that was executed before; one that is still in the pipeline waits for its commit."""
        origin = pending.origin
        if not origin.session:
            return False
        waiting = self._pipeline.waiting(origin)
        if waiting is not None:
            mark("group.retry_in_pipeline")
            waiting.append(pending)
            return True
        reply = stored_reply(batch.view, origin)
        if reply is None:
            self._pipeline.expect(origin)
            return False
        if isinstance(reply, Refusal) and is_of_the_books(reply):
            self._refuse_by_the_books(batch, pending, reply)
        else:
            mark("group.retry_answered")
            pending.on_reply(reply)
        return True

    def _refuse_by_the_books(self, batch: Batch, pending: Pending, reply: Refusal) -> None:
        """Let the log take the refusal, outside of the session: nobody answers before it has."""
        mark("group.refused_by_the_books")
        request = PlainReject(code=reply.code, message=reply.message)
        refusal = Pending(
            request=request,
            on_reply=pending.on_reply,
            on_lost=pending.on_lost,
            size=size_bound(request) + pending.note_size,
            note=pending.note,
            note_size=pending.note_size,
        )
        self._preparer.add(batch, refusal)
