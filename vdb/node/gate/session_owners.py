"""Whose a write session is: who has opened it sends in it, and nobody else.

Rules
- A session's number and its client's id are no secrets: what they were learnt from may be a log or a dump. So whoever
  sends in a session must be the principal who opened it: else they could use up its numbers, or read kept answers.
- Whose it is stands in the group's log (`vdb.kernel.sessions`), so a new primary and a node that starts again know it.
- A session of which that was never said, opened under an earlier version, is whoever's that knows its number.
- For whom a program says that it asks, doesn't count: a session is the program's.
- What isn't the caller's is refused before anything else is looked at: it uses up no number, and it is written down.
- A node that may not have heard of a session yet says that it isn't the primary, or isn't ready. What comes in one that
  the primary doesn't know comes in none that is opened while it waits: it is refused as expired.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from vdb.errors import AccessDenied, DefiniteError, VerityError
from vdb.kernel.command import NO_CLIENT, Origin
from vdb.kernel.sessions import owner_of
from vdb.kernel.streamid import group_tag, tag_of
from vdb.node.gate.doors import DOORS
from vdb.node.gate.permit import Permit
from vdb.node.gate.writes import Failure
from vdb.node.replication.group import Group
from vdb.policy.decide import AccessRequest, Decision
from vdb.policy.words import Action
from vdb.types import DataClass, GroupId

if TYPE_CHECKING:
    from vdb.node.gate.guard_base import GuardBase

T = TypeVar("T")
SESSION_OWNER = "session-owner"
"""The rule of what is denied since a session, or a client, is another principal's."""
KNOWN_MAX = 1000
"""Sessions that a connection is remembered to own."""


def owner_digest(principal: str) -> bytes:
    """What the log says of whose a session is."""
    return sha256(principal.encode(errors="surrogatepass")).digest()


class SessionOwners:
    """Of one guard."""

    def __init__(self, guard: GuardBase) -> None:
        self._guard = guard
        self._known: dict[int, str] = {}
        """Sessions and whose they were found to be: that never changes."""

    def claim(self, origin: Origin, tenant: int, door: str, on_answer: Callable[[Failure], None]) -> Origin | None:
        """As what a write goes on; None: it is answered with why it doesn't, once that is written down."""
        try:
            found = self._look(origin)
        except DefiniteError as error:
            on_answer(error)
            return None
        if found is not None:
            return found
        permit = self._denied(origin, tenant, door)

        async def refuse() -> None:
            on_answer(await self._denial(permit))  # type: ignore[arg-type]

        self._guard.permits.soon(refuse)
        return None

    async def claimed(self, origin: Origin, tenant: int, door: str) -> Origin:
        """`claim` for a task. AccessDenied, once it is in the audit log, for a session of another's. NotPrimary,
        NotReady."""
        found = self._look(origin)
        if found is None:
            raise await self._denial(self._denied(origin, tenant, door))
        return found

    async def open(self, client: bytes, group: str) -> int:
        """A new session that is the caller's. AccessDenied, once it is in the audit log, for a client of another's."""
        guard = self._guard
        owner = owner_digest(guard.principal.principal.name)
        try:
            return await guard.service.open_session(client, group, owner=owner)
        except AccessDenied as error:
            permit = self._permit(guard.service.group_of(group).name, 0, "openSession", str(error))
            raise await self._denial(permit) from None

    async def _denial(self, permit: Permit) -> VerityError:
        try:
            return await self._guard.permits.deny(permit)
        except VerityError as failure:
            return failure

    def _look(self, origin: Origin) -> Origin | None:
        """None: the session is another's."""
        session = origin.session
        if not session:
            return origin
        name = self._guard.shown_name
        if self._known.get(session) == name:
            return origin
        group = self._group_of(session)
        if group is None:
            return origin
        owner = owner_of(group.prepared, session)
        if owner is None:
            elsewhere = group.not_serving()
            if elsewhere is not None:
                raise elsewhere
            return evolve(origin, client=NO_CLIENT)
        if owner and owner != owner_digest(name):
            return None
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[session] = name
        return origin

    def _group_of(self, session: int) -> Group | None:
        tag = tag_of(session)
        return next((group for name, group in self._guard.service.groups.items() if group_tag(name) == tag), None)

    def _denied(self, origin: Origin, tenant: int, door: str) -> Permit:
        group = self._group_of(origin.session)
        assert group is not None, "a session of no group is nobody's"
        return self._permit(group.name, tenant, door, f"session {origin.session} was opened by another principal")

    def _permit(self, group: GroupId, tenant: int, door: str, reason: str) -> Permit:
        """A denied one. Nobody has looked what it is about."""
        caller = self._guard.caller
        request = AccessRequest(
            principal=caller.principal,
            action=next(iter(DOORS[door]), Action.APPEND),
            tenant=tenant,
            data_class=DataClass.PHI,
            purpose=caller.purpose,
            on_behalf_of=caller.claims,
        )
        decision = Decision(allowed=False, rule=SESSION_OWNER, version="", reason=reason)
        node = self._guard.permits.node
        return Permit(caller=caller, request=request, decision=decision, group=group, door=door, node=node)
