"""The ledger of one group: every op that was ever committed, executed once more by the checker's own small rules.

It is fed by the observers' `on_commit`, of every replica and each of its incarnations, and checks
- I1, I2, I3, I4, I31: one checksum per op for ever, ops in order, chained, views and timestamps rising;
- I19, I20, I21: sessions (`SessionTable`), each payload's record once;
- gap-free offsets and positions, and conditions on offsets, by counting;
- event ids: what streams remember of them isn't appended again (`EventIds`);
- transactions: parts in consecutive ops of one view, with nothing between them, closed whole or void (`Parts`);
- I20, I24: an op gives the same replies on every replica, and in each replay.
What it collects, `frames`, says what the segments must hold; `keys` are the rows of the key store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from sim.checkers.event_ids import EventIds
from sim.checkers.parts import Parts
from sim.checkers.sessions import Due, SessionTable, refused_as
from sim.verdict import Verdict
from vdb.errors import RefusalCode
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import (
    AppendBatch,
    AppendPart,
    CreateStream,
    KeyRow,
    KnownAppend,
    OpenSession,
    Origin,
    PutKey,
    Request,
    RewrapKeys,
    StartPeriod,
    StreamAppend,
    VoidTransaction,
)
from vdb.kernel.consumer_command import SettleLetters
from vdb.kernel.erasure_command import ErasureCommand, Prune
from vdb.kernel.governance_command import GovernanceCommand
from vdb.kernel.reply import (
    Appended,
    AuditAppended,
    KeysRewrapped,
    PartKept,
    PeriodStarted,
    Refusal,
    Reply,
    SessionOpened,
    StreamCreated,
)
from vdb.limits import Limits
from vdb.types import GLOBAL_GROUP, DataClass, TenantId, audit_log_of
from vdb.vsr.header import PrepareHeader

CATALOGUE = 0
AUDIT_STREAM = 1
"""The one stream of an audit log."""
_DEED_REQUESTS = 2
"""That the primary adds to what is done with dead letters: a stream's creation, and an append to it."""
Stream = tuple[int, int]
"""Tenant and stream id."""


@frozen
class Frame:
    """One sealed record, where the event log must hold it."""

    op: int
    request: int
    """Index of its request in the op."""
    position: int
    stream: int
    offset: int
    count: int
    record: bytes
    created: int = 0
    """The id that a catalogue record gives a name to."""


@frozen
class Write:
    """Events, or a stream, that became PHI of a tenant."""

    op: int
    tenant: int
    stream: int
    first: int = 0
    count: int = 0
    creates: bool = False


@define
class Committed:
    header: PrepareHeader
    replies: tuple[Reply, ...]
    view: int
    """The view in which it was committed first."""
    tick: int = 0
    """Of the clients' history, when it was."""


