"""A group's member from one opening of its storage to the next: replica, kernel and storage, and the tasks between.

    peers -> driver -> replica -> journal, superblock, gate -> peers
                          |
                       executor -> event log, keyring, checkpoints, replies
    requests -> proposer -> driver

A group of one has no peers; everything else is the same in it. When the replica needs a newer checkpoint than the log
can reach, the member ends, and the group is opened anew from what state sync installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import field, frozen

from vdb.errors import DamagedData, NotPrimary
from vdb.kernel.command import MemberRow, Reconfigure
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.marks import mark
from vdb.node import log
from vdb.node.observer import Observer
from vdb.node.preparing.preparer import Preparer
from vdb.node.replication.bodies import Bodies
from vdb.node.replication.checkpointer import Checkpointer
from vdb.node.replication.confirming import Confirmer
from vdb.node.replication.copying import Copying
from vdb.node.replication.driver import Driver
from vdb.node.replication.executor import Executor, Sinks
from vdb.node.replication.group_storage import GroupStorage, group_hash
from vdb.node.replication.pipeline import Pipeline
from vdb.node.replication.prepare_sender import PrepareSender
from vdb.node.replication.proposer import Proposer
from vdb.node.signals import Progress, Signals
from vdb.ports import World
from vdb.rare import rare
from vdb.storage.scrubber import Scrubber, ScrubFault
from vdb.storage.superblock import SuperblockState
from vdb.types import GroupId
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import (
    Abdicate,
    CheckpointDurable,
    Confirm,
    Message,
    Opened,
    PeerLost,
    PrepareDamaged,
    PrepareMessage,
    SyncMessage,
    Tick,
    WordMessage,
)
from vdb.vsr.ready import Envelope, Ready, Supply
from vdb.vsr.replica import Replica
from vdb.vsr.timing import Timing
from vdb.wire.command import decode_body

TICK_ALONE_SECONDS = 1.0
"""How often a group of one looks whether it still is one."""
NONCE_BOUND = 1 << 62
CLOCK_CHECK_TICKS = 50
CLOCK_STRIKES_MAX = 10
"""A primary whose clock failed so many checks in a row gives up its view: another one's may be better."""


@frozen(kw_only=True)
class MemberSettings:
    """What a member is told when it is made."""

    timing: Timing = field(factory=Timing)
    tick_s: float = 0.01
    scrub_period_s: float
    joins: bool = False
    """The node came to a cluster that was there: an empty log isn't the whole one."""
    disk: bytes = b""
    """Of a node that joins: it counts once the group's state names this disk as the node's."""
    looks: bool = False
    """It is opened to be read, with no other node, and never serves (`vdb.node.stopped`)."""


@frozen(kw_only=True)
class Outside:
    """What a member calls: other nodes, and the group that it belongs to."""

    send: Callable[[int, Message], None]
    """To a member of this group on another node; never waits, and may lose the message."""
    on_members: Callable[[State], None]
    """The members have changed."""
    on_named: Callable[[Sequence[MemberRow]], None]
    """The log names these as members from some op on; whether it commits is open."""
    on_scrub_fault: Callable[[ScrubFault], None]
    on_scrub_pass: Callable[[], None]
    on_word: Callable[[WordMessage], None]
    """Another member tells something beside the protocol."""
    clock_synchronised: Callable[[], bool]
    """Whether this node may stamp requests."""
    not_primary: Callable[[], NotPrimary]
    """Why a request can't be served here."""


