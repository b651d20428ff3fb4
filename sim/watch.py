"""The onlooker of a run: it hands each event of each replica to the checkers of its group and to the trace.

`Watch` has the checkers, which survive every node's restarts; `observer(machine)` gives the ears of one machine. What
an incarnation reports after its crash isn't heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from sim.checkers.acks import Acks
from sim.checkers.checkpoints import Checkpoints
from sim.checkers.choices import Choices
from sim.checkers.commits import Commits
from sim.checkers.ledger import Ledger
from sim.checkers.logs import Logs
from sim.checkers.media import Platter
from sim.checkers.promises import Promises
from sim.checkers.rounds import Rounds
from sim.checkers.shadow import Shadow
from sim.checkers.standing import check_standing
from sim.checkers.votes import Votes
from sim.checkers.wishes import Wishes
from sim.machine import Machine
from sim.regions import Regions
from sim.trace import Trace, short
from sim.verdict import Verdict
from vdb.kernel.command import Request
from vdb.kernel.reply import Reply
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.node.observer import Observer
from vdb.node.replication.group import Group
from vdb.storage.superblock_layout import SuperblockState
from vdb.types import GroupId
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import CommitOk, DoViewChange, Message, PrepareOk, StartView, StartViewChange
from vdb.vsr.replica import Replica
from vdb.vsr.tail import decode_log


@define
class GroupWatch:
    """The checkers of one group."""

    ledger: Ledger
    shadow: Shadow
    checkpoints: Checkpoints
    acks: Acks
    votes: Votes
    choices: Choices
    logs: Logs
    wishes: Wishes
    rounds: Rounds
    replicas: dict[int, Promises]
    commits: Commits
    founding: Configuration
    lost: dict[int, int] = field(factory=dict)
    """Nodes whose disk was lost, with the epoch that held then: they count again in a newer configuration alone."""

    @property
    def promises(self) -> Promises:
        """Those of the first replica."""
        return next(iter(self.replicas.values()))

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the nodes that are members now: one that was let go keeps the state that it had then."""
        return self.configuration_before(self.ledger.head + 1).members

    def configuration_before(self, op: int) -> Configuration:
        """The one that holds at the op before this one."""
        before = self.ledger.ops.get(op - 1)
        return self.founding if before is None else before.header.configuration


@define
class Watch:
    """See the module's docstring. `platters` by node number; `machines` may still be filled when this is made."""

    groups: tuple[str, ...]
    limits: Limits
    verdict: Verdict
    trace: Trace
    platters: Mapping[int, Platter]
    machines: Mapping[int, Machine]
    places: Regions
    watches: dict[str, GroupWatch] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.watches = {group: self._make(group) for group in self.groups}

    def _make(self, group: str) -> GroupWatch:
        verdict, limits = self.verdict, self.limits
        ledger = Ledger(group, limits, verdict)
        acks = Acks(group, verdict)
        replicas = {
            number: Promises(group, limits, verdict, platter, f"replica {number}")
            for number, platter in self.platters.items()
            if number in self.places.holders(group)
        }
        return GroupWatch(
            ledger=ledger,
            shadow=Shadow(group, limits.sessions_max, verdict, limits.checkpoint_interval, limits.event_ids_max),
            checkpoints=Checkpoints(group, verdict),
            acks=acks,
            votes=Votes(group, verdict),
            choices=Choices(group, verdict),
            logs=Logs(group, ledger, verdict),
            wishes=Wishes(group, verdict),
            rounds=Rounds(group, verdict),
            replicas=replicas,
            commits=Commits(group, limits, verdict, acks, replicas),
            founding=Configuration.founding(self.places.founders(group)),
        )

    @property
    def ops_committed(self) -> int:
        return sum(watch.ledger.head for watch in self.watches.values())

    def of(self, number: int) -> list[GroupWatch]:
        """Of the groups that this machine holds, or may come to hold."""
        return [watch for watch in self.watches.values() if number in watch.replicas]

    def observer(self, machine: Machine) -> Observer:
        """The ears of this machine's present incarnation."""
        return Ears(self, machine)

    def on_end(self, machine: Machine) -> None:
        """An incarnation of this machine's node has ended."""
        for watch in self.of(machine.number):
            watch.acks.check_kept(machine.number, watch.replicas[machine.number])

    def on_wiped(self, number: int) -> None:
        """The machine has another disk."""
        for watch in self.of(number):
            watch.lost[number] = watch.configuration_before(watch.ledger.head + 1).epoch
            watch.acks.on_wiped(number)
            watch.votes.on_wiped(number)
            watch.replicas[number].on_wiped()