@define
class Ledger:
    """See the module's docstring."""

    group: str
    limits: Limits
    verdict: Verdict
    ops: dict[int, Committed] = field(factory=dict)
    frames: dict[int, list[Frame]] = field(factory=dict)
    """Per tenant, in position order; those of its audit log under the number of that log."""
    pruned: dict[int, dict[int, int]] = field(factory=dict)
    """Per tenant, by segment: the op that pruned it."""
    phi: dict[Stream, None] = field(factory=dict)
    """Streams of PHI."""
    moment: Callable[[], int] = lambda: 0
    """The tick of the clients' history (`sim.history`)."""
    writes: list[Write] = field(factory=list)
    """Of PHI, which audit logs must tell of."""
    keys: list[KeyRow] = field(factory=list)
    """As they were put, and wrapped anew, in this order."""
    periods: dict[int, list[tuple[int, int]]] = field(factory=dict)
    """Per tenant: op and request that began periods 1, 2, ... of its keys."""
    next_position: int = 0
    head: int = 0
    """The highest op that was ever committed."""
    at: dict[int, int] = field(factory=dict)
    """The op up to which each replica's present incarnation has committed."""
    on_erasure: Callable[[str, int, ErasureCommand, Reply], None] | None = None
    on_governed: Callable[[str, int, int, GovernanceCommand, Reply], None] | None = None
    """Told of policies, grants and consents: group, op, time, command and reply."""
    sessions: SessionTable = field(init=False)
    parts: Parts = field(init=False)
    event_ids: EventIds = field(init=False)
    _next_offset: dict[Stream, int] = field(factory=dict)
    _place: tuple[int, int] = (0, 0)

    def __attrs_post_init__(self) -> None:
        self.sessions = SessionTable(self.limits.sessions_max)
        self.parts = Parts(self.group, self.verdict)
        self.event_ids = EventIds(self.group, self.limits.event_ids_max, self.verdict)

    def on_start(self, commit: int, replica: int = 0) -> None:
        """A new incarnation starts with the ops up to `commit` already in its state; so it does after a state sync."""
        self.verdict.check(
            "I2",
            commit <= self.head,
            f"{self.group}: replica {replica} started from op {commit}, of {self.head} that were ever committed",
        )
        self.at[replica] = commit

    def on_commit(
        self,
        header: PrepareHeader,
        requests: Sequence[Request],
        replies: Sequence[Reply],
        *,
        replica: int = 0,
        view: int | None = None,
    ) -> bool:
        """One op was committed and applied there, in that view; True when for the first time anywhere."""
        check = self.verdict.check
        before = self.at.get(replica, 0)
        name = f"{self.group}: op {header.op}"
        check("I2", header.op == before + 1, f"{name} was committed by replica {replica} after op {before}")
        self.at[replica] = header.op
        known = self.ops.get(header.op)
        if known is None:
            self._commit_first(header, requests, tuple(replies), header.view if view is None else view)
            return True
        if check(
            "I1",
            known.header.checksum == header.checksum,
            f"{name} was committed as {known.header.checksum.hex()[:12]}, and by replica {replica} as "
            f"{header.checksum.hex()[:12]}",
        ):
            check(
                "I20",
                known.replies == tuple(replies),
                f"{name} was answered {known.replies}, and by replica {replica} {tuple(replies)}",
            )
        return False

    def _commit_first(
        self, header: PrepareHeader, requests: Sequence[Request], replies: tuple[Reply, ...], view: int
    ) -> None:
        check = self.verdict.check
        if not check("I2", header.op == self.head + 1, f"{self.group}: op {header.op} follows op {self.head}"):
            return
        if header.op > 1:
            before = self.ops[header.op - 1].header
            check(
                "I3", header.parent == before.checksum, f"{self.group}: op {header.op} isn't chained to the op before"
            )
            check(
                "I4",
                header.view >= before.view,
                f"{self.group}: op {header.op} is of view {header.view}, the op before of view {before.view}",
            )
            check(
                "I31",
                header.timestamp >= before.timestamp + max(1, before.request_count),
                f"{self.group}: op {header.op} has time {header.timestamp}, the op before ended at "
                f"{before.timestamp + before.request_count - 1}",
            )
        else:
            check("I3", header.parent == bytes(32), f"{self.group}: op 1 has a parent")
        told = [one.command for one in requests if isinstance(one.command, SettleLetters) and one.command.positions]
        asked = sum(
            not isinstance(request.command, PutKey | StartPeriod | AuditAppend) for request in requests
        ) - _DEED_REQUESTS * len(told)
        check(
            "I32",
            asked <= self.limits.requests_per_prepare_max and header.size <= self.limits.message_size_max,
            f"{self.group}: op {header.op} has {asked} requests beside keys, deeds and audits, in {header.size} bytes",
        )
        self.ops[header.op] = Committed(header, replies, view, self.moment())
        self.head = header.op
        if check(
            "one-reply",
            len(requests) == len(replies) == header.request_count,
            f"{self.group}: op {header.op} has {len(requests)} requests and {len(replies)} replies",
        ):
            for index, (request, reply) in enumerate(zip(requests, replies, strict=True)):
                self._place = (header.op, index)
                self._execute(header.op, request, reply)

    def _execute(self, op: int, request: Request, reply: Reply) -> None:
        origin = request.origin
        if isinstance(request.command, PutKey):
            self.keys.append(request.command.row)
        elif isinstance(request.command, RewrapKeys) and isinstance(reply, KeysRewrapped):
            self.keys += request.command.rows
        elif isinstance(request.command, StartPeriod) and reply == PeriodStarted(request.command.period):
            self.periods.setdefault(request.command.tenant, []).append(self._place)
        if isinstance(request.command, OpenSession):
            if isinstance(reply, SessionOpened):
                self._open(op, origin, reply.session)
            return
        if origin.session:
            due = self.sessions.due(origin)
            if due is Due.REPEAT:
                stored = self.sessions.stored(origin)
                self.verdict.check(
                    "I20", stored == reply, f"{self._name(op, origin)} was answered {stored}, and a retry of it {reply}"
                )
                return
            if due is not Due.EXECUTE:
                self.verdict.check(
                    "I21", refused_as(reply, due), f"{self._name(op, origin)}: {due.value} was due, it got {reply}"
                )
                return
            self.verdict.check(
                "I21",
                not any(refused_as(reply, refusal) for refusal in (Due.EXPIRED, Due.TOO_OLD, Due.GAP)),
                f"{self._name(op, origin)} was next in its session, and got {reply}",
            )
            if not isinstance(reply, PartKept):
                self.sessions.executed(origin, reply)
        self._count(op, request, reply)

    def _open(self, op: int, origin: Origin, session: int) -> None:
        self.verdict.check(
            "I19", not self.sessions.is_open(session), f"{self.group} op {op}: session {session} was opened twice"
        )
        self.sessions.opened(origin.client, session)
        self.parts.on_sessions(self.sessions)
        self.verdict.check("I32", len(self.sessions) <= self.limits.sessions_max, f"{self.group}: too many sessions")

    def _name(self, op: int, origin: Origin) -> str:
        return f"{self.group} op {op}: request {origin.number} of session {origin.session}"

    def _count(self, op: int, request: Request, reply: Reply) -> None:
        command = request.command
        if isinstance(command, AppendPart):
            header = self.ops[op].header
            whole = self.parts.on_part(header, header.timestamp + self._place[1], request.origin, command, reply)
            if whole is not None and isinstance(reply, Appended):
                self._append_batch(op, whole, reply)
            return
        if isinstance(command, VoidTransaction):
            self.parts.on_void(command)
            return
        if isinstance(command, AuditAppend):
            self._append_entries(command, reply)
            return
        if isinstance(command, GovernanceCommand):
            if self.on_governed is not None:
                self.on_governed(self.group, op, self.ops[op].header.timestamp + self._place[1], command, reply)
            return
        if isinstance(command, ErasureCommand):
            if isinstance(command, Prune) and not isinstance(reply, Refusal):
                self.pruned.setdefault(command.tenant, {}).update({one.segment: op for one in command.segments})
            if self.on_erasure is not None:
                self.on_erasure(self.group, op, command, reply)
            return
        if isinstance(command, KnownAppend):
            self.event_ids.on_known(op, command, reply)
            return
        if isinstance(command, CreateStream | AppendBatch):
            self.parts.check_closed(op)
        if isinstance(command, CreateStream) and isinstance(reply, StreamCreated):
            self.verdict.check(
                "placement",
                command.region == self.group
                and (self.group != GLOBAL_GROUP or command.data_class is not DataClass.PHI),
                f"{self.group} op {op}: a stream of {command.data_class.name} data for {command.region} was made there",
            )
            if reply.created:
                self._append(command.tenant, CATALOGUE, 1, command.record, created=reply.stream)
                self._next_offset.setdefault((command.tenant, reply.stream), 0)
                if command.data_class is DataClass.PHI:
                    self.phi[command.tenant, reply.stream] = None
                    self.writes.append(Write(op, command.tenant, reply.stream, creates=True))
        elif isinstance(command, AppendBatch):
            if isinstance(reply, Appended):
                self._append_batch(op, command, reply)
            elif isinstance(reply, Refusal) and reply.code is RefusalCode.WRONG_EXPECTED_OFFSET:
                self.verdict.check(
                    "conditions",
                    any(not self._holds(command.tenant, append) for append in command.appends),
                    f"{self.group} op {op}: all conditions hold, and it was refused: {reply.message}",
                )

    def _holds(self, tenant: int, append: StreamAppend) -> bool:
        return append.expected.holds(self._next_offset.get((tenant, append.stream), 0))

    def _append_batch(self, op: int, command: AppendBatch, reply: Appended) -> None:
        check = self.verdict.check
        name = f"{self.group} op {op}"
        check("conditions", all(self._holds(command.tenant, append) for append in command.appends),
              f"{name}: appended although a condition doesn't hold")  # fmt: skip
        check("gap-free", reply.first_position == self.next_position,
              f"{name}: appended at position {reply.first_position}, the log is at {self.next_position}")  # fmt: skip
        told = {part.stream: (part.first_offset, part.next_offset) for part in reply.streams}
        for append in command.appends:
            first = self._next_offset.get((command.tenant, append.stream), 0)
            check(
                "gap-free",
                told.get(append.stream) == (first, first + append.count),
                f"{name}: stream {append.stream} is at {first}, {append.count} events were appended as "
                f"{told.get(append.stream)}",
            )
            if append.count and (command.tenant, append.stream) in self.phi:
                self.writes.append(Write(op, command.tenant, append.stream, first, append.count))
            for run in append.runs:
                self._append(command.tenant, append.stream, run.count, run.record)
        check("gap-free", reply.next_position == self.next_position,
              f"{name}: the log is at {self.next_position}, the reply says {reply.next_position}")  # fmt: skip

    def _append(self, tenant: int, stream: int, count: int, record: bytes, *, created: int = 0) -> None:
        offset = self._next_offset.get((tenant, stream), 0)
        frame = Frame(*self._place, self.next_position, stream, offset, count, bytes(record), created)
        self.frames.setdefault(tenant, []).append(frame)
        self.event_ids.on_record(self._place, tenant, stream, offset, self.next_position, frame.record)
        self._next_offset[tenant, stream] = offset + count
        self.next_position += count

    def _append_entries(self, command: AuditAppend, reply: Reply) -> None:
        """A record of an audit log: its entries are numbered by themselves."""
        log = audit_log_of(TenantId(command.tenant))
        frames = self.frames.setdefault(log, [])
        first = frames[-1].offset + frames[-1].count if frames else 0
        self.verdict.check(
            "gap-free",
            reply == AuditAppended(command.tenant, len(frames), first, self.next_position),
            f"{self.group} op {self._place[0]}: entries {first} and on of the audit log of tenant {command.tenant}, "
            f"as record {len(frames)}, were answered {reply}",
        )
        frames.append(Frame(*self._place, first, AUDIT_STREAM, first, command.count, bytes(command.record)))
