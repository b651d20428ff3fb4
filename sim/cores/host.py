"""The least shell around a pure replica: a journal, a superblock and checkpoints, each with writes that can be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from random import Random

from attrs import define, field, frozen

from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader
from vdb.vsr.message import (
    CheckpointDurable,
    Confirm,
    CoreMessage,
    Input,
    Opened,
    PrepareDamaged,
    PrepareDurable,
    PrepareMessage,
    Propose,
    Tick,
    ViewDurable,
)
from vdb.vsr.ready import Ready, SyncTarget, ViewChange
from vdb.vsr.replica import Replica
from vdb.vsr.timing import Timing

GROUP = sha256(b"cores").digest()


@frozen(kw_only=True)
class Checkpoint:
    op: int = 0
    checksum: bytes = ZERO_CHECKSUM
    timestamp: int = 0
    state: bytes = b""
    """A hash over the checksums of all ops up to here."""
    configuration: Configuration

    @property
    def id(self) -> bytes:
        return sha256(b"checkpoint" + self.state).digest() if self.op else ZERO_CHECKSUM


@define(eq=False)
class Platter:
    """What survives a crash."""

    checkpoint: Checkpoint
    view: int = 0
    log_view: int = 0
    commit: int = 0
    tail: bytes = b""
    slots: dict[int, Prepare] = field(factory=dict)
    faulty: dict[int, None] = field(factory=dict)
    """Ops whose slot is damaged; the slot may have held them."""
    joins: bool = False


@define(eq=False)
class Host:
    """One replica with its platter. `on_commit(host, header)` and `post(sender, to, message)` are the group's."""

    number: int
    limits: Limits
    timing: Timing
    random: Random
    platter: Platter
    post: Callable[[int, int, CoreMessage], None]
    on_commit: Callable[[Host, PrepareHeader], None]
    on_confirmed: Callable[[Host, int], None]
    on_delivered: Callable[[Host, CoreMessage, int], None]
    on_view_started: Callable[[Host], None]
    may_damage: Callable[[], bool]
    """Whether the others can make good for one more damaged slot."""
    up: bool = False
    lives: int = 0
    replica: Replica = field(init=False)
    inbox: deque[CoreMessage] = field(factory=deque)
    writes: list[Prepare] = field(factory=list)
    bodies: dict[int, Prepare] = field(factory=dict)
    """By op: what the journal has taken, durable or not."""
    view_change: ViewChange | None = None
    state: bytes = b""
    applied: int = 0
    checkpoints: deque[Checkpoint] = field(factory=deque)
    """Being written, one after the other."""
    sync: SyncTarget | None = None
    removed: bool = False

    def start(self) -> None:
        """Begin a life from what the platter holds."""
        platter = self.platter
        self.lives += 1
        self.up = True
        self.inbox.clear()
        self.writes.clear()
        self.checkpoints.clear()
        self.view_change = self.sync = None
        self.replica = Replica(
            group=GROUP,
            replica=self.number,
            limits=self.limits,
            timing=self.timing,
            random=self.random.randrange,
        )
        point = platter.checkpoint
        self.state, self.applied = point.state, point.op
        reach = point.op + self.limits.wal_slots
        whole = [
            p for p in platter.slots.values() if point.op < p.header.op <= reach and p.header.op not in platter.faulty
        ]
        self.bodies = {prepare.header.op: prepare for prepare in whole}
        headers = tuple(sorted((prepare.header for prepare in whole), key=lambda header: header.op))
        faulty = tuple(sorted(op for op in platter.faulty if point.op < op <= reach))
        highest = headers[-1].op if headers else point.op
        opened = Opened(
            view=platter.view,
            log_view=platter.log_view,
            checkpoint_op=point.op,
            checkpoint_id=point.id,
            checkpoint_checksum=point.checksum,
            checkpoint_timestamp=point.timestamp,
            headers=headers,
            commit=platter.commit,
            configuration=point.configuration,
            faulty=faulty,
            head_certain=not platter.joins and not any(op > highest for op in faulty),
            tail=platter.tail,
            nonce=self.random.randrange(1, 1 << 32),
        )
        self.feed(opened)

    def crash(self) -> None:
        """Lose the memory; each write that wasn't synced landed, was lost, or left a damaged slot."""
        self.up = False
        torn: list[int] = []
        for prepare in self.writes:
            fate = self.random.random()
            if fate < 0.4:
                self._land(prepare)
            elif fate < 0.6:
                torn.append(prepare.header.op)
        self._tear(torn)
        if self.view_change is not None and self.random.random() < 0.5:
            self._land_view(self.view_change)

    def _tear(self, torn: list[int]) -> None:
        """Recovery knows a torn write from rot only right above the highest op, when nothing else is damaged there."""
        platter = self.platter
        slots = self.limits.wal_slots
        highest = max((found.header.op for found in platter.slots.values()), default=platter.checkpoint.op)
        highest = max(highest, platter.checkpoint.op)
        certain = sorted(torn) == list(range(highest + 1, highest + 1 + len(torn)))
        if certain and not any(op > highest for op in platter.faulty):
            for op in torn:
                platter.slots.pop(op % slots, None)
            return
        for op in torn:
            if self.may_damage():
                self.damage(op)

    def damage(self, op: int) -> None:
        """The slot of this op can't be read."""
        slot = op % self.limits.wal_slots
        found = self.platter.slots.pop(slot, None)
        if found is not None:
            self.platter.faulty.pop(found.header.op, None)
        self.platter.faulty[op] = None

    # Steps -----------------------------------------------------------------------------------------------------

    def feed(self, message: Input) -> None:
        self.do(self.replica.on(message))

    def deliver(self, message: CoreMessage) -> None:
        self.inbox.append(message)
        self.pump()

    def pump(self) -> None:
        while self.inbox and self.view_change is None and self.up:
            message, head = self.inbox.popleft(), self.replica.op
            self.feed(message)
            self.on_delivered(self, message, head)

    def tick(self) -> None:
        if self.view_change is None:
            self.feed(Tick())
            self.pump()

    def finish_write(self) -> None:
        """The oldest write is synced."""
        if self.writes:
            prepare = self.writes.pop(0)
            self._land(prepare)
            if self.bodies.get(prepare.header.op) == prepare:
                self.feed(PrepareDurable(header=prepare.header))
                self.pump()

    def finish_view(self) -> None:
        """The superblock is synced."""
        if self.view_change is not None:
            change, self.view_change = self.view_change, None
            self._land_view(change)
            self.feed(ViewDurable(view=change.view, log_view=change.log_view))
            self.pump()

    def finish_checkpoint(self) -> None:
        if self.checkpoints:
            point = self.checkpoints.popleft()
            self.platter.checkpoint = point
            self.platter.commit = max(self.platter.commit, point.op)
            self.feed(CheckpointDurable(op=point.op, checkpoint_id=point.id))
            self.pump()

    def propose(self, body: bytes, clock: int, configuration: Configuration | None = None) -> PrepareHeader | None:
        """The header of a new op, if the replica takes one now."""
        due = (self.replica.op + 1) % self.limits.checkpoint_interval == 0
        if self.view_change is not None or not self.replica.can_propose() or (due and self.checkpoints):
            return None
        timestamp = self.replica.next_timestamp(clock)
        self.feed(Propose(body=body, timestamp=timestamp, request_count=1, configuration=configuration))
        header = self.replica.log.header(self.replica.op)
        self.pump()
        return header

    def confirm(self, number: int) -> None:
        if self.view_change is None:
            self.feed(Confirm(number=number))

    def install(self, point: Checkpoint) -> None:
        """State sync: stand at a newer checkpoint, and open anew."""
        self.platter.checkpoint = point
        self.platter.commit = max(self.platter.commit, point.op)
        self.platter.joins = False
        for prepare in self.writes:
            self._land(prepare)
        if self.view_change is not None:
            self._land_view(self.view_change)
        self.start()

    # What the replica wants --------------------------------------------------------------------------------------

    def do(self, ready: Ready) -> None:
        if ready.view_change is not None:
            assert self.view_change is None
            self.view_change = ready.view_change
        if ready.truncate is not None:
            self.bodies = {op: prepare for op, prepare in self.bodies.items() if op <= ready.truncate}
        for prepare in ready.persist:
            self._check_slot(prepare.header)
            self.bodies[prepare.header.op] = prepare
            self.writes.append(prepare)
        for envelope in ready.messages:
            self.post(self.number, envelope.to, envelope.message)
        for supply in ready.supplies:
            found = self.bodies.get(supply.op)
            if found is None or found.header.checksum != supply.checksum or supply.op in self.platter.faulty:
                self.feed(PrepareDamaged(op=supply.op, checksum=supply.checksum))
            else:
                self.post(self.number, supply.to, PrepareMessage(prepare=found, replica=self.number))
        for header in ready.commits:
            self._apply(header)
        for number in ready.confirmed:
            self.on_confirmed(self, number)
        if ready.sync is not None:
            self.sync = ready.sync
        if ready.view_started and self.replica.is_serving_primary:
            self.on_view_started(self)
        self.removed = self.removed or ready.removed

    def _apply(self, header: PrepareHeader) -> None:
        assert header.op == self.applied + 1
        found = self.bodies.get(header.op)
        assert found is not None, "a commit without its prepare"
        assert found.header == header
        self.applied = header.op
        self.state = sha256(self.state + header.checksum).digest()
        self.on_commit(self, header)
        if header.op % self.limits.checkpoint_interval == 0:
            point = Checkpoint(
                op=header.op,
                checksum=header.checksum,
                timestamp=header.timestamp + header.request_count - 1,
                state=self.state,
                configuration=self.replica.committed_configuration,
            )
            self.checkpoints.append(point)

    def _check_slot(self, header: PrepareHeader) -> None:
        """A slot is written again only when its op is in a durable checkpoint (I27)."""
        assert self.platter.checkpoint.op < header.op <= self.platter.checkpoint.op + self.limits.wal_slots

    def _land(self, prepare: Prepare) -> None:
        op = prepare.header.op
        slot = op % self.limits.wal_slots
        self.platter.slots[slot] = prepare
        for faulty in [found for found in self.platter.faulty if found % self.limits.wal_slots == slot]:
            del self.platter.faulty[faulty]

    def _land_view(self, change: ViewChange) -> None:
        platter = self.platter
        assert change.view >= platter.view
        assert change.log_view >= platter.log_view
        platter.view, platter.log_view, platter.tail = change.view, change.log_view, change.tail
        platter.commit = max(platter.commit, change.commit)
        if change.log_view == change.view:
            platter.joins = False


def fresh(configuration: Configuration, *, joins: bool = False) -> Platter:
    """The platter of a replica that was never written to."""
    return Platter(checkpoint=Checkpoint(configuration=configuration), joins=joins)
