"""What was found, and what of it the caller may have: permits for each stream and, where that counts, each subject.

A grant or a consent may be about one subject. Of an event it is known under which key it was sealed, and so whose it
is, if a grant of the caller's or a consent names that subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind
from vdb.kernel.command import KeyScope
from vdb.kernel.governance import find_consent
from vdb.node.gate.permit import Permit, named_subjects
from vdb.node.governance.sealing import open_consent
from vdb.policy.words import Action
from vdb.projections.source import OpenedRun
from vdb.selection import EventRecord
from vdb.types import DataClass, GroupId, Position, TenantId

if TYPE_CHECKING:
    from vdb.node.gate.guard_base import GuardBase

Event = TypeVar("Event", OpenedRun, EventRecord)
_NO_TOKEN = bytes(32)


@define
class _Part:
    """What was found of one stream with one permit."""

    permit: Permit
    stream: str
    data_class: DataClass
    tokens: dict[bytes, None] = field(factory=dict)
    first: int | None = None
    count: int = 0
    digest: Any = field(factory=sha256)


class Finding:
    """Of one read. Ask `allowed` for each piece, then for the `receipts`."""

    def __init__(self, guard: GuardBase, tenant: int, door: str) -> None:
        self._guard = guard
        self._tenant = TenantId(tenant)
        self._door = door
        self._permits: dict[tuple[str, DataClass, bytes], Permit] = {}
        self._parts: dict[tuple[str, DataClass, str], _Part] = {}

    @property
    def first(self) -> Permit:
        """One by which something is answered."""
        return next(iter(self._parts.values())).permit

    def allowed(self, found: Sequence[Event]) -> list[Event]:
        """Those that the caller may read, in their order."""
        answered = []
        for one in found:
            permit = self.decide(one)
            if permit.allowed:
                answered.append(one)
                self._note(permit, one)
        return answered

    def decide(self, one: OpenedRun | EventRecord) -> Permit:
        """What the policy says of this one."""
        group = GroupId(one.group if isinstance(one, OpenedRun) else one.position.group)
        varying = self._guard.permits.is_varying(group, Action.READ)
        key = (one.stream, one.data_class, one.dek_id if varying else b"")
        permit = self._permits.get(key)
        if permit is None:
            permit = self._decide(one, group, "")
            if not permit.allowed and varying:
                subject = self._subject(group, one.dek_id)
                if subject:
                    permit = self._decide(one, group, subject)
            self._permits[key] = permit
        return permit

    def _decide(self, one: OpenedRun | EventRecord, group: GroupId, subject: str) -> Permit:
        return self._guard.decide(
            Action.READ,
            self._tenant,
            one.data_class,
            group=group,
            stream=one.stream,
            subject=subject,
            door=self._door,
        )

    def _subject(self, group: GroupId, dek_id: bytes) -> str:
        """Whose key this is, where a grant of the caller's or a consent names that subject; else empty."""
        permits, found = self._guard.permits, self._guard.permits.group(group)
        keyring = found.keyring
        lookup = keyring.subject_lookup(dek_id)
        if lookup is None:
            return ""
        for grant in permits.book.grants(group, self._tenant, self._guard.caller.principal.name):
            if grant.subject and keyring.lookup(self._tenant, KeyScope.SUBJECT, grant.subject) == lookup:
                return grant.subject
        row = find_consent(found.state, self._tenant, lookup)
        text = None if row is None else open_consent(keyring, row)
        return "" if text is None else text.subject

    # Receipts --------------------------------------------------------------------------------------------------

    def _note(self, permit: Permit, one: OpenedRun | EventRecord) -> None:
        settings = self._guard.permits.settings
        if not (settings.receipts if one.data_class is DataClass.PHI else settings.audit_non_phi_reads):
            return
        key = (one.stream, one.data_class, permit.request.subject)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(permit, one.stream, one.data_class)
        if isinstance(one, OpenedRun):
            first, count, content = one.first_offset, one.count, one.batch
        else:
            first, count, content = one.offset, 1, one.payload
        part.first = first if part.first is None else min(part.first, first)
        part.count += count
        part.tokens[one.subject_token] = None
        part.digest.update(content)

    def receipts(self) -> list[AuditEntry]:
        """Entries for what `allowed` has let through."""
        if self._guard.permits.recorder is None:
            return []
        return [self._receipt(part) for part in self._parts.values()]

    def _receipt(self, part: _Part) -> AuditEntry:
        permit = part.permit
        group = self._guard.permits.group(permit.group)
        named = permit.request.subject
        return permit.entry(
            Kind.READ,
            object=part.stream,
            data_class=part.data_class.label,
            subjects=(named,) if named else named_subjects(map(subject_of, part.tokens)),
            first=part.first,
            count=part.count,
            digest=part.digest.hexdigest(),
            view=group.replica.view,
            position=str(Position(group.name, group.state.next_position)),
        )


def subject_of(token: bytes) -> str:
    """A subject as an entry names it where only its token is known; "*" where none was given."""
    return f"token:{token.hex()}" if token and token != _NO_TOKEN else ALL_SUBJECTS[0]
