"""The gate of writes: checks a request, finds its group, queues it, and turns the log's reply into an answer.

Rules
- A request with a session uses up its number whatever its outcome, so a refusal of the gate goes into the log as such
  (`PlainReject`). Overloaded and DiskFull alone don't use it up: the client sends the same request again.
- A request that was executed before gets its first answer, also when the gate would refuse it today.
- Everything here is synchronous, so requests reach the queue in the order in which they arrive. A stream whose creation
  is on its way counts as there: an append behind it is judged when its turn comes.
- A name belongs to one group of a tenant, also while two creations of it are on their way.
- That a stream isn't there, the group's primary alone can say, and once its log has taken the refusal: one that was
  deposed and hasn't heard of it lacks what the others have committed meanwhile.
- No tenant takes more than its share of what may wait (`vdb.node.gate.admission`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from vdb.audit.entry import AuditEntry
from vdb.errors import (
    CrossGroup,
    DefiniteError,
    InvalidArgument,
    ModeViolation,
    NotPrimary,
    NotReady,
    Overloaded,
    PlacementViolation,
    PrimaryLost,
    StorageError,
    StreamExists,
    UnknownStream,
    UnknownTenant,
    error_for_refusal,
)
from vdb.kernel.command import CLIENT_ID_SIZE, INTERNAL, Origin
from vdb.kernel.reply import Appended, Refusal, Reply, StreamCreated
from vdb.kernel.streamid import group_tag, tag_of
from vdb.limits import (
    EVENTS_PER_APPEND_MAX,
    EVENTS_PER_COMMAND_MAX,
    STREAM_NAME_BYTES_MAX,
)
from vdb.node.gate.admission import Admission
from vdb.node.gate.answers import AppendResult, StreamRange
from vdb.node.gate.append_checks import check_appends, check_text
from vdb.node.gate.reader import GroupReader
from vdb.node.governance.deidentified import Deidentified
from vdb.node.preparing.cutting import fit, size_bound
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainReject, PlainRequest
from vdb.node.projecting.inline import InlineProjections
from vdb.node.replication.group import Group
from vdb.selection import SYSTEM_STREAMS
from vdb.sql.names import STREAM_PREFIX
from vdb.types import (
    GLOBAL_GROUP,
    SYSTEM_TENANT,
    TENANT_MAX,
    DataClass,
    GroupId,
    Placement,
    Region,
    TenantId,
    check_tenant_id,
    group_for_placement,
)

T = TypeVar("T")
Failure = DefiniteError | PrimaryLost
"""What a write ends with that has no result: nothing happened, or the next primary knows whether it did."""
Answer = Callable[[GroupId, Reply], T | Failure]
OnCreate = Callable[[StreamCreated | Failure], None]
OnAppend = Callable[[AppendResult | Failure], None]
OnAppended = Callable[[GroupId, Appended], None]
OnError = Callable[[Failure], None]

NO_TENANT = SYSTEM_TENANT
"""Of requests that the gate itself puts into the log."""
_PLACES_MAX = 100_000
"""Streams whose group is remembered; past it, they are looked for again."""


class Writes:
    """See the module's docstring. One per node."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], inline: InlineProjections | None = None) -> None:
        self._readers = readers
        self._inline = inline
        """None where no projection is inline."""
        self._admissions = {name: Admission(reader.group.limits) for name, reader in readers.items()}
        self._creating: dict[tuple[TenantId, str], list[Group]] = {}
        """Creations on their way, by name: the group of each."""
        self._deidentified = Deidentified()
        self._places: dict[tuple[TenantId, str], GroupReader] = {}
        """Where committed streams are: there they stay."""

    def create(
        self,
        origin: Origin,
        tenant: int,
        name: str,
        data_class: int,
        placement: str,
        if_not_exists: bool,
        on_answer: OnCreate,
        *,
        of_sql: bool = False,
        denied: DefiniteError | None = None,
        note: AuditEntry | None = None,
    ) -> None:
        """Queue a creation; `on_answer` is called once, at once or after the commit. `of_sql`: of a SQL database.

        `denied`: the guard allows it not, so that it is refused with this.
        """

        def answer(group: GroupId, reply: Reply) -> StreamCreated | Failure:
            return _stream_created(self._named(group, tenant, [name], reply))

        try:
            if denied is not None:
                raise denied
            if not of_sql:
                _check_mode(name)
            kind = _data_class(data_class)
            group = self._group_for(kind, placement)
            checked = _check_creation(tenant, name)
            self._check_name_is_free(group, checked, name)
            self.check_origin(origin, group)
        except DefiniteError as error:
            self.refuse(origin, error, answer, on_answer, tenant, note)
            return
        under_way = self._creating.setdefault((checked, name), [])
        under_way.append(group)
        self._deidentified.begin(checked, name, kind)

        def on_done(result: StreamCreated | Failure) -> None:
            under_way.pop()
            self._deidentified.end(checked, name, kind)
            if not under_way:
                self._creating.pop((checked, name), None)
            on_answer(result)

        request = PlainCreate(tenant=checked, name=name, data_class=kind, region=placement, if_not_exists=if_not_exists)
        self.submit(checked, group, request, origin, answer, on_done, note=note)

    def is_being_created(self, tenant: int, name: str) -> bool:
        """Whether the creation of a stream of this name is on its way."""
        return (TenantId(tenant), name) in self._creating

    def append(
        self,
        origin: Origin,
        tenant: int,
        appends: Sequence[PlainAppend],
        on_answer: OnAppend,
        *,
        of_sql: bool = False,
        denied: DefiniteError | None = None,
        note: AuditEntry | None = None,
    ) -> None:
        """Queue an append; `on_answer` is called once, at once or after the commit. `of_sql`: by a SQL database.
        `note`: what the door knows of the caller; what came of the append is put in when it is prepared.

        `denied`: the guard allows it not, so that it is refused with this.
        """
        names = [append.stream for append in appends]

        def answer(group: GroupId, reply: Reply) -> AppendResult | Failure:
            return _append_result(group, names, self._named(group, tenant, names, reply))

        try:
            if denied is not None:
                raise denied
            group, request, size = self._admit(origin, tenant, appends, names, of_sql=of_sql)
        except DefiniteError as error:
            self.refuse(origin, error, answer, on_answer, tenant, note)
            return
        awaited = self._inline.awaited(tenant, names) if self._inline is not None else ()

        def when_applied(result: AppendResult | Failure) -> None:
            if self._inline is not None and isinstance(result, AppendResult):
                self._inline.hold(awaited, tenant, group.name, result.next_position, lambda: on_answer(result))
            else:
                on_answer(result)

        when_done = when_applied if awaited else on_answer
        self.submit(TenantId(tenant), group, request, origin, answer, when_done, note=note, size=size)

    def publish(
        self,
        origin: Origin,
        tenant: int,
        append: PlainAppend,
        on_appended: OnAppended,
        on_error: OnError,
        *,
        denied: DefiniteError | None = None,
        note: AuditEntry | None = None,
    ) -> None:
        """`append` to one stream, with the log's own reply for an answer; one of the two is called, once."""
        names = [append.stream]

        def answer(group: GroupId, reply: Reply) -> tuple[GroupId, Appended] | Failure:
            if isinstance(reply, Appended) and len(reply.streams) == 1:
                return group, reply
            refusal = self._named(group, tenant, names, reply)
            return _another_request() if not isinstance(refusal, Refusal) else _error(refusal)

        def on_answer(result: tuple[GroupId, Appended] | Failure) -> None:
            if not isinstance(result, tuple):
                on_error(result)
                return
            name, appended = result
            awaited = self._inline.awaited(tenant, names) if self._inline is not None else ()
            if self._inline is not None and awaited:
                self._inline.hold(awaited, tenant, name, appended.next_position, lambda: on_appended(*result))
            else:
                on_appended(name, appended)

        try:
            if denied is not None:
                raise denied
            group, request, size = self._admit(origin, tenant, (append,), names)
        except DefiniteError as error:
            self.refuse(origin, error, answer, on_answer, tenant, note)
            return
        self.submit(TenantId(tenant), group, request, origin, answer, on_answer, note=note, size=size)

    def _admit(
        self,
        origin: Origin,
        tenant: int,
        appends: Sequence[PlainAppend],
        names: Sequence[str],
        *,
        of_sql: bool = False,
    ) -> tuple[Group, PlainRequest, int]:
        """Where an append goes, as what, and its `size_bound`. DefiniteError when it can't be queued."""
        checked = check_tenant_id(tenant)
        if not of_sql:
            for name in names:
                _check_mode(name)
        check_appends(appends, EVENTS_PER_COMMAND_MAX if of_sql else EVENTS_PER_APPEND_MAX)
        group = self._group_of(checked, names)
        self.check_origin(origin, group)
        self._deidentified.check(self._readers[group.name], checked, appends)
        batch = PlainBatch(tenant=checked, appends=tuple(appends))
        size = size_bound(batch)
        return group, fit(batch, group.limits, size), size

    def refuse(
        self,
        origin: Origin,
        error: DefiniteError,
        answer: Answer[T],
        on_answer: Callable[[T | Failure], None],
        tenant: int = NO_TENANT,
        note: AuditEntry | None = None,
    ) -> None:
        """Let the refusal use up the request's number, unless the request was executed before.

        What goes into the log is noted in the tenant's audit log; a call without a session that is refused for its own
        form changes nothing and uses up nothing.
        """
        rejection = _rejection(error, tenant)
        group = self._group_of_session(origin, error)
        if isinstance(error, UnknownStream | UnknownTenant):
            elsewhere = self._not_ours_to_say(group)
            if elsewhere is not None:
                on_answer(elsewhere)
                return
            if group is None:
                self._refuse_in_all(error, rejection, self._with_peers(), on_answer, note)
                return
        if group is None:
            on_answer(error)
            return

        def first_answer(name: GroupId, reply: Reply) -> T | Failure:
            return error if isinstance(reply, Refusal) and reply.code is error.code else answer(name, reply)

        self.submit(NO_TENANT, group, rejection, origin, first_answer, on_answer, note=note)

    def _refuse_in_all(
        self,
        error: DefiniteError,
        rejection: PlainReject,
        groups: Sequence[Group],
        on_answer: Callable[[Failure], None],
        note: AuditEntry | None,
    ) -> None:
        """Answer once the log of each of these groups has taken the refusal, one after the other."""
        if not groups:
            on_answer(error)
            return
        first, *others = groups

        def refused(_name: GroupId, reply: Reply) -> Failure:
            return error_for_refusal(reply.code, reply.message) if isinstance(reply, Refusal) else _another_request()

        def on_refused(found: Failure) -> None:
            if isinstance(found, PrimaryLost):
                # Nothing of the append itself was ever proposed.
                on_answer(first.not_serving() or NotReady(f"group {first.name} has just changed its primary"))
            elif found.code is error.code:
                self._refuse_in_all(error, rejection, others, on_answer, None)
            else:
                on_answer(found)

        self.submit(NO_TENANT, first, rejection, INTERNAL, refused, on_refused, note=note)

    def _with_peers(self) -> list[Group]:
        """The groups in which another node may have become the primary."""
        return [reader.group for reader in self._readers.values() if not reader.group.is_alone]

    def _not_ours_to_say(self, group: Group | None) -> DefiniteError | None:
        """Why this node can't say that a stream isn't there: it isn't the primary of the group, or of all groups."""
        groups = [reader.group for reader in self._readers.values()] if group is None else [group]
        return next((refusal for one in groups if (refusal := one.not_serving()) is not None), None)

    def _named(self, group: GroupId, tenant: int, names: Sequence[str], reply: Reply) -> Reply:
        """A refusal with the caller's names for the ids in it: the log knows no names."""
        if not isinstance(reply, Refusal):
            return reply
        message = reply.message
        for name in names:
            stream = self._readers[group].find(TenantId(tenant), name)
            if stream is not None:
                message = message.replace(f"stream {stream.stream} ", f"stream '{name}' ")
        return Refusal(reply.code, message)

    def submit(
        self,
        tenant: TenantId,
        group: Group,
        request: PlainRequest,
        origin: Origin,
        answer: Answer[T],
        on_answer: Callable[[T | Failure], None],
        *,
        note: AuditEntry | None = None,
        size: int | None = None,
    ) -> None:
        """Queue a request that was checked; `on_answer` is called once. `note`: what the audit log is told of it.
        `size`: its `size_bound`, if the caller knows it."""
        admission = self._admissions[group.name]
        size = size_bound(request) if size is None else size
        refusal = admission.refusal(tenant, size)
        if refusal is not None and not group.knows(origin):
            on_answer(refusal)
            return

        def on_reply(reply: Reply) -> None:
            admission.leave(tenant, size)
            on_answer(answer(group.name, reply))

        def on_lost(error: NotPrimary | PrimaryLost) -> None:
            admission.leave(tenant, size)
            on_answer(error)

        admission.enter(tenant, size)
        try:
            group.submit(request, on_reply, origin, on_lost, note=note, size=size)
        except DefiniteError as error:
            admission.leave(tenant, size)
            on_answer(error)

    # Checks ----------------------------------------------------------------------------------------------------

    def _group_for(self, data_class: DataClass, placement: str) -> Group:
        """The group of a placement; PlacementViolation when this node may not hold it."""
        region = None if placement == GLOBAL_GROUP else Region(placement)
        name = group_for_placement(Placement(data_class, region))
        if name not in self._readers:
            raise PlacementViolation(
                f"this node holds {', '.join(self._readers)}: expected one of these as placement, found '{name}'"
            )
        return self._readers[name].group

    def _check_name_is_free(self, group: Group, tenant: TenantId, name: str) -> None:
        for reader in self._readers.values():
            if reader.group is not group and self._is_there(reader, tenant, name):
                raise StreamExists(f"tenant {tenant} has a stream of this name in {reader.group.name} already")

    def _is_there(self, reader: GroupReader, tenant: TenantId, name: str) -> bool:
        """Whether the group has the stream, or its creation is on its way."""
        return reader.has_prepared(tenant, name) or reader.group in self._creating.get((tenant, name), ())

    def _group_of(self, tenant: TenantId, names: Sequence[str]) -> Group:
        """The one group that has all these streams. UnknownTenant, UnknownStream, CrossGroup."""
        first = self._locate(tenant, names[0])
        for name in names[1:]:
            other = self._locate(tenant, name)
            if other is not first:
                raise CrossGroup(
                    f"an atomic append stays in one group: expected streams of {first.name} alone, found one of "
                    f"{other.name}"
                )
        return first

    def _locate(self, tenant: TenantId, name: str) -> Group:
        place = self._places.get((tenant, name))
        if place is not None:
            return place.group
        for reader in self._readers.values():
            if self._is_there(reader, tenant, name):
                if reader.find(tenant, name) is not None:
                    self._remember(tenant, name, reader)
                return reader.group
        if not any(reader.has_tenant(tenant) for reader in self._readers.values()):
            raise UnknownTenant(f"tenant {tenant} has no stream on this node")
        raise UnknownStream(f"tenant {tenant} has no stream '{name}'")

    def _remember(self, tenant: TenantId, name: str, reader: GroupReader) -> None:
        if len(self._places) >= _PLACES_MAX:
            self._places.clear()
        self._places[tenant, name] = reader

    def check_origin(self, origin: Origin, group: Group) -> None:
        """A session belongs to one client and one group."""
        if len(origin.client) != CLIENT_ID_SIZE:
            raise InvalidArgument(f"a client id has {CLIENT_ID_SIZE} bytes; found {len(origin.client)}")
        if origin.session and tag_of(origin.session) != group_tag(group.name):
            raise CrossGroup(f"the session belongs to another group: expected one that was opened in {group.name}")

    def _group_of_session(self, origin: Origin, error: DefiniteError) -> Group | None:
        """The group in whose log the refusal must use up a number; None for a request without a session."""
        if not origin.session or isinstance(error, (Overloaded, StorageError)):
            return None
        for reader in self._readers.values():
            if group_tag(reader.group.name) == tag_of(origin.session):
                return reader.group
        return None


