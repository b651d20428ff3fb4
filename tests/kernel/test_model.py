"""The kernel against a model of plain dicts and lists, with forks, rollbacks, rebuilds and checkpoints."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from vdb.crypto.record import CHAIN_START, chain, record_leaf
from vdb.errors import RefusalCode
from vdb.evidence.merkle import Frontier
from vdb.kernel.apply import stored_reply
from vdb.kernel.command import (
    ANY,
    EMPTY,
    INTERNAL,
    Expected,
    ExpectedKind,
    MemberRow,
    OpenSession,
    Origin,
    Reconfigure,
    VoidTransaction,
)
from vdb.kernel.effect import AppendRecord, ChangeMembers, EvictSession
from vdb.kernel.reply import (
    Appended,
    PartKept,
    Reconfigured,
    Refusal,
    Reply,
    SessionOpened,
    StreamCreated,
    Voided,
)
from vdb.kernel.state import State
from vdb.kernel.streamid import first_session
from vdb.kernel.tables import Table
from vdb.limits import SESSION_WINDOW
from vdb.types import DataClass

SESSIONS_MAX = 3
TENANTS = st.integers(1, 3)
NAMES = st.sampled_from(["notes", "letters", "results"])
CLIENTS = st.integers(1, 5).map(lambda number: bytes((number,)) * 16)


@define
class Session:
    client: bytes
    replies: list[Reply] = field(factory=list)
    """All of them; the window is the kernel's business."""


@define
class Model:
    """What ought to be there, kept in the most obvious way."""

    streams: dict[tuple[int, str], tuple[int, DataClass]] = field(factory=dict)
    events: dict[tuple[int, int], list[int]] = field(factory=dict)
    """(tenant, stream) to the positions of its events."""
    log: list[tuple[int, int, int]] = field(factory=list)
    """(tenant, stream, offset) by position."""
    chains: dict[int, bytes] = field(factory=dict)
    frontiers: dict[int, Frontier] = field(factory=dict)
    sessions: dict[int, Session] = field(factory=dict)
    """In order of use, least recently used first."""
    next_session: int = 0
    time: int = 0
    sending: Sending | None = None
    epoch: int = 0
    voters: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()
    members: dict[int, MemberRow] = field(factory=dict)


@define
class Sending:
    """A transaction between two of its parts."""

    origin: Origin
    tenant: int
    conditions: dict[int, Expected]
    """By stream, in order."""
    left: list[tuple[int, int]]
    """(stream, events of a run) still to be sent."""
    transaction: int = 0
    parts: int = 0
    sent: dict[int, int] = field(factory=dict)
    """Events by stream."""
    records: int = 0


