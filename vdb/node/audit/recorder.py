"""Puts entries into audit logs: what was read, denied or done, committed before anybody is answered.

Rules
- `record` returns once the entries are committed by the primary that this node is, in its own view: a primary that was
  deposed meanwhile gets PrimaryLost, and must not answer. So a receipt is also the proof that nobody else led the group
  when the answer was made.
- A backup has its primary record, and answers when it has (`vdb.node.audit.forwarding`).
- Whoever can't record doesn't answer: AuditUnavailable, NotPrimary, NotReady, Overloaded and PrimaryLost all say so.
- Entries of calls that run at the same time share a prepare, a record and a sync.
- An entry is one whole: what is too long for the log is shortened, and says so (`vdb.audit.shortening`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import trio
from attrs import frozen

from vdb.audit.entry import AuditEntry
from vdb.audit.shortening import fitted
from vdb.errors import AuditUnavailable, DiskFull, InvalidArgument, NotPrimary, PrimaryLost
from vdb.kernel.command import INTERNAL
from vdb.kernel.reply import AuditAppended, Reply
from vdb.node.audit.forwarding import Forwarding
from vdb.node.preparing.request import PlainAudit
from vdb.node.replication.group import Group
from vdb.types import GroupId, Position, TenantId
from vdb.vsr.replica import Status


@frozen(kw_only=True)
class Receipt:
    """Entries that are in an audit log."""

    group: GroupId
    tenant: TenantId
    """Whose log it is: the one that was asked for, or 0, the system's, of a tenant that the group knows nothing of."""
    index: int
    """Of the record that holds the entries, among the leaves of the log's tree."""
    first_entry: int
    """The number that the first of the entries has in the log; the others follow, perhaps behind those of others."""
    position: Position
    """Up to where the group's log had come."""


class Recorder:
    """See the module's docstring. One per node."""

    def __init__(self, groups: Mapping[GroupId, Group]) -> None:
        self._groups = groups
        self._forwardings = {name: Forwarding(group) for name, group in groups.items()}

    async def record(self, tenant: TenantId, group: GroupId, entries: Sequence[AuditEntry]) -> Receipt:
        """Commit entries of one tenant's log (0: the system's). They get their time here.

        Raises AuditUnavailable, NotPrimary, NotReady and Overloaded, of which nothing is recorded, and PrimaryLost, of
        which nobody knows. InvalidArgument for no entry at all, and for a group that this node hasn't.
        """
        found = self._groups.get(group)
        if found is None:
            raise InvalidArgument(f"this node has no group '{group}': expected one of {', '.join(self._groups)}")
        if not entries:
            raise InvalidArgument("a receipt is of one entry at least; found none")
        receipts = []
        for request in _requests(tenant, entries, found.limits.audit_entry_size_max):
            elsewhere = _has_primary_elsewhere(found)
            answer, first = await (self._forwardings[group].ask(request) if elsewhere else _committed(found, request))
            receipts.append(
                Receipt(
                    group=group,
                    tenant=answer.tenant,
                    index=answer.index,
                    first_entry=answer.first_entry + first,
                    position=Position(group, answer.position),
                )
            )
        return receipts[0]


def _requests(tenant: TenantId, entries: Sequence[AuditEntry], size_max: int) -> Iterator[PlainAudit]:
    """All entries, in as few requests as hold them."""
    taken: list[bytes] = []
    size = 0
    for entry in entries:
        encoded = fitted(entry, size_max)
        if taken and size + len(encoded) > size_max:
            yield PlainAudit(tenant=tenant, entries=tuple(taken))
            taken, size = [], 0
        taken.append(encoded)
        size += len(encoded)
    yield PlainAudit(tenant=tenant, entries=tuple(taken))


def _has_primary_elsewhere(group: Group) -> bool:
    replica = group.replica
    return replica.status is Status.NORMAL and replica.primary != replica.replica


async def _committed(group: Group, request: PlainAudit) -> tuple[AuditAppended, int]:
    """The reply of the log, and the place of the request's first entry in the record."""
    done = trio.Event()
    answers: list[Reply | NotPrimary | PrimaryLost] = []

    def on_answer(answer: Reply | NotPrimary | PrimaryLost) -> None:
        answers.append(answer)
        done.set()

    try:
        pending = group.submit(request, on_answer, INTERNAL, on_answer)
    except DiskFull as error:
        raise AuditUnavailable(f"the audit log of group {group.name} can't take what is to be read: {error}") from error
    await done.wait()
    (answer,) = answers
    if isinstance(answer, NotPrimary | PrimaryLost):
        raise answer
    assert isinstance(answer, AuditAppended), f"an audit log answers no {type(answer).__name__}"
    return answer, pending.entry