def _data_class(number: int) -> DataClass:
    if number not in tuple(DataClass):
        raise InvalidArgument(f"a data class is 0 (non-PHI), 1 (PHI) or 2 (deidentified); found {number}")
    return DataClass(number)


def _check_mode(stream: str) -> None:
    """A database's stream is written by its SQL alone, and the system's own by the system."""
    if stream.startswith(STREAM_PREFIX):
        raise ModeViolation(
            f"streams called '{STREAM_PREFIX}...' belong to SQL databases: expected SQL to write them, found an append "
            "or a creation"
        )
    if stream.startswith(SYSTEM_STREAMS):
        raise InvalidArgument(f"names that begin with '{SYSTEM_STREAMS}' are the system's own; found such a stream")


def _check_creation(tenant: int, name: str) -> TenantId:
    checked = check_tenant_id(tenant)
    check_text("a stream's name", name, STREAM_NAME_BYTES_MAX)
    if not name:
        raise InvalidArgument("a stream's name can't be empty")
    return checked


def _rejection(error: DefiniteError, tenant: int) -> PlainReject:
    """The message goes into the log in clear, so it is the code's, not the caller's: names don't enter the log."""
    told = TenantId(tenant) if 0 <= tenant <= TENANT_MAX else NO_TENANT
    return PlainReject(code=error.code, message="refused at the gate; the first answer said why", tenant=told)


def _another_request() -> InvalidArgument:
    return InvalidArgument(
        "this number of the session belongs to another request: expected the same request again, or the next number"
    )


def _error(refusal: Refusal) -> DefiniteError:
    return error_for_refusal(refusal.code, refusal.message)


def _stream_created(reply: Reply) -> StreamCreated | Failure:
    if isinstance(reply, Refusal):
        return _error(reply)
    return reply if isinstance(reply, StreamCreated) else _another_request()


def _append_result(group: GroupId, names: Sequence[str], reply: Reply) -> AppendResult | Failure:
    if isinstance(reply, Refusal):
        return _error(reply)
    if not isinstance(reply, Appended) or len(reply.streams) != len(names):
        return _another_request()
    ranges = [
        StreamRange(stream=name, first_offset=part.first_offset, next_offset=part.next_offset)
        for name, part in zip(names, reply.streams, strict=True)
    ]
    return AppendResult(
        streams=tuple(ranges),
        group=group,
        first_position=reply.first_position,
        next_position=reply.next_position,
        time=reply.timestamp,
    )