def _check_counted(watch: GroupWatch, replica: Replica) -> None:
    """Of a primary that serves: what it has counted so far."""
    if replica.is_serving_primary:
        watch.commits.on_counted(replica.view, replica.acks, replica.log.header)


class Ears(Observer):
    """What one incarnation reports."""

    def __init__(self, watch: Watch, machine: Machine) -> None:
        self._watch = watch
        self._machine = machine
        self._number = machine.number
        self._incarnation = machine.incarnation
        self._opened: dict[str, None] = {}
        """Groups whose superblock this incarnation has opened."""

    def _hears(self) -> bool:
        machine = self._machine
        return machine.incarnation == self._incarnation and machine.is_alive()

    def _group(self, group: GroupId) -> Group | None:
        return self._machine.node.groups.get(group) if self._machine.node is not None else None

    def _add(self, kind: str, *details: str | bytes | int | None) -> None:
        self._watch.trace.add(self._machine.who, kind, *details)

    # The node's events -----------------------------------------------------------------------------------------

    def on_truncate(self, group: GroupId, op: int) -> None:
        if self._hears():
            watch = self._watch.watches[group]
            self._add("cut", group, op)
            found = self._group(group)
            view = found.replica.view if found is not None else watch.replicas[self._number].view
            watch.logs.on_cut(self._number, op, watch.replicas[self._number], view)
            watch.acks.on_cut(self._number, op)
            watch.replicas[self._number].on_cut(op)

    def on_view(self, group: GroupId, view: int, log_view: int, status: str) -> None:
        if not self._hears():
            return
        self._add("view", group, view, log_view, status)
        found = self._group(group)
        if found is not None:
            self._watch.watches[group].wishes.on_view(found.replica, view)

    def on_receive(self, group: GroupId, message: Message) -> None:
        if not self._hears():
            return
        found = self._group(group)
        if found is None:
            return
        watch = self._watch.watches[group]
        watch.logs.on_receive(found.replica, message)
        if isinstance(message, PrepareOk):
            _check_counted(watch, found.replica)
        if isinstance(message, StartViewChange):
            watch.wishes.on_receive(found.replica, message)

    def on_prepare(self, group: GroupId, prepare: Prepare) -> None:
        if not self._hears():
            return
        header = prepare.header
        self._add("prepare", group, header.op, header.checksum)
        watch = self._watch.watches[group]
        watch.acks.on_replaced(self._number, header.op, header.checksum)
        found = self._group(group)
        replica = found.replica if found is not None else None
        if replica is not None and replica.status.value == "normal":
            watch.logs.on_written(self._number, replica.log_view, header)
        proposed = replica is not None and replica.is_primary and header.view == replica.view
        in_flight = header.op - replica.commit_number if proposed and replica is not None else 0
        watch.replicas[self._number].on_prepare(prepare, in_flight=in_flight)
        if proposed and replica is not None:
            _check_counted(watch, replica)
            # What is in the pipeline below isn't committed yet; only a reconfiguration has nothing below it.
            holds = watch.configuration_before(header.op) if header.is_reconfiguration else header.configuration
            watch.commits.on_propose(header, holds)

    def on_durable(self, group: GroupId, header: PrepareHeader) -> None:
        if self._hears():
            self._watch.watches[group].replicas[self._number].on_durable(header)

    def on_send(self, group: GroupId, to: int, message: Message) -> None:
        if not self._hears():
            return
        watch = self._watch.watches[group]
        promises = watch.replicas[self._number]
        found = self._group(group)
        if found is not None:
            check_standing(
                self._watch.verdict, group, self._number, message, found.replica, watch.lost.get(self._number, -1)
            )
        promises.on_send(message)
        if isinstance(message, PrepareOk):
            watch.acks.on_ack(self._number, message)
        elif isinstance(message, DoViewChange):
            self._add("vote", group, message.view, message.log_view, message.commit, len(message.tail))
            watch.acks.on_vote(self._number, message)
            watch.votes.on_vote(self._number, message, promises)
        elif isinstance(message, StartView):
            self._add("start view", group, message.view, message.commit)
            watch.logs.on_start_view(message)
        elif isinstance(message, CommitOk):
            watch.rounds.on_answer(self._number, to, message)

    def on_read_asks(self, group: GroupId, read: int) -> None:
        if self._hears():
            watch = self._watch.watches[group]
            head = watch.ledger.head
            watch.rounds.on_asks((self._number, self._incarnation), read, head, watch.configuration_before(head + 1))

    def on_read_confirmed(self, group: GroupId, read: int) -> None:
        found = self._group(group)
        if self._hears() and found is not None:
            rounds = self._watch.watches[group].rounds
            rounds.on_confirmed((self._number, self._incarnation), read, found.applied, alone=found.is_alone)

    def on_commit(
        self, group: GroupId, header: PrepareHeader, requests: Sequence[Request], replies: Sequence[Reply]
    ) -> None:
        if not self._hears():
            return
        watch, number = self._watch.watches[group], self._number
        self._add("commit", group, header.op, header.checksum, header.timestamp, repr(replies))
        found = self._group(group)
        assert found is not None
        view = None
        if header.op not in watch.ledger.ops:
            view = watch.commits.on_first_commit(header, watch.configuration_before(header.op))
        if watch.ledger.on_commit(header, requests, replies, replica=number, view=view):
            watch.shadow.on_commit(header, requests, replies)
        if watch.shadow.is_compared(header.op):
            watch.shadow.check_digest(header.op, found.state.digest(), self._machine.who)

    def on_checkpoint(self, group: GroupId, op: int, checkpoint_id: bytes) -> None:
        if self._hears():
            self._add("checkpoint", group, op, checkpoint_id)
            self._watch.watches[group].checkpoints.on_checkpoint(op, checkpoint_id, self._machine.who)

    def on_superblock(self, group: GroupId, state: SuperblockState) -> None:
        if not self._hears():
            return
        watch = self._watch.watches[group]
        self._add("superblock", group, state.sequence, state.view, state.checkpoint_op)
        watch.replicas[self._number].on_superblock(state)
        watch.acks.on_superblock(self._number, state.log_view, state.tail)
        self._check_chosen(watch, group, state)
        if state.checkpoint_op:
            watch.checkpoints.on_checkpoint(state.checkpoint_op, state.checkpoint_id, self._machine.who)
        if group not in self._opened:
            self._opened[group] = None
            watch.ledger.on_start(state.checkpoint_op, self._number)
            watch.wishes.on_start(self._number)

    def _check_chosen(self, watch: GroupWatch, group: GroupId, state: SuperblockState) -> None:
        """What a new primary made durable is the log that its votes name."""
        found = self._group(group)
        replica = found.replica if found is not None else None
        started = decode_log(state.tail)
        if (
            replica is None
            or started is None
            or not (replica.starting and replica.view == state.view == state.log_view)
        ):
            return
        commit = max(vote.commit for vote in replica.votes.values())
        holds = watch.configuration_before(commit + 1)
        watch.choices.on_chosen(self._number, state.view, replica.votes, started[1], holds)

    def on_recovered(self, group: GroupId, commit_number: int, state: State) -> None:
        if not self._hears():
            return
        digest = state.digest()
        watch = self._watch.watches[group]
        self._add("recovered", group, commit_number, short(digest))
        if len(watch.founding.voters) == 1 and len(watch.replicas) == 1:
            self._watch.verdict.check(
                "I5",
                commit_number >= watch.ledger.head,
                f"{group}: recovered up to op {commit_number}; op {watch.ledger.head} was committed before",
            )
        if watch.ledger.at.get(self._number, 0) != commit_number:
            watch.ledger.on_start(commit_number, self._number)  # opened anew, from what a state sync installed
        watch.shadow.check_digest(commit_number, digest, self._machine.who)
