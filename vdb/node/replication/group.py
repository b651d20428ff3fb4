"""A group on this node: what the gate, the readers and the other nodes speak to, however often it is opened anew.

The work is done by the `Member` that is open at present. Requests are taken by the serving primary alone; everybody
else says who that is, as far as it is known. Reads ask `confirm` for a proof that nothing newer was acknowledged, or
wait until a position is applied, or take what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import field, frozen

from vdb.audit.entry import AuditEntry
from vdb.crypto.keyring import Keyring
from vdb.errors import DiskFull, InvalidArgument, NotPrimary, NotReady, Overloaded, PrimaryLost, WrongKey
from vdb.kernel.command import INTERNAL, MemberRow, Origin
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.marks import mark
from vdb.node import log
from vdb.node.erasure.watching import Watches
from vdb.node.observer import Observer
from vdb.node.peers.directory import Directory
from vdb.node.preparing.cutting import size_bound
from vdb.node.preparing.noting import note_bound
from vdb.node.preparing.preparer import Preparer
from vdb.node.preparing.request import OnLost, OnReply, Pending, PlainReconfigure, PlainRequest, nobody
from vdb.node.replication.checkpointer import Checkpointer
from vdb.node.replication.group_storage import GroupStorage, open_group
from vdb.node.replication.member import Member, MemberSettings, Outside
from vdb.node.signals import Progress, Signals
from vdb.ports import World
from vdb.storage.event_log import EventLog
from vdb.storage.scrubber import Scrubber, ScrubFault
from vdb.storage.superblock import Superblock
from vdb.storage.wal import Journal
from vdb.types import GroupId
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import (
    Abdicate,
    ErasedMessage,
    Message,
    PolicyMessage,
    RecordedMessage,
    RecordMessage,
    RootKeysMessage,
    WordMessage,
)
from vdb.vsr.replica import Replica, Status

INSTALL_RETRY_SECONDS = 1.0
OWN_LOG_SECONDS_MAX = 5.0
"""How long a primary may take to have a quorum for what its log holds."""


def _nobody_there(_to: int, _message: object) -> None:
    mark("group.nobody_there")


@frozen(kw_only=True)
class Neighbours:
    """What a group knows of the other nodes. A node that is alone has the defaults."""

    send: Callable[[int, Message], None] = _nobody_there
    directory: Directory = field(factory=Directory)
    clock_synchronised: Callable[[Configuration], bool] = lambda _configuration: True
    """Whether this node's clock agrees with those of a quorum of these voters."""
    on_members: Callable[[GroupId, State], None] = lambda _group, _state: None
    """A group's members have changed; the state says how."""
    on_named: Callable[[Sequence[MemberRow]], None] = nobody
    """A group's log names these nodes."""


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
        settings: MemberSettings,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.name = name
        self.world = world
        self.signals = Signals()
        self._progress = Progress()
        self.scrubbed_at = 0
        """Microseconds UTC of the end of the last full scrub; 0: none yet."""
        self.on_erased: Callable[[ErasedMessage], None] = nobody
        """What other members say of erasures; whoever collects it puts itself here."""
        self.on_policy: Callable[[PolicyMessage], None] = nobody
        """Likewise of the policy that the global group goes by."""
        self.on_record: Callable[[RecordMessage | RecordedMessage], None] = nobody
        """Likewise of what they have recorded in audit logs."""
        self.on_root_keys: Callable[[RootKeysMessage], None] = nobody
        """Likewise of which root keys they have, or want to know."""
        self._named = 0
        """How often a member was named since this node was removed."""
        self._missing_to_open = b""
        """The root key without which a newer state can't be opened."""
        self._neighbours = neighbours if neighbours is not None else Neighbours()
        self._observer = observer
        self._settings = settings
        self._member = self._make_member(storage, preparer)

    def _make_member(self, storage: GroupStorage, preparer: Preparer) -> Member:
        outside = Outside(
            send=self._neighbours.send,
            on_members=lambda state: self._neighbours.on_members(self.name, state),
            on_named=self._neighbours.on_named,
            on_scrub_fault=self._on_scrub_fault,
            on_scrub_pass=self._on_scrub_pass,
            on_word=self._on_word,
            clock_synchronised=lambda: self.clock_synchronised,
            not_primary=self._not_primary,
        )
        return Member(
            name=self.name,
            world=self.world,
            storage=storage,
            preparer=preparer,
            signals=self.signals,
            progress=self._progress,
            observer=self._observer,
            settings=self._settings,
            outside=outside,
        )

    def _on_word(self, message: WordMessage) -> None:
        if isinstance(message, ErasedMessage):
            self.on_erased(message)
        elif isinstance(message, PolicyMessage):
            self.on_policy(message)
        elif isinstance(message, RootKeysMessage):
            self.on_root_keys(message)
        else:
            self.on_record(message)

    # What is open ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The committed state, as far as this node has applied it."""
        return self._member.executor.state

    @property
    def applied(self) -> int:
        """The op that `state` is the state after."""
        return self._member.executor.applied

    @property
    def prepared(self) -> State:
        """The state with the whole pipeline applied, at the primary; elsewhere the committed one."""
        return self._member.proposer.prepared

    @property
    def time_us(self) -> int:
        """Microseconds UTC that a prepare would have now, at the primary: the time by which things fall due."""
        return self._member.proposer.time_us()

    @property
    def replica(self) -> Replica:
        return self._member.replica

    @property
    def storage(self) -> GroupStorage:
        return self._member.storage

    @property
    def superblock(self) -> Superblock:
        return self._member.storage.superblock

    @property
    def journal(self) -> Journal:
        return self._member.storage.journal

    @property
    def event_log(self) -> EventLog:
        return self._member.storage.event_log

    @property
    def keyring(self) -> Keyring:
        return self._member.preparer.keyring

    @property
    def watches(self) -> Watches:
        """Of subjects that somebody judges whether they may be erased."""
        return self._member.preparer.watches

    @property
    def checkpointer(self) -> Checkpointer:
        return self._member.checkpointer

    async def rid_of_overtaken_copies(self) -> bool:
        """Whether nothing of another member's checkpoint lies here that the own one has overtaken."""
        return await self._member.copying.syncer.rid_of_overtaken()

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the nodes that are members by the log's head, voters and learners, rising."""
        return tuple(sorted(self.replica.configuration.members))

    def send(self, to: int, message: Message) -> None:
        """To a member of this group on another node; never waits, and may lose the message."""
        self._neighbours.send(to, message)

    @property
    def limits(self) -> Limits:
        return self._member.limits

    @property
    def scrubber(self) -> Scrubber:
        return self._member.scrubber

    @property
    def scrub_faults(self) -> int:
        """Faults that the last full scrub found."""
        return len(self._member.scrubber.faults)

    @property
    def disk_full(self) -> bool:
        return self._member.checkpointer.disk_full or self.journal.disk_full is not None

    # Requests --------------------------------------------------------------------------------------------------

    def submit(
        self,
        request: PlainRequest,
        on_reply: OnReply,
        origin: Origin,
        on_lost: OnLost = nobody,
        *,
        note: AuditEntry | None = None,
        size: int | None = None,
    ) -> Pending:
        """Queue a request, and what the audit log is told of it. `size`: its `size_bound`, if the caller knows it.

        `on_reply` is called once, when its op has committed; `on_lost` instead, if this node ceases to be primary
        before; neither, if the node stops.

        Raises NotPrimary, NotReady, Overloaded and DiskFull, all definite, without using up the origin's number.
        """
        note_size = note_bound(request, note, self.limits)
        size = (size_bound(request) if size is None else size) + note_size
        refusal = self._refusal(size)
        if refusal is not None and (isinstance(refusal, NotPrimary) or not self.knows(origin)):
            raise refusal
        pending = Pending(
            request=request,
            on_reply=on_reply,
            on_lost=on_lost,
            size=size,
            origin=origin,
            note=note,
            note_size=note_size,
        )
        self._member.proposer.submit(pending)
        return pending

    def _refusal(self, size: int) -> NotPrimary | NotReady | Overloaded | DiskFull | None:
        """Why a request of this size can't be queued now."""
        member = self._member
        if not member.takes_requests:
            return self._not_primary()
        if member.checkpointer.disk_full or member.storage.journal.disk_full is not None:
            return DiskFull("the node's disk is full: writes are refused until there is space, reads go on")
        if not (member.is_alone or self.clock_synchronised):
            mark("group.clock_not_synchronised")
            return NotReady(
                f"the clock of group {self.name}'s primary doesn't agree with those of a quorum of its members: "
                "writes are refused until it does"
            )
        return member.proposer.queue.refusal(size)

    def knows(self, origin: Origin) -> bool:
        """Whether a request has its answer, or is in the pipeline: it is answered even when others are refused."""
        return self._member.proposer.knows(origin)

    async def execute(self, request: PlainRequest, origin: Origin, *, note: AuditEntry | None = None) -> Reply:
        """`submit` for a task that waits. Raises PrimaryLost or NotPrimary, too, when the request was lost."""
        answers: list[Reply | NotPrimary | PrimaryLost] = []
        done = trio.Event()

        def on_answer(answer: Reply | NotPrimary | PrimaryLost) -> None:
            answers.append(answer)
            done.set()

        self.submit(request, on_answer, origin, on_answer, note=note)
        await done.wait()
        answer = answers[0]
        if isinstance(answer, NotPrimary | PrimaryLost):
            raise answer
        return answer

    # Reads -----------------------------------------------------------------------------------------------------

    async def confirm(self) -> None:
        """Wait until `state` holds all that was acknowledged before this call. NotPrimary if nobody can tell."""
        await self._member.confirm()

    async def wait_applied(self, position: int, timeout_s: float) -> bool:
        """Wait until the event at this position is applied here; False after the timeout."""
        with trio.move_on_after(timeout_s):
            await self._progress.wait_until(lambda: self.state.next_position > position)
            return True
        return False

    async def wait_own_log(self) -> None:
        """Wait until all that this primary's log holds now is applied. NotPrimary, NotReady.

        What it knows to be committed isn't enough: a new primary learns last that the newest op of its log was, while
        the client that asked for it may have been answered by the one before.
        """
        refusal = self.not_serving()
        if refusal is not None:
            raise refusal
        held = self.replica.op
        with trio.move_on_after(OWN_LOG_SECONDS_MAX):
            await self._progress.wait_until(lambda: self.applied >= held)
            return
        raise self.not_serving() or NotReady(
            f"the primary of group {self.name} has applied op {self.applied} of {held}: no quorum has the others"
        )

    async def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until this holds of the committed state; at once if it holds now."""
        await self._progress.wait_until(reached)

    # Who is who ------------------------------------------------------------------------------------------------

    @property
    def is_serving(self) -> bool:
        """Whether this node is the primary, and takes requests."""
        return self._member.is_serving

    @property
    def missing_root_key(self) -> bytes:
        """The id of a root key without which this node applies nothing more, 16 bytes; empty: none is missing."""
        return self._missing_to_open or self._member.missing_root_key

    def go_on(self) -> None:
        """Root keys were given: what waited for one may be applied."""
        self._member.go_on()

    @property
    def leads_from(self) -> int | None:
        """The position of the first event that this node prepares as the primary it is now; None while it isn't."""
        return self._member.proposer.leads_from if self.is_serving else None

    @property
    def waiting(self) -> int:
        """Requests that were taken here and haven't committed."""
        return self._member.waiting

    def not_serving(self) -> NotPrimary | NotReady | None:
        """Why this node can't say what the group doesn't hold; None while it is the primary and takes requests."""
        if self.is_serving:
            return None
        if self.replica.is_serving_primary:
            return NotReady(f"this node has just become the primary of group {self.name}: try again in a moment")
        return self._not_primary()

    def primary_hint(self) -> str:
        """Where clients reach the primary, as far as this node knows; empty if it doesn't, or is it."""
        replica = self.replica
        if replica.status.value != "normal" or replica.primary == replica.replica:
            return ""
        return self.address_of(replica.primary)

    def address_of(self, node: int) -> str:
        """A member's address for clients; empty when it isn't known."""
        found = self._neighbours.directory.find(self.state, node)
        return "" if found is None else found.address

    @property
    def clock_synchronised(self) -> bool:
        """Whether this node's clock agrees with those of a quorum of the voters; a group of one needs nobody."""
        return self.is_alone or self._neighbours.clock_synchronised(self.replica.configuration)

    @property
    def is_alone(self) -> bool:
        """Whether the group has no other member."""
        return self._member.is_alone

    def reconfigure(
        self, change: PlainReconfigure, on_reply: OnReply, on_lost: OnLost, *, note: AuditEntry | None = None
    ) -> None:
        """`submit` for other members. InvalidArgument when the primary itself wouldn't be a voter."""
        if self.replica.is_serving_primary and self.replica.replica not in change.voters:
            raise InvalidArgument(
                f"node {self.replica.replica} is the primary of group {self.name}: it can't take its own vote away, "
                "expected it to abdicate first"
            )
        self.submit(change, on_reply, INTERNAL, on_lost, note=note)

    def abdicate(self) -> None:
        """Give up the view, if this node leads it and others can take over."""
        if not self._member.is_alone:
            self._member.driver.feed(Abdicate())

    def _not_primary(self) -> NotPrimary:
        if self.replica.status is Status.REMOVED:
            return self._removed()
        hint = self.primary_hint()
        where = f"send it to {hint}" if hint else "which node is, isn't known here yet"
        return NotPrimary(f"this node isn't the primary of group {self.name}: {where}", hint)

    def _removed(self) -> NotPrimary:
        """Who stays knows more; one after the other is named, as this node no longer hears which of them answer."""
        replica = self.replica
        staying = [node for node in replica.configuration.voters if node != replica.replica]
        self._named += 1
        hint = self.address_of(staying[(replica.view + self._named) % len(staying)]) if staying else ""
        where = f"send it to {hint}" if hint else "which nodes are still, isn't known here"
        return NotPrimary(f"this node was removed from group {self.name}: {where}", hint)

    # Running ---------------------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """A message of another node, in the order of arrival."""
        self._observer.on_receive(self.name, message)
        self._member.receive(message)

    def lose(self, node: int) -> None:
        """Nobody answers at this node's address any more."""
        self._member.lose(node)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Recover, then serve or follow until cancelled. Errors of the disk and broken invariants end it."""
        while True:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._member.run)
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await self._member.copying.synced.wait()
                nursery.cancel_scope.cancel()
            await self._open_anew()

    async def _open_anew(self) -> None:
        """State sync has made a newer checkpoint ready: close what is open, and open what that leaves behind."""
        mark("group.opened_anew")
        durable, preparer = self.superblock.state, self._member.preparer
        self._member.end()
        await self.storage.close()
        storage = await self._install(durable.cluster, preparer.keyring)
        log.info("group.synced", group=self.name, checkpoint_op=storage.superblock.state.checkpoint_op)
        for row in storage.state.keys():  # noqa: SIM118 - rows of the key store, not a dict's keys
            # Who waits for this state reads it at once: without its keys no name would be found.
            preparer.keyring.add(row)
        self._member = self._make_member(storage, preparer)
        # Changes of members that lie below the checkpoint aren't applied here: the state alone tells of them.
        self._neighbours.on_members(self.name, self.state)
        self._progress.tell()
        for tenant in self.state.tenants():
            self.signals.notify(tenant.tenant)

    async def _install(self, cluster: bytes, keyring: Keyring) -> GroupStorage:
        while True:
            try:
                found = await open_group(self.world.disk, self.name, cluster=cluster, root_key_ids=keyring.roots.ids)
            except DiskFull:
                mark("group.disk_full_at_install")
            except WrongKey as error:
                mark("group.installs_without_root_key")
                self._missing_to_open = error.missing
            else:
                self._missing_to_open = b""
                return found
            await trio.sleep(INSTALL_RETRY_SECONDS)

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
