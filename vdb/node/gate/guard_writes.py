"""The guard of what is written to streams.

A write's entry in the audit log is part of its prepare: its permit goes with the request, and the log puts in what came
of it. A write that is denied uses up its number like one that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from vdb.audit.entry import AuditEntry, Kind
from vdb.errors import AccessDenied, PlacementViolation
from vdb.kernel.command import INTERNAL, Origin
from vdb.kernel.reply import StreamCreated
from vdb.node.gate.answers import AppendResult
from vdb.node.gate.guard_base import CLASSES, GuardBase, Place
from vdb.node.gate.permit import Permit
from vdb.node.gate.service import answered
from vdb.node.gate.writes import Failure, OnAppend, OnAppended, OnCreate, OnError
from vdb.node.preparing.request import PlainAppend
from vdb.policy.model import Policy
from vdb.policy.words import Action
from vdb.types import DataClass, GroupId, TenantId

KNOWN_MAX = 10_000
"""Streams whose permits a guard remembers."""


@frozen
class _Known:
    """A permit to append to a stream, for as long as the group has this policy."""

    policy: Policy | None
    permit: Permit
    note: AuditEntry
    """What is told of each append: the log puts in what came of it."""


class WritesGuard(GuardBase):
    """See the module's docstring."""

    def _forget(self) -> None:
        self._known: dict[tuple[int, str, str], _Known] = {}

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
        claimed = self.owners.claim(origin, tenant, "createStream", on_answer)
        if claimed is None:
            return
        origin = claimed
        kind = DataClass(data_class) if data_class in tuple(DataClass) else DataClass.PHI
        group = self.group_of_class(kind, placement)
        permit = self.decide(Action.CREATE, tenant, kind, group=group, stream=name, door="createStream")

        def create(denied: AccessDenied | None, on_answer: OnCreate) -> None:
            self.service.writes.create(
                origin, tenant, name, data_class, placement, if_not_exists, on_answer, denied=denied, note=note
            )

        note = permit.entry(Kind.CREATE) if permit.allowed else None

        def answer(found: StreamCreated | Failure) -> None:
            if isinstance(found, PlacementViolation) and origin == INTERNAL:
                self.note_refused(permit, Kind.CREATE, found, on_answer)
            else:
                on_answer(found)

        if permit.allowed:
            create(None, answer)
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
        claimed = self.owners.claim(origin, tenant, "publish", on_error)
        if claimed is None:
            return
        origin = claimed
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
        claimed = self.owners.claim(origin, tenant, "append", on_answer)
        if claimed is None:
            return
        origin = claimed
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
        person = self.caller.on_behalf_of
        known = self._known.get((tenant, append.stream, person))
        if known is not None and known.policy is self.permits.book.policy(known.permit.group):
            return known.permit, known.note
        place = self.place(tenant, append.stream)
        varying = self.permits.is_varying(place.group, Action.APPEND)
        if varying and append.runs:
            permit = self._append_permit_by_subject(tenant, append, place.group, place.data_class, door)
            return permit, permit.entry(Kind.WRITE, subjects=())
        if place.data_class is None and self.service.writes.is_being_created(tenant, append.stream):
            # Of which class it will be isn't known before it is there.
            tried = [
                self.decide(Action.APPEND, tenant, one, group=place.group, stream=append.stream, door=door)
                for one in CLASSES
            ]
            permit = next((one for one in tried if not one.allowed), tried[0])
            return permit, permit.entry(Kind.WRITE)
        permit = self.decide_stream(Action.APPEND, tenant, append.stream, door=door)
        note = permit.entry(Kind.WRITE)
        if self._is_settled(tenant, append.stream, place) and not varying:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[tenant, append.stream, person] = _Known(self.permits.book.policy(place.group), permit, note)
        return permit, note

    def _is_settled(self, tenant: int, stream: str, place: Place) -> bool:
        """Whether the stream is there for good: what is still in the pipeline may come to nothing."""
        reader = self.service.readers.get(place.group)
        return reader is not None and reader.find(TenantId(tenant), stream) is not None

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


def _joint(permits: Sequence[tuple[Permit, AuditEntry]]) -> AuditEntry | None:
    """What is told of an append to several streams: the log names them, and those whose data it is."""
    if len(permits) <= 1:
        return permits[0][1] if permits else None
    rules = ", ".join(dict.fromkeys(permit.decision.rule for permit, _ in permits))
    return permits[0][0].entry(Kind.WRITE, object="", subjects=(), rule=rules)