class Member:
    """See the module's docstring. `run` it once."""

    def __init__(
        self,
        *,
        name: GroupId,
        world: World,
        storage: GroupStorage,
        preparer: Preparer,
        signals: Signals,
        progress: Progress,
        observer: Observer,
        settings: MemberSettings,
        outside: Outside,
    ) -> None:
        durable = storage.superblock.state
        self.name = name
        self.storage = storage
        self.preparer = preparer
        self.limits: Limits = durable.limits
        self._world = world
        self._observer = observer
        self._reads = 0
        self._settings = settings
        self._outside = outside
        self._led = trio.Event()
        """Set once this node has been the serving primary."""
        self._open = False
        self._is_known = not settings.joins
        self._known_from = 0
        """The op above the checkpoint that names this node's disk; 0: none does."""
        self._has_help = False
        self._clock_strikes = 0
        self.replica = Replica(
            group=group_hash(durable.cluster, name),
            replica=durable.replica,
            limits=durable.limits,
            timing=settings.timing,
            random=world.entropy.below,
        )
        self.pipeline = Pipeline()
        self.bodies = Bodies(storage.journal, count_max=4 * self.limits.pipeline_max, on_damaged=self._on_damaged)
        self.checkpointer = Checkpointer(
            group=name, storage=storage, observer=observer, on_durable=self._on_checkpoint_durable
        )
        self.executor = Executor(
            group=name,
            limits=self.limits,
            state=storage.state,
            applied=durable.checkpoint_op,
            bodies=self.bodies,
            pipeline=self.pipeline,
            sinks=Sinks(
                event_log=storage.event_log,
                keyring=preparer.keyring,
                signals=signals,
                progress=progress,
                checkpointer=self.checkpointer,
                observer=observer,
                on_members=outside.on_members,
                is_alone=lambda: self.is_alone,
            ),
        )
        self.driver = Driver(
            group=name,
            replica=self.replica,
            superblock=storage.superblock,
            journal=storage.journal,
            send=outside.send,
            observer=observer,
            actor=self,
            counts=self._counts,
        )
        self.proposer = Proposer(
            group=name,
            limits=self.limits,
            clock=world.clock,
            replica=self.replica,
            preparer=preparer,
            journal=storage.journal,
            bodies=self.bodies,
            pipeline=self.pipeline,
            executor=self.executor,
            propose=self.driver.feed,
            not_primary=outside.not_primary,
        )
        self.confirmer = Confirmer(lambda number: self.driver.feed(Confirm(number=number)))
        self._prepare_sender = PrepareSender(storage.journal, send=self._send_prepare, on_damaged=self._on_damaged)
        self.copying = Copying(
            group=name,
            storage=storage,
            send=outside.send,
            others=self._others,
            on_unpinned=self.checkpointer.prune_again,
        )
        self.scrubber = Scrubber(
            disk=world.disk,
            superblock=storage.superblock,
            journal=storage.journal,
            checkpoints=storage.checkpoints,
            event_log=storage.event_log,
            period_seconds=settings.scrub_period_s,
            on_fault=outside.on_scrub_fault,
            on_pass=outside.on_scrub_pass,
            repair=self.copying.repair,
            on_prepare_damaged=self._on_scrub_damage,
        )

    def _counts(self) -> bool:
        """Whether what this replica promises is its own: a node that took another's place has promised nothing yet."""
        if not self._is_known:
            self._is_known = self._is_named_in(self.executor.state.members())
        # After a restart the op that says so may wait for a commit that needs this very voice.
        return self._is_known or (0 < self._known_from <= self.replica.configuration.epoch)

    # What the group asks ---------------------------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether the group has no other member: neither by what is committed nor by what the log says at its head."""
        replica = self.replica
        return len(replica.configuration.members) == 1 == len(replica.committed_configuration.members)

    @property
    def missing_root_key(self) -> bytes:
        """The id of a root key without which this node applies nothing more, 16 bytes; empty: none is missing."""
        return self.executor.missing_root_key or self.proposer.missing_root_key

    @property
    def is_serving(self) -> bool:
        """Whether requests are taken and answered here."""
        return self.takes_requests and self.proposer.ready.is_set()

    @property
    def takes_requests(self) -> bool:
        """Whether this node leads, and hasn't given up its view."""
        return self.replica.is_serving_primary and not self.replica.abdicated

    @property
    def waiting(self) -> int:
        """Requests in the queue, and prepares in the pipeline."""
        return len(self.proposer.queue) + len(self.pipeline)

    def receive(self, message: Message) -> None:
        """A message of another node. What comes before the replica knows its own disk, or after the end, is lost."""
        if not self._open:
            return
        if isinstance(message, SyncMessage):
            self.copying.on(message)
        elif isinstance(message, WordMessage):
            self._outside.on_word(message)
        else:
            self.driver.feed(message)

    def lose(self, node: int) -> None:
        """Nobody answers at this node's address any more."""
        if self._open:
            self.driver.feed(PeerLost(node=node))

    def go_on(self) -> None:
        """Root keys were given: what waited for one may be applied."""
        if self._open:
            self.executor.pump()

    def end(self) -> None:
        """The tasks have ended, because the group is opened anew: nothing is heard any more."""
        self._open = False
        self._let_go()

    def _others(self) -> list[int]:
        return [node for node in self.replica.configuration.members if node != self.replica.replica]

    async def confirm(self) -> None:
        """Wait until `state` holds all that was acknowledged before this call. NotPrimary when it can't be told."""
        view = self.replica.view
        self._reads += 1
        read = self._reads
        self._observer.on_read_asks(self.name, read)
        if not self.is_serving:
            await self._wait_to_serve(view)
        if not self.is_alone:
            await self.confirmer.confirm()
        needed = self.replica.commit_number
        await self.executor.wait_until(lambda: self.executor.applied >= needed or not self._open)
        if not self._open:
            # The group is opened anew, and this executor applies nothing more.
            mark("member.closed_in_a_read")
            raise self._outside.not_primary()
        self._observer.on_read_confirmed(self.name, read)

    async def _wait_to_serve(self, view: int) -> None:
        ready = self.proposer.ready
        if not self.replica.is_serving_primary:
            raise self._outside.not_primary()
        await ready.wait()
        if not self.is_serving or self.replica.view != view:
            raise self._outside.not_primary()

    # Running ---------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Recover, then serve or follow until cancelled. Errors of the disk and broken invariants end it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.storage.journal.run)
            nursery.start_soon(self.driver.run)
            nursery.start_soon(self.executor.run)
            nursery.start_soon(self.checkpointer.run)
            nursery.start_soon(self.storage.event_log.run)
            await self._recover()
            nursery.start_soon(self.proposer.run)
            nursery.start_soon(self._prepare_sender.run)
            nursery.start_soon(self.copying.run)
            self._accept_help()
            nursery.start_soon(self.scrubber.run)
            nursery.start_soon(self._tick)
            task_status.started()

    async def _recover(self) -> None:
        """Tell the replica what the disk holds. A group of one then knows its whole log, and applies it first."""
        for row in self.executor.state.keys():  # noqa: SIM118 - rows of the key store, not a dict's keys
            self.preparer.keyring.add(row)
        durable = self.storage.superblock.state
        self._observer.on_superblock(self.name, durable)
        await self._name_members()
        self._open = True
        self.driver.feed(self._opened())
        if self._settings.looks:
            await self.executor.wait_until(lambda: self.executor.is_drained)
        elif self.is_alone:
            await self._led.wait()
            await self.executor.wait_until(lambda: self.executor.is_drained)
        log.info(
            "group.recovered",
            group=self.name,
            view=self.replica.view,
            checkpoint_op=durable.checkpoint_op,
            commit=self.executor.applied,
        )
        self._observer.on_recovered(self.name, self.executor.applied, self.executor.state)

    async def _name_members(self) -> None:
        """Nodes that the log names must be found, since they may be needed to commit that it does."""
        for header in self.storage.journal.recovery.headers_above(self.executor.applied):
            if header.is_reconfiguration:
                prepare = await self.storage.journal.read(header.op)
                if prepare is not None:
                    rows = named_members(prepare)
                    self._outside.on_named(rows)
                    if self._is_named_in(rows):
                        self._known_from = header.op

    def _is_named_in(self, rows: Sequence[MemberRow]) -> bool:
        """Whether one of them says that this disk is the node's."""
        number = self.replica.replica
        return any(row.node == number and row.disk_id == self._settings.disk for row in rows)

    def _opened(self) -> Opened:
        durable = self.storage.superblock.state
        recovery = self.storage.journal.recovery
        return Opened(
            view=durable.view,
            log_view=durable.log_view,
            checkpoint_op=durable.checkpoint_op,
            checkpoint_id=durable.checkpoint_id,
            checkpoint_checksum=self.storage.head.checksum,
            checkpoint_timestamp=self.storage.head.timestamp,
            headers=recovery.headers_above(durable.checkpoint_op),
            commit=durable.commit,
            configuration=durable.members,
            faulty=tuple(found.op for found in recovery.faulty),
            head_certain=recovery.head_certain and not self._knows_nothing(durable),
            tail=durable.tail,
            nonce=1 + self._world.entropy.below(NONCE_BOUND),
            looks=self._settings.looks,
        )

    def _knows_nothing(self, durable: SuperblockState) -> bool:
        """Whether the group was formatted to join a cluster, and hasn't learned anything of its log yet."""
        return self._settings.joins and durable.checkpoint_op == 0 and not durable.tail

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_ALONE_SECONDS if self.is_alone else self._settings.tick_s)
            if not self.is_alone:
                self._accept_help()
                self.driver.feed(Tick())
                if rare("member.abdicates", share=0.005):
                    self.driver.feed(Abdicate())
                if self.replica.tick % CLOCK_CHECK_TICKS == 0:
                    self._check_clock()
                    if self.missing_root_key and self.replica.is_serving_primary:
                        mark("member.leads_without_root_key")
                        self.driver.feed(Abdicate())

    def _check_clock(self) -> None:
        """Somebody has to stamp requests: a primary whose clock stays wrong gives up its view."""
        if not self.replica.is_serving_primary or self._outside.clock_synchronised():
            self._clock_strikes = 0
            return
        self._clock_strikes += 1
        if self._clock_strikes == CLOCK_STRIKES_MAX:
            mark("member.clock_gave_up")
            log.warning("group.clock_not_synchronised", group=self.name, view=self.replica.view)
            self._clock_strikes = 0
            self.driver.feed(Abdicate())

    def _accept_help(self) -> None:
        """From the moment at which the group has other members, they may have what is damaged here."""
        if self._has_help or self.is_alone:
            return
        self._has_help = True
        self.storage.journal.set_with_peers()
        self.storage.event_log.set_repair(self.copying.repair)
        self.storage.checkpoints.set_repair(self.copying.repair)

    # What the driver leaves to others --------------------------------------------------------------------------

    def keep(self, prepare: Prepare) -> None:
        if not self.replica.is_serving_primary:
            self.bodies.keep(prepare)
        if prepare.header.is_reconfiguration:
            self._outside.on_named(named_members(prepare))

    def act(self, ready: Ready) -> None:
        if ready.supplies:
            self._prepare_sender.add(ready.supplies)
        if ready.commits:
            self.executor.commit(ready.commits)
        for number in ready.confirmed:
            self.confirmer.confirmed(number)
        if ready.sync is not None:
            self.copying.want(ready.sync)
        if ready.removed:
            log.warning("group.removed", group=self.name)

    def lead(self, view: int) -> None:
        log.info("group.leads", group=self.name, view=view)
        self._led.set()
        self.proposer.lead(view)

    def depose(self) -> None:
        log.info("group.deposed", group=self.name, view=self.replica.view)
        self._let_go()

    def _let_go(self) -> None:
        """Nobody waits for anything here any more."""
        reason = self._outside.not_primary()
        self.proposer.depose(reason)
        self.confirmer.fail(reason)

    def pump(self) -> None:
        self.proposer.pump()

    # What storage reports --------------------------------------------------------------------------------------

    def _on_checkpoint_durable(self, op: int, checkpoint_id: bytes) -> None:
        self.storage.journal.release(op)
        self.driver.feed(CheckpointDurable(op=op, checkpoint_id=checkpoint_id))
        self.executor.pump()
        self.proposer.pump()

    def _on_damaged(self, prepare: PrepareHeader | Supply) -> None:
        if self.is_alone:
            path = self.storage.journal.path
            raise DamagedData(f"{path}: op {prepare.op} was whole at the start and can't be read now")
        log.warning("wal.damaged", group=self.name, op=prepare.op)
        self.driver.feed(PrepareDamaged(op=prepare.op, checksum=prepare.checksum))

    def _on_scrub_damage(self, header: PrepareHeader) -> None:
        """Alone, nobody has it; it may never be asked for, as the next checkpoint covers it."""
        if not self.is_alone:
            self._on_damaged(header)

    def _send_prepare(self, to: int, prepare: Prepare) -> None:
        message = PrepareMessage(prepare=prepare, replica=self.replica.replica)
        self.driver.gate.send(Envelope(to, message))


def named_members(prepare: Prepare) -> tuple[MemberRow, ...]:
    """The rows of the members that a reconfiguration names."""
    (request,) = decode_body(prepare.body)
    assert isinstance(request.command, Reconfigure)
    return request.command.members
