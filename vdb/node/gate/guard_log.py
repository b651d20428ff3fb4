"""The guard of streams and events: what is written, and what is read.

Rules
- A write's entry is part of its prepare: the permit goes with the request.
- Events are answered once the policy has been asked about each stream that they are of, and, for PHI, once the receipt
  is committed. The receipt takes the place of the quorum's confirmation: a primary that was deposed can't commit it, so
  what was read before was the newest there was.
- Of a read over several streams, what the caller may not read is left out; if that is all, the read is denied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from attrs import evolve, frozen

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind
from vdb.errors import AccessDenied
from vdb.kernel.command import Origin
from vdb.kernel.reply import StreamCreated
from vdb.node.gate.answers import AppendResult, LogResult, ReadResult, StreamInfo
from vdb.node.gate.guard_base import CLASSES, GuardBase
from vdb.node.gate.permit import Permit, named_subjects
from vdb.node.gate.service import LINEARIZABLE, LIST_MAX, answered
from vdb.node.gate.writes import Failure, OnAppend, OnAppended, OnCreate, OnError
from vdb.node.preparing.request import PlainAppend
from vdb.node.replication.group import Group
from vdb.policy.model import Policy
from vdb.policy.words import Action
from vdb.projections.source import OpenedRun
from vdb.selection import EventFilter, EventRecord, EventStart, Selected
from vdb.types import Consistency, DataClass, GroupId, Position, ReadLevel

_NO_TOKEN = bytes(32)
KNOWN_MAX = 10_000
"""Streams whose permits a guard remembers."""


@frozen
class _Known:
    """A permit to append to a stream, for as long as the group has this policy."""

    policy: Policy | None
    permit: Permit
    note: AuditEntry
    """What is told of each append: the log puts in what came of it."""


@frozen
class _Seen:
    """What was read of one stream, or for one subject: enough for its receipt."""

    stream: str
    data_class: DataClass
    token: bytes
    first: int
    count: int


class LogGuard(GuardBase):
    """See the module's docstring."""

    def _forget(self) -> None:
        self._known: dict[tuple[int, str], _Known] = {}

    # Writes ----------------------------------------------------------------------------------------------------

    def create(
        self,
        origin: Origin,
        tenant: int,
        name: str,
        data_class: int,
        placement: str,
        if_not_exists: bool,
        on_answer: OnCreate,
    ) -> None:
        """`Writes.create`."""
        kind = DataClass(data_class) if data_class in tuple(DataClass) else DataClass.PHI
        group = self.group_of_class(kind, placement)
        permit = self.decide(Action.CREATE, tenant, kind, group=group, stream=name, door="createStream")

        def create(denied: AccessDenied | None, on_answer: OnCreate) -> None:
            self.service.writes.create(
                origin, tenant, name, data_class, placement, if_not_exists, on_answer, denied=denied, note=note
            )

        note = permit.entry(Kind.CREATE) if permit.allowed else None

        if permit.allowed:
            create(None, on_answer)
        else:
            self.refuse_write(permit, create, on_answer)

    async def create_stream(
        self,
        origin: Origin,
        tenant: int,
        name: str,
        data_class: DataClass,
        placement: str,
        *,
        if_not_exists: bool = False,
    ) -> StreamCreated:
        """`Service.create_stream`."""
        return await answered(
            lambda on_answer: self.create(origin, tenant, name, data_class, placement, if_not_exists, on_answer)
        )

    def publish(
        self, origin: Origin, tenant: int, append: PlainAppend, on_appended: OnAppended, on_error: OnError
    ) -> None:
        """`Writes.publish`."""
        permit, note = self._append_permit(tenant, append, "publish")
        if permit.allowed:
            self.service.writes.publish(origin, tenant, append, on_appended, on_error, note=note)
            return

        def refuse(denied: AccessDenied, on_answer: Callable[[tuple[GroupId, object] | Failure], None]) -> None:
            self.service.writes.publish(
                origin, tenant, append, lambda group, reply: on_answer((group, reply)), on_answer, denied=denied
            )

        def answer(found: tuple[GroupId, object] | Failure) -> None:
            if isinstance(found, tuple):
                on_appended(*found)  # type: ignore[arg-type]
            else:
                on_error(found)

        self.refuse_write(permit, refuse, answer)

    def append_soon(self, origin: Origin, tenant: int, appends: Sequence[PlainAppend], on_answer: OnAppend) -> None:
        """`Writes.append`."""
        permits = [self._append_permit(tenant, append, "append") for append in appends]
        refused = next((permit for permit, _ in permits if not permit.allowed), None)
        note = _joint(permits) if refused is None else None

        def append(denied: AccessDenied | None, on_answer: OnAppend) -> None:
            self.service.writes.append(origin, tenant, appends, on_answer, denied=denied, note=note)

        if refused is None:
            append(None, on_answer)
        else:
            self.refuse_write(refused, append, on_answer)

    async def append(self, origin: Origin, tenant: int, appends: Sequence[PlainAppend]) -> AppendResult:
        """`Service.append`."""
        return await answered(lambda on_answer: self.append_soon(origin, tenant, appends, on_answer))

    def _append_permit(self, tenant: int, append: PlainAppend, door: str) -> tuple[Permit, AuditEntry]:
        """A permit, and what the log is to be told of an append with it."""
        known = self._known.get((tenant, append.stream))
        if known is not None and known.policy is self.permits.book.policy(known.permit.group):
            _ = self.caller
            return known.permit, known.note
        place = self.place(tenant, append.stream)
        varying = self.permits.is_varying(place.group, Action.APPEND)
        if varying and append.runs:
            permit = self._append_permit_by_subject(tenant, append, place.group, place.data_class, door)
            return permit, permit.entry(Kind.WRITE, subjects=())
        permit = self.decide_stream(Action.APPEND, tenant, append.stream, door=door)
        note = permit.entry(Kind.WRITE)
        if place.data_class is not None and not varying:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[tenant, append.stream] = _Known(self.permits.book.policy(place.group), permit, note)
        return permit, note

    def _append_permit_by_subject(
        self, tenant: int, append: PlainAppend, group: GroupId, data_class: DataClass | None, door: str
    ) -> Permit:
        """The first that is denied, of the subjects that are written about; or the last."""
        permit: Permit | None = None
        for subject in dict.fromkeys(run.subject for run in append.runs):
            tried = [
                self.decide(Action.APPEND, tenant, one, group=group, stream=append.stream, subject=subject, door=door)
                for one in (CLASSES if data_class is None else (data_class,))
            ]
            permit = next((one for one in tried if one.allowed), tried[0])
            if not permit.allowed:
                return permit
        assert permit is not None
        return permit

    # Reads -----------------------------------------------------------------------------------------------------

    async def read(
        self,
        tenant: int,
        stream: str,
        from_offset: int,
        *,
        max_events: int,
        wait_us: int = 0,
        ids_only: bool = False,
        level: ReadLevel = LINEARIZABLE,
    ) -> ReadResult:
        """`Service.read`, with a receipt for PHI."""
        permit = await self.checked(self.decide_stream(Action.READ, tenant, stream, door="read"))
        group = await self._begin(permit, level) if self._known_place(tenant, stream) else None
        result = await self.service.read(
            tenant,
            stream,
            from_offset,
            max_events=max_events,
            wait_us=wait_us,
            ids_only=ids_only,
            level=level if group is None else Consistency.STALE,
        )
        if result.runs and result.runs[0].data_class is not permit.request.data_class:
            # Nobody knew the stream here when it was asked for.
            run = result.runs[0]
            decided = self.decide(Action.READ, tenant, run.data_class, group=run.group, stream=stream, door="read")
            permit = await self.checked(decided)
        await self._give(permit, [_seen(run) for run in result.runs], [run.batch for run in result.runs], group)
        return result

    async def read_log(
        self,
        tenant: int,
        group: str,
        from_position: int,
        *,
        max_events: int,
        wait_us: int = 0,
        level: ReadLevel = LINEARIZABLE,
    ) -> LogResult:
        """`Service.read_log`, without what the caller may not read, and with receipts for PHI."""
        permit = await self.permit_any((Action.READ,), tenant, group=group, door="readLog")
        begun = await self._begin_phi(permit, level)
        result = await self.service.read_log(
            tenant,
            group,
            from_position,
            max_events=max_events,
            wait_us=wait_us,
            level=level if begun is None else Consistency.STALE,
        )
        allowed = self._allowed(result.runs, tenant, "readLog")
        runs = [run for run in result.runs if (run.stream, run.data_class) in allowed]
        if result.runs and not runs:
            await self._deny_first(result.runs, tenant, "readLog")
        seen = [_seen(run) for run in runs]
        if not await self._give_each(allowed, seen, [run.batch for run in runs], begun) and begun is not None:
            await self.service.reach(begun, level)
        return result if len(runs) == len(result.runs) else evolve(result, runs=tuple(runs))

    async def read_events(
        self,
        tenant: int,
        group: str,
        wanted: EventFilter,
        start: EventStart,
        *,
        backward: bool = False,
        max_events: int,
        wait_us: int = 0,
        level: ReadLevel = LINEARIZABLE,
    ) -> Selected:
        """`Service.read_events`, without what the caller may not read, and with receipts for PHI."""
        if wanted.stream:
            decided = self.decide_stream(Action.READ, tenant, wanted.stream, group=group, door="readEvents")
            permit = await self.checked(decided)
            begun = await self._begin(permit, level) if self._known_place(tenant, wanted.stream) else None
        else:
            permit = await self.permit_any((Action.READ,), tenant, group=group, door="readEvents")
            begun = await self._begin_phi(permit, level)
        selected = await self.service.read_events(
            tenant,
            group,
            wanted,
            start,
            backward=backward,
            max_events=max_events,
            wait_us=wait_us,
            level=level if begun is None else Consistency.STALE,
        )
        allowed = self._allowed(selected.events, tenant, "readEvents", group)
        events = [event for event in selected.events if (event.stream, event.data_class) in allowed]
        if selected.events and not events:
            await self._deny_first(selected.events, tenant, "readEvents", group)
        given = await self._give_each(
            allowed, [_seen(event) for event in events], [event.payload for event in events], begun
        )
        if not given and begun is not None:
            await self.service.reach(begun, level)
        return selected if len(events) == len(selected.events) else evolve(selected, events=tuple(events))

    async def get_stream(
        self, tenant: int, name: str, *, group: str = "", level: ReadLevel = LINEARIZABLE
    ) -> StreamInfo:
        """`Service.get_stream`."""
        await self.permit_any((Action.READ, Action.APPEND), tenant, group=group, stream=name, door="getStream")
        info = await self.service.get_stream(tenant, name, group=group, level=level)
        if not self._may_know(tenant, info):
            decided = self.decide(
                Action.READ, tenant, info.data_class, group=info.placement, stream=name, door="getStream", plain=False
            )
            await self.checked(decided)
        return info

    async def list_streams(
        self, tenant: int, after: str = "", limit: int = LIST_MAX, *, group: str = "", level: ReadLevel = LINEARIZABLE
    ) -> tuple[list[StreamInfo], bool]:
        """`Service.list_streams`, without those that the caller may neither read nor append to."""
        await self.permit_any((Action.READ, Action.APPEND), tenant, group=group, door="listStreams")
        infos, more = await self.service.list_streams(tenant, after, limit, group=group, level=level)
        return [info for info in infos if self._may_know(tenant, info)], more

    def _may_know(self, tenant: int, info: StreamInfo) -> bool:
        return any(
            self.decide(
                action,
                tenant,
                info.data_class,
                group=info.placement,
                stream=info.name,
                door="listStreams",
                plain=False,
            ).allowed
            for action in (Action.READ, Action.APPEND, Action.QUERY, Action.CONSUME)
        )

    # Receipts --------------------------------------------------------------------------------------------------

    def _known_place(self, tenant: int, stream: str) -> bool:
        return self.place(tenant, stream).data_class is not None

    async def _begin(self, permit: Permit, level: ReadLevel) -> Group | None:
        """The group whose confirmation the receipt replaces; None where there will be no receipt."""
        if permit.request.data_class is not DataClass.PHI:
            return None
        return await self._begin_phi(permit, level)

    async def _begin_phi(self, permit: Permit, level: ReadLevel) -> Group | None:
        """As `_begin`, for what may be PHI. NotPrimary where this node isn't the primary."""
        if level is not LINEARIZABLE or not self.permits.gives_receipts:
            return None
        group = self.permits.group(permit.group)
        await group.wait_own_log()
        return group

    async def _give(
        self, permit: Permit, seen: Sequence[_Seen], payloads: Iterable[bytes], group: Group | None
    ) -> None:
        """Commit the receipt for what was read with one permit. Where nothing was, the quorum confirms."""
        permits = {(one.stream, one.data_class): permit for one in seen}
        if not await self._give_each(permits, seen, payloads, group) and group is not None:
            await self.service.reach(group, LINEARIZABLE)

    async def _give_each(
        self,
        permits: dict[tuple[str, DataClass], Permit],
        seen: Sequence[_Seen],
        payloads: Iterable[bytes],
        group: Group | None,
    ) -> bool:
        """Commit a receipt for each stream that something was read of; whether there was anything to write down."""
        if not seen or self.permits.recorder is None:
            return False
        settings = self.permits.settings
        parts: dict[tuple[str, DataClass], list[tuple[_Seen, bytes]]] = {}
        for one, payload in zip(seen, payloads, strict=True):
            wanted = settings.receipts if one.data_class is DataClass.PHI else settings.audit_non_phi_reads
            if wanted:
                parts.setdefault((one.stream, one.data_class), []).append((one, payload))
        if not parts:
            return False
        permit = next(iter(permits.values()))
        at = self.permits.group(permit.group)
        entries = [_receipt(permits[key], found, at) for key, found in parts.items()]
        await self.record(permit, *entries)
        return True

    def _allowed(
        self, found: Sequence[OpenedRun] | Sequence[EventRecord], tenant: int, door: str, group: str = ""
    ) -> dict[tuple[str, DataClass], Permit]:
        """Permits for those streams of an answer that the caller may read."""
        allowed: dict[tuple[str, DataClass], Permit] = {}
        for one in found:
            key = (one.stream, one.data_class)
            if key not in allowed:
                permit = self._decide_found(one, tenant, door, group)
                if permit.allowed:
                    allowed[key] = permit
        return allowed

    def _decide_found(self, one: OpenedRun | EventRecord, tenant: int, door: str, group: str) -> Permit:
        where = one.group if isinstance(one, OpenedRun) else group
        return self.decide(Action.READ, tenant, one.data_class, group=where, stream=one.stream, door=door)

    async def _deny_first(
        self, found: Sequence[OpenedRun] | Sequence[EventRecord], tenant: int, door: str, group: str = ""
    ) -> None:
        await self.checked(self._decide_found(found[0], tenant, door, group))