class KernelMachine(RuleBasedStateMachine):
    primary_class: type[Any]

    def __init__(self) -> None:
        super().__init__()
        self.primary = self.primary_class(sessions_max=SESSIONS_MAX)
        self.model = Model(next_session=first_session(self.primary.group))
        self.fork: tuple[State, Model] | None = None
        self.disk: dict[tuple[int, bytes], bytes] = {}

    @initialize()
    def keys(self) -> None:
        """Tenants 1 and 2 have a stream from the start, so that most appends find one."""
        for tenant in (1, 2, 3):
            self.primary.put_keys(tenant)
        for tenant in (1, 2):
            effects, reply = self.primary.apply(self.primary.create_command(tenant, "notes"))
            assert isinstance(reply, StreamCreated)
            self.created(tenant, "notes", DataClass.NON_PHI, reply, effects)

    # Requests

    @precondition(lambda self: self.model.sending is None)
    @rule(
        tenant=TENANTS, name=NAMES, data_class=st.sampled_from(DataClass), if_not_exists=st.booleans(), data=st.data()
    )
    def create(self, tenant: int, name: str, data_class: DataClass, if_not_exists: bool, data: st.DataObject) -> None:
        origin = self.draw_origin(data)
        if self.answered(origin):
            return
        command = self.primary.create_command(tenant, name, data_class, if_not_exists=if_not_exists)
        effects, reply = self.primary.apply(command, origin)
        held = self.model.streams.get((tenant, name))
        if held is None:
            assert reply == StreamCreated(command.stream, created=True)
            self.created(tenant, name, data_class, reply, effects)
        elif if_not_exists and held[1] is data_class:
            assert (effects, reply) == ((), StreamCreated(held[0], created=False))
        else:
            assert isinstance(reply, Refusal)
            assert (effects, reply.code) == ((), RefusalCode.STREAM_EXISTS)
        self.executed(origin, reply)

    @precondition(lambda self: self.model.sending is None)
    @rule(data=st.data(), sound=st.sampled_from([True, True, False]))
    def append(self, data: st.DataObject, sound: bool) -> None:
        """Sound ones name streams that are there, once each; the others whatever comes."""
        origin = self.draw_origin(data)
        if self.answered(origin):
            return
        tenants = [tenant for tenant, _ in self.model.streams]
        tenant = data.draw(st.sampled_from(tenants) if sound and tenants else TENANTS)
        names = [name for owner, name in self.model.streams if owner == tenant]
        streams = st.lists(
            st.sampled_from(names) if sound and names else NAMES, min_size=int(sound), max_size=3, unique=sound
        )
        counts = st.lists(st.integers(1, 3), min_size=int(sound), max_size=2)
        ways = st.sampled_from(["any", "none", "exact", "exact", "wrong"] if not sound else ["any", "exact"])
        appends = [(*self.condition(tenant, name, data.draw(ways)), data.draw(counts)) for name in data.draw(streams)]
        effects, reply = self.primary.apply(self.primary.append_command(tenant, appends), origin)
        refusal = self.refusal_of(tenant, appends)
        if refusal is None:
            assert isinstance(reply, Appended)
            heads = [(one.stream, one.first_offset, one.next_offset) for one in reply.streams]
            expected = []
            for stream, _, counts in appends:
                head = len(self.model.events[tenant, stream])
                expected.append((stream, head, head + sum(counts)))
            assert heads == expected
            assert (reply.first_position, reply.timestamp) == (len(self.model.log), self.primary.clock)
            self.take_records(effects)
            assert reply.next_position == len(self.model.log)
        else:
            assert isinstance(reply, Refusal)
            assert (effects, reply.code) == ((), refusal)
        self.executed(origin, reply)

    @rule(client=CLIENTS)
    def open(self, client: bytes) -> None:
        effects, reply = self.primary.apply(OpenSession(), Origin(client))
        sessions = self.model.sessions
        evicted = [number for number, session in sessions.items() if session.client == client]
        if not evicted and len(sessions) == SESSIONS_MAX:
            evicted = [next(iter(sessions))]
        assert effects == tuple(EvictSession(number) for number in evicted)
        for number in evicted:
            del sessions[number]
            if self.model.sending is not None and self.model.sending.origin.session == number:
                self.model.sending = None
        assert reply == SessionOpened(self.model.next_session)
        sessions[self.model.next_session] = Session(client)
        self.model.next_session += 1

    # Transactions

    @precondition(lambda self: self.model.sending is None and self.model.streams)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """The first part of a transaction whose conditions hold: the primary sends no other."""
        origin = self.draw_origin(data)
        if self.answered(origin):
            return
        tenant = data.draw(st.sampled_from([tenant for tenant, _ in self.model.streams]))
        names = [name for owner, name in self.model.streams if owner == tenant]
        chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        conditions = dict(self.condition(tenant, name, data.draw(st.sampled_from(["any", "exact"]))) for name in chosen)
        left = [
            (stream, count) for stream in conditions for count in data.draw(st.lists(st.integers(1, 3), max_size=3))
        ]
        if left:
            self.model.sending = Sending(origin, tenant, conditions, left)
            self.send_part(data)

    @precondition(lambda self: self.model.sending is not None)
    @rule(data=st.data())
    def send_part(self, data: st.DataObject) -> None:
        """The next runs, perhaps all that are left."""
        sending = self.model.sending
        size = data.draw(st.integers(1, len(sending.left)))
        runs, sending.left = sending.left[:size], sending.left[size:]
        last = not sending.left
        pieces = []
        for stream in sending.conditions if last and not sending.parts else dict.fromkeys(stream for stream, _ in runs):
            start = len(self.model.events[sending.tenant, stream]) + sending.sent.get(stream, 0)
            counts = [count for owner, count in runs if owner == stream]
            pieces.append((stream, sending.conditions[stream], start, counts))
            sending.sent[stream] = sending.sent.get(stream, 0) + sum(counts)
        command = self.primary.part_command(
            sending.tenant, sending.parts, pieces, transaction=sending.transaction, last=last
        )
        effects, reply = self.primary.apply(command, sending.origin)
        sending.transaction = command.transaction
        sending.parts += 1
        sending.records += size
        if not last:
            assert (effects, reply) == ((), PartKept(command.transaction, command.number))
            return
        self.model.sending = None
        assert isinstance(reply, Appended)
        assert (reply.first_position, reply.timestamp) == (len(self.model.log), command.transaction)
        for one in reply.streams:
            head = len(self.model.events[sending.tenant, one.stream])
            assert (one.first_offset, one.next_offset) == (head, head + sending.sent[one.stream])
        self.take_records(effects)
        assert reply.next_position == len(self.model.log)
        self.executed(sending.origin, reply)

    @rule(known=st.booleans())
    def void(self, known: bool) -> None:
        """What a new primary does. A transaction that isn't there is void already."""
        sending = self.model.sending
        transaction = sending.transaction if known and sending is not None else 7
        assert self.primary.apply(VoidTransaction(transaction=transaction)) == ((), Voided(transaction))
        if transaction != 7:
            self.model.sending = None

    @rule(
        nodes=st.lists(st.integers(0, 8), min_size=1, max_size=8, unique=True),
        learners=st.integers(0, 3),
        with_rows=st.integers(0, 4),
        stale=st.sampled_from([0, 0, 0, 1]),
    )
    def reconfigure(self, nodes: list[int], learners: int, with_rows: int, stale: int) -> None:
        """Members come and go; a change of an older configuration, or one with too many voters, is refused."""
        model, cut = self.model, max(1, len(nodes) - learners)
        rows = [
            MemberRow(node=node, name=f"n{node}", peer_address=f"p:{model.time}", address="a:1", disk_id=bytes(16))
            for node in nodes[:with_rows]
        ]
        command = Reconfigure(
            epoch=model.epoch + 1 + len(nodes),
            base_epoch=model.epoch + stale,
            voters=tuple(nodes[:cut]),
            learners=tuple(nodes[cut:]),
            members=tuple(rows),
        )
        effects, reply = self.primary.apply(command)
        if stale or cut > 6:
            assert isinstance(reply, Refusal)
            code = RefusalCode.CONFIGURATION_CHANGED if stale else RefusalCode.INVALID_ARGUMENT
            assert (effects, reply.code) == ((), code)
            return
        assert (effects, reply) == ((ChangeMembers(command.epoch),), Reconfigured(command.epoch))
        model.epoch, model.voters, model.learners = command.epoch, command.voters, command.learners
        model.members = {node: row for node, row in model.members.items() if node in nodes}
        model.members.update({row.node: row for row in rows})

    @invariant()
    def members_are_the_models(self) -> None:
        held, model = self.primary.state.membership(), self.model
        assert (held.epoch, held.voters, held.learners) == (model.epoch, model.voters, model.learners)
        assert {row.node: row for row in self.primary.state.members()} == model.members

    @invariant()
    def parts_are_the_models(self) -> None:
        sending, held = self.model.sending, self.primary.state.transaction()
        kept = self.primary.state.tables()[Table.PARTS]
        if sending is None:
            assert (held, len(kept)) == (None, 0)
        else:
            assert (held.origin, held.tenant, held.parts) == (sending.origin, sending.tenant, sending.parts)
            assert {one.stream: one.count for one in held.targets} == sending.sent
            assert len(kept) == held.records == sending.records

    @precondition(lambda self: self.model.sessions and self.model.sending is None)
    @rule(data=st.data(), times=st.integers(SESSION_WINDOW - 1, SESSION_WINDOW + 2))
    def refused_many_times(self, data: st.DataObject, times: int) -> None:
        """Fills the window of one session."""
        number, session = data.draw(st.sampled_from(list(self.model.sessions.items())))
        for _ in range(times):
            origin = Origin(session.client, number, len(session.replies) + 1)
            _, reply = self.primary.apply(self.primary.append_command(9, []), origin)
            self.executed(origin, reply)

    @precondition(lambda self: self.model.sessions)
    @rule(data=st.data(), back=st.sampled_from([-2, 0, 1, SESSION_WINDOW - 1, SESSION_WINDOW, SESSION_WINDOW + 1]))
    def ask_again(self, data: st.DataObject, back: int) -> None:
        """A retry, an old number, or one too far ahead."""
        session, held = data.draw(st.sampled_from(list(self.model.sessions.items())))
        last = len(held.replies)
        number = last - back
        if number < 1 or number == last + 1:
            return
        reply = stored_reply(self.primary.state, Origin(held.client, session, number))
        if number > last:
            assert isinstance(reply, Refusal)
            assert reply.code is RefusalCode.SESSION_GAP
        elif back >= SESSION_WINDOW:
            assert isinstance(reply, Refusal)
            assert reply.code is RefusalCode.REQUEST_TOO_OLD
        else:
            assert reply == held.replies[number - 1]

    # What storage and the primary do with states

    @rule()
    def fork_here(self) -> None:
        self.fork = (self.primary.state, deepcopy(self.model))

    @precondition(lambda self: self.fork is not None)
    @rule()
    def roll_back(self) -> None:
        assert self.fork is not None
        self.primary.state, self.model = self.fork[0], deepcopy(self.fork[1])
        self.fork = None
        self.disk = self.primary.rows()
        _, self.primary.state = self.primary.state.take_changed()

    @rule()
    def rebuild(self) -> None:
        state = self.primary.state
        rows = [(table, key, value) for table, rows in state.tables().items() for key, value in rows.items()]
        again = State.from_rows(state.group, state.sessions_max, reversed(rows))
        assert again == state
        assert again.digest() == state.digest()
        self.disk = self.primary.rows()
        self.primary.state = again

    @rule()
    def checkpoint(self) -> None:
        changed, self.primary.state = self.primary.state.take_changed()
        for table, rows in changed.items():
            for key, value in rows.items():
                if value is None:
                    self.disk.pop((table, key), None)
                else:
                    self.disk[table, key] = value
        assert self.disk == self.primary.rows()
        self.fork = None

    # Invariants

    @invariant()
    def streams_are_the_models(self) -> None:
        state = self.primary.state
        assert state.next_position == len(self.model.log)
        assert state.stream_count == len(self.model.streams)
        for (tenant, name), (stream, data_class) in self.model.streams.items():
            held = state.stream(tenant, stream)
            positions = self.model.events[tenant, stream]
            assert (held.data_class, held.next_offset) == (data_class, len(positions))
            assert not positions or held.last_position == positions[-1]
            assert held in state.streams(tenant)
            assert state.stream_by_lookup(tenant, self.primary.create_command(tenant, name).lookup) == held

    @invariant()
    def tenants_are_the_models(self) -> None:
        for tenant in self.primary.state.tenants():
            log = [stream for owner, stream, _ in self.model.log if owner == tenant.tenant]
            position = max(at for at, (owner, _, _) in enumerate(self.model.log) if owner == tenant.tenant)
            assert tenant.next_position == position + 1
            assert (tenant.event_count, tenant.stream_count) == (len(log), log.count(0))
            assert tenant.chain == self.model.chains[tenant.tenant]
            assert tenant.frontier == self.model.frontiers[tenant.tenant]

    @invariant()
    def sessions_are_the_models(self) -> None:
        state = self.primary.state
        assert state.session_count == len(self.model.sessions)
        for number, session in self.model.sessions.items():
            held = state.session(number)
            assert (held.client, held.last_number) == (session.client, len(session.replies))

    # Between kernel and model

    def created(
        self, tenant: int, name: str, data_class: DataClass, reply: StreamCreated, effects: tuple[object, ...]
    ) -> None:
        self.model.streams[tenant, name] = (reply.stream, data_class)
        self.model.events[tenant, reply.stream] = []
        self.take_records(effects)

    def draw_origin(self, data: st.DataObject) -> Origin:
        """No session, or the next request of one, or a retry, or one of a session that isn't there."""
        kind = data.draw(st.sampled_from(["none", "none", "next", "next", "next", "retry", "unknown"]))
        if kind == "unknown":
            return Origin(b"?" * 16, first_session(self.primary.group), 1)
        if kind == "none" or not self.model.sessions:
            return INTERNAL
        session, held = data.draw(st.sampled_from(list(self.model.sessions.items())))
        return Origin(held.client, session, max(1, len(held.replies) + (kind == "next")))

    def answered(self, origin: Origin) -> bool:
        """Whether the origin has its answer; the kernel then gives it without building a command."""
        reply = stored_reply(self.primary.state, origin)
        session = self.model.sessions.get(origin.session)
        if origin.session == 0 or (
            session and session.client == origin.client and origin.number > len(session.replies)
        ):
            assert reply is None
        elif session is None or session.client != origin.client:
            assert isinstance(reply, Refusal)
            assert reply.code is RefusalCode.SESSION_EXPIRED
        elif origin.number > len(session.replies):
            assert reply is None
        else:
            assert reply == session.replies[origin.number - 1]
        return reply is not None

    def executed(self, origin: Origin, reply: Reply) -> None:
        if origin.session:
            session = self.model.sessions.pop(origin.session)
            session.replies.append(reply)
            self.model.sessions[origin.session] = session

    def condition(self, tenant: int, name: str, how: str) -> tuple[int, Expected]:
        stream = self.model.streams.get((tenant, name), (77, None))[0]
        head = len(self.model.events.get((tenant, stream), []))
        exact = Expected(ExpectedKind.EXACT, head + (how == "wrong"))
        return stream, {"any": ANY, "none": EMPTY}.get(how, exact)

    def refusal_of(self, tenant: int, appends: list[tuple[int, Expected, list[int]]]) -> RefusalCode | None:
        streams = [stream for stream, _, _ in appends]
        if all(owner != tenant for owner, _ in self.model.streams):
            return RefusalCode.UNKNOWN_TENANT
        if any((tenant, stream) not in self.model.events for stream in streams):
            return RefusalCode.UNKNOWN_STREAM
        if any(streams.count(stream) > 1 for stream in streams):
            return RefusalCode.INVALID_ARGUMENT
        for stream, expected, _ in appends:
            head = len(self.model.events[tenant, stream])
            if (expected.kind is ExpectedKind.NONE and head) or (
                expected.kind is ExpectedKind.EXACT and expected.offset != head
            ):
                return RefusalCode.WRONG_EXPECTED_OFFSET
        return None if any(counts for _, _, counts in appends) else RefusalCode.INVALID_ARGUMENT

    def take_records(self, effects: tuple[object, ...]) -> None:
        """The effects, in order, are the log: positions and offsets without gaps."""
        for effect in effects:
            if not isinstance(effect, AppendRecord):
                continue
            tenant = effect.tenant
            leaf = record_leaf(effect.record)
            self.model.chains[tenant] = chain(self.model.chains.get(tenant, CHAIN_START), leaf)
            self.model.frontiers[tenant] = self.model.frontiers.get(tenant, Frontier()).append(leaf)
            assert effect.first_position == len(self.model.log)
            for offset in range(effect.first_offset, effect.first_offset + effect.count):
                place = self.model.events.get((tenant, effect.stream))
                if effect.stream:
                    assert place is not None
                    assert offset == len(place)
                    place.append(len(self.model.log))
                self.model.log.append((tenant, effect.stream, offset))


def test_the_kernel_is_the_model(primary_class: type[Any]) -> None:
    KernelMachine.primary_class = primary_class
    run_state_machine_as_test(KernelMachine, settings=settings(max_examples=80, stateful_step_count=40, deadline=None))
