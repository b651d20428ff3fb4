"""What all parts of the guard need: who asks, what is asked for, and the way to a permit.

A guard belongs to one connection, or to one handle of the program that has opened the node.

A call of a connection is made by whoever it was when the call came, whatever the connection shows meanwhile: `enter`
pins that for the call and for the tasks that it starts. Whether the credential still counts is asked each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from itertools import product
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from vdb.audit.entry import AuditEntry, Kind, Outcome
from vdb.errors import AccessDenied, DefiniteError, InvalidArgument, NotAuthenticated, VerityError
from vdb.events.event_context import current_context
from vdb.node.gate.caller import Caller, check_person
from vdb.node.gate.doors import DOORS, UNGUARDED
from vdb.node.gate.permit import Permit
from vdb.node.gate.permits import Permits, denied
from vdb.node.gate.session_owners import SessionOwners
from vdb.node.gate.writes import Failure
from vdb.policy.decide import AccessRequest
from vdb.policy.words import Action
from vdb.types import GLOBAL_GROUP, SYSTEM_TENANT, DataClass, GroupId, TenantId

if TYPE_CHECKING:
    from vdb.node.gate.node_service import NodeService
    from vdb.node.identity.visit import Visit

T = TypeVar("T")
CLASSES = (DataClass.PHI, DataClass.DEIDENTIFIED, DataClass.NON_PHI)
"""The strictest first."""
Pinned = tuple[object, Caller | None, Caller | None]
_PINNED: ContextVar[Pinned] = ContextVar("vdb.caller", default=(None, None, None))
"""A guard, and who makes the call that it has let in: with the person whom they have named, and for nobody else."""
Entered = Token[Pinned]


@frozen
class Place:
    """Where a stream lies, and what it holds. No class: nobody knows the stream here."""

    group: GroupId
    data_class: DataClass | None


class GuardBase:
    """See the module's docstring."""

    def __init__(self, service: NodeService, caller: Caller | None, visit: Visit | None = None) -> None:
        """`caller` None: nobody has shown yet who asks. `visit`: the connection's credentials, if it is one."""
        self.service = service
        self.permits: Permits = service.permits
        self._caller = caller
        self._visit = visit
        self._speaking = caller
        """Who asks on a connection, with the person whom it has named."""
        self._not_accepted = ""
        """Why what it has named isn't."""
        self.owners = SessionOwners(self)
        """Whose write sessions are."""

    @property
    def groups(self) -> Sequence[GroupId]:
        """The groups that this node holds."""
        return tuple(self.service.groups)

    # Who asks --------------------------------------------------------------------------------------------------

    @property
    def caller(self) -> Caller:
        """Who asks, and for whom. NotAuthenticated where nobody has shown who asks, or the credential has run out."""
        guard, speaking, _ = _PINNED.get()
        if guard is self:
            return self._counting(speaking)
        caller = self.principal
        person = current_context().actor if self._visit is None else ""
        return caller.speaking_for(check_person(person)) if person else caller

    @property
    def principal(self) -> Caller:
        """Who asks, for nobody else: for doors whose calls say themselves whom they are made for. NotAuthenticated."""
        guard, _, alone = _PINNED.get()
        return self._counting(alone if guard is self else self._caller)

    @property
    def shown_name(self) -> str:
        """The name of `principal`, which doesn't look whether the credential still counts; empty: nobody's."""
        guard, _, alone = _PINNED.get()
        caller = alone if guard is self else self._caller
        return "" if caller is None else caller.principal.name

    def asking_for(self, person: str) -> Caller:
        """The same for somebody whom a call names; empty: for nobody else. NotAuthenticated, also where that one was
        revoked; InvalidArgument for what is no name."""
        caller = self.principal
        if not check_person(person):
            return caller
        found = caller.speaking_for(person)
        if self._visit is not None:
            self._visit.identities.check(found)
        return found

    def _counting(self, caller: Caller | None, *, touch: bool = False) -> Caller:
        """Whether the credential counts now. `touch`: a call has come."""
        if caller is None:
            raise NotAuthenticated("nobody has shown who asks" if self._visit is None else self._visit.nobody)
        if self._visit is not None:
            self._visit.check(caller, touch=touch)
        if caller.expires is not None and self.permits.wall_us() >= caller.expires:
            raise NotAuthenticated(f"the credential of {caller.principal.name} has run out: show a new one")
        return caller

    def become(self, caller: Caller | None) -> None:
        """From now on this one asks."""
        self._caller = self._speaking = caller
        self._not_accepted = ""

    def speak_for(self, person: str) -> None:
        """For whom the calls are made that follow on this connection; empty: for nobody else. InvalidArgument, also for
        each call that follows."""
        self._not_accepted = ""
        try:
            self._speaking = self._counting(self._caller).speaking_for(check_person(person))
        except InvalidArgument as error:
            self._not_accepted = str(error)
            raise

    async def sign_in(self, token: str, purpose: str, reason: str) -> Caller:
        """Who asks on this connection from now on, and what for. NotAuthenticated, InvalidArgument.

        Without a token: whom the handshake has named.
        """
        visit = self._visit
        if visit is None:
            raise NotAuthenticated("this door has no credentials of its own")
        await visit.identities.get_ready_for(token)
        try:
            caller = visit.sign_in(token, purpose, reason)
        except NotAuthenticated as error:
            self.become(visit.connected)
            self.permits.note_failed_sign_in(visit.peer.address, str(error))
            await visit.pause()
            raise
        self.become(caller)
        if token:
            self.permits.note_sign_in(caller)
        self.note_elsewhere()
        return caller

    def note_elsewhere(self) -> None:
        """Write down that what was shown here is shown from another machine as well."""

    def ended(self) -> str:
        """Why the connection is to be closed; empty: it isn't."""
        return "" if self._visit is None else self._visit.ended(self._caller)

    def enter(self, door: str) -> Entered:
        """Let a call in, and pin who makes it until `leave`, and for its tasks.

        NotAuthenticated; AccessDenied for a door that isn't in the table.
        """
        if door not in DOORS:
            raise AccessDenied(f"'{door}' isn't among the doors that are guarded")
        if door not in UNGUARDED:
            self._counting(self._caller, touch=True)
            if self._not_accepted and door != "speakFor":
                raise InvalidArgument(self._not_accepted)
        return _PINNED.set((self, self._speaking, self._caller))

    def leave(self, entered: Entered) -> None:
        """The call is dispatched."""
        _PINNED.reset(entered)

    # Permits ---------------------------------------------------------------------------------------------------

    def decide(
        self,
        action: Action,
        tenant: int,
        data_class: DataClass,
        *,
        group: str = "",
        stream: str = "",
        tables: Sequence[str] = (),
        columns: Sequence[str] = (),
        subject: str = "",
        door: str,
        plain: bool = True,
    ) -> Permit:
        """What the policy says; nothing is raised, and nothing written down. NotAuthenticated.

        `plain`: the answer can't be restricted to rows or masked, so a rule that does so allows it not.
        """
        caller = self.caller
        request = AccessRequest(
            principal=caller.principal,
            action=action,
            tenant=tenant,
            data_class=data_class,
            stream=stream,
            tables=tuple(tables),
            columns=tuple(columns),
            subject=subject,
            purpose=caller.purpose,
            on_behalf_of=caller.claims,
        )
        return self.permits.decide(caller, request, self._group_name(group), door, plain=plain)

    async def permit(
        self,
        action: Action,
        tenant: int,
        data_class: DataClass,
        *,
        group: str = "",
        stream: str = "",
        tables: Sequence[str] = (),
        columns: Sequence[str] = (),
        subject: str = "",
        door: str,
        plain: bool = True,
    ) -> Permit:
        """A permit. AccessDenied, once the denial is in the audit log."""
        found = self.decide(
            action,
            tenant,
            data_class,
            group=group,
            stream=stream,
            tables=tables,
            columns=columns,
            subject=subject,
            door=door,
            plain=plain,
        )
        return await self.checked(found)

    async def permit_any(
        self,
        actions: Sequence[Action],
        tenant: int,
        *,
        classes: Sequence[DataClass] = CLASSES,
        group: str = "",
        stream: str = "",
        door: str,
    ) -> Permit:
        """A permit for one of these actions on one of these classes of data. AccessDenied.

        All classes are for what tells of no data.
        """
        found = self.decide_any(actions, tenant, classes=classes, group=group, stream=stream, door=door)
        return await self.checked(found)

    def decide_any(
        self,
        actions: Sequence[Action],
        tenant: int,
        *,
        classes: Sequence[DataClass] = CLASSES,
        group: str = "",
        stream: str = "",
        door: str,
    ) -> Permit:
        """As `permit_any`, but nothing is raised, and nothing written down."""
        found: Permit | None = None
        where = self._group_name(group)
        streams = (stream,) if stream else ("", *self.permits.streams_named(where))
        tables = ((), *((table,) for table in self.permits.tables_named(where)))
        for some, one, action, data_class in product(tables, streams, actions, classes):
            tried = self.decide(
                action, tenant, data_class, group=group, stream=one, tables=some, door=door, plain=False
            )
            if tried.allowed:
                return tried
            found = found or tried
        assert found is not None
        return found

    async def operate(self, door: str, group: str = "", action: Action = Action.OPERATE) -> Permit:
        """A permit for what concerns no tenant. AccessDenied."""
        return await self.permit(action, SYSTEM_TENANT, DataClass.NON_PHI, group=group, door=door)

    async def checked(self, permit: Permit) -> Permit:
        """The permit if it allows; AccessDenied otherwise, once that is in the audit log."""
        if not permit.allowed:
            raise await self.permits.deny(permit)
        return permit

    # Writing down ----------------------------------------------------------------------------------------------

    async def record(self, permit: Permit, *entries: AuditEntry) -> None:
        """Returns once these are in the audit log that the permit's request belongs to.

        AuditUnavailable, NotPrimary, NotReady, PrimaryLost: then nothing may be answered.
        """
        tenant, group = self.permits.log_of(permit)
        await self.permits.record(tenant, group, entries)

    async def acted(self, permit: Permit, kind: Kind = Kind.ADMIN, **fields: object) -> None:
        """Write down that this was done."""
        await self.record(permit, permit.entry(kind, **fields))

    def refuse_write(
        self,
        permit: Permit,
        refuse: Callable[[AccessDenied, Callable[[T | Failure], None]], None],
        on_answer: Callable[[T | Failure], None],
    ) -> None:
        """Answer a write that is denied once both are committed: its refusal, which uses up its number, and the denial.

        `refuse` has the refusal committed, in the order of arrival.
        """
        answers: list[T | Failure] = []
        failures: list[VerityError | None] = []

        def finish() -> None:
            if answers and failures:
                on_answer(failures[0] if failures[0] is not None else answers[0])  # type: ignore[arg-type]

        def on_refused(answer: T | Failure) -> None:
            answers.append(answer)
            finish()

        async def write_down() -> None:
            try:
                await self.permits.deny(permit)
            except VerityError as error:
                failures.append(error)
            else:
                failures.append(None)
            finish()

        refuse(denied(permit), on_refused)
        self.permits.soon(write_down)

    def note_refused(
        self, permit: Permit, kind: Kind, error: DefiniteError, on_answer: Callable[[Failure], None]
    ) -> None:
        """Answer with a refusal that no log has taken, since the call is of no session, once it is written down."""

        async def write_down() -> None:
            try:
                await self.acted(permit, kind, outcome=Outcome.REFUSED, code=error.code.value)
            except VerityError as failure:
                on_answer(failure)  # type: ignore[arg-type]
            else:
                on_answer(error)

        self.permits.soon(write_down)

    # Places ----------------------------------------------------------------------------------------------------

    def place(self, tenant: int, stream: str, group: str = "") -> Place:
        """Where a stream lies, its creation perhaps still in the pipeline."""
        for name, reader in self.service.readers.items():
            if not group or name == group:
                found = reader.class_of(TenantId(tenant), stream)
                if found is not None:
                    return Place(name, found)
        return Place(self._group_name(group), None)

    def decide_stream(self, action: Action, tenant: int, stream: str, *, group: str = "", door: str) -> Permit:
        """What the policy says of a stream. For one that nobody knows: whether it would be allowed for any class."""
        place = self.place(tenant, stream, group)
        if place.data_class is not None:
            return self.decide(action, tenant, place.data_class, group=place.group, stream=stream, door=door)
        return self._decide_unknown(action, tenant, stream, place.group, door)

    def _decide_unknown(self, action: Action, tenant: int, stream: str, group: GroupId, door: str) -> Permit:
        first: Permit | None = None
        for data_class in CLASSES:
            found = self.decide(action, tenant, data_class, group=group, stream=stream, door=door)
            if found.allowed:
                return found
            first = first or found
        assert first is not None
        return first

    def _group_name(self, group: str) -> GroupId:
        """The group of this name; the node's region for an empty one, and for one that isn't there."""
        name = GroupId(group)
        return name if name in self.service.readers else self.permits.home

    def group_of_class(self, data_class: DataClass, placement: str = "") -> GroupId:
        """Where data of a class would lie."""
        if data_class is DataClass.PHI:
            return self._group_name(placement if placement != GLOBAL_GROUP else "")
        return self._group_name(placement)