def _seen(found: OpenedRun | EventRecord) -> _Seen:
    if isinstance(found, OpenedRun):
        return _Seen(found.stream, found.data_class, found.subject_token, found.first_offset, found.count)
    return _Seen(found.stream, found.data_class, b"", found.offset, 1)


def _receipt(permit: Permit, found: Sequence[tuple[_Seen, bytes]], group: Group) -> AuditEntry:
    """The entry for what was read of one stream."""
    digest = sha256()
    for _, payload in found:
        digest.update(payload)
    first = found[0][0]
    return permit.entry(
        Kind.READ,
        object=first.stream,
        data_class=first.data_class.label,
        subjects=named_subjects(subject_of(one.token) for one, _ in found),
        first=min(one.first for one, _ in found),
        count=sum(one.count for one, _ in found),
        digest=digest.hexdigest(),
        view=group.replica.view,
        position=str(Position(group.name, group.state.next_position)),
    )


def subject_of(token: bytes) -> str:
    """A subject as an entry names it where only its token is known; "*" where none was given."""
    return f"token:{token.hex()}" if token and token != _NO_TOKEN else ALL_SUBJECTS[0]


def _joint(permits: Sequence[tuple[Permit, AuditEntry]]) -> AuditEntry | None:
    """What is told of an append to several streams: the log names them, and those whose data it is."""
    if len(permits) <= 1:
        return permits[0][1] if permits else None
    rules = ", ".join(dict.fromkeys(permit.decision.rule for permit, _ in permits))
    return permits[0][0].entry(Kind.WRITE, object="", subjects=(), rule=rules)
