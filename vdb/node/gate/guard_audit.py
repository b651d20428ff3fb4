"""The guard of audit logs: reading them is itself written down, before anybody is answered."""

from __future__ import annotations

import json
from typing import Any

from vdb.audit.entry import ALL_SUBJECTS, Kind
from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.errors import AuditUnavailable, InvalidArgument
from vdb.kernel.audit import audit_class
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.look import Look
from vdb.policy.words import Action
from vdb.types import SYSTEM_TENANT, TenantId, check_tenant_id

RECORDS_MAX = 1000
"""Records that one answer has."""
DETAIL_BYTES_MAX = 16 * 1024
OWN_KINDS = (Kind.EXPORT, Kind.REVIEW, Kind.APPLICATION)
"""What a program may record of its own."""
_TEXTS = ("object", "digest", "statement")


class AuditGuard(GuardBase):
    """See the module's docstring."""

    async def audit_entries(
        self, tenant: int, group: str, from_index: int, count_max: int, search: AuditSearch, *, sealed: bool
    ) -> AuditPage:
        """`AuditReader.records` at the group's primary, once the entry that says so is committed. 0: the system's log.

        AccessDenied, NotPrimary, NotReady, AuditUnavailable, InvalidArgument.
        """
        if tenant != SYSTEM_TENANT:
            check_tenant_id(tenant)
        found = self.service.group_of(group)
        permit = await self.permit(
            Action.AUDIT, tenant, audit_class(found.name), group=found.name, subject=search.subject, door="auditEntries"
        )
        look = await Look.begin(found)
        count = min(count_max or RECORDS_MAX, RECORDS_MAX)
        page = await self.service.audit.records(
            TenantId(tenant), found.name, from_index, count, search=search, sealed=sealed
        )
        if not self.permits.gives_receipts:
            await found.confirm()
            return page
        entries = sum(len(record.entries) for record in page.records)
        subjects = (search.subject,) if search.subject else ALL_SUBJECTS
        look.still_leads()
        await self.acted(permit, Kind.AUDIT, subjects=subjects, first=from_index, count=entries, detail=_asked(search))
        return page

    async def record_audit(self, tenant: int, group: str, kind: str, detail: str) -> int:
        """An entry of a program's own. `detail`: a JSON object of texts; `subjects` may be a list, `count` a number.

        The leaf that it stands in. AccessDenied, InvalidArgument and what `Recorder.record` raises.
        """
        if tenant != SYSTEM_TENANT:
            check_tenant_id(tenant)
        found, chosen, fields = self.service.group_of(group), _own_kind(kind), _fields(detail)
        wanted = (Action.EXPORT,) if chosen is Kind.EXPORT else (Action.AUDIT, Action.EXPORT)
        permit = await self.permit_any(wanted, tenant, group=found.name, door="recordAudit")
        if self.permits.recorder is None:
            raise AuditUnavailable("this node keeps no audit log")
        entry = permit.entry(chosen, data_class=audit_class(found.name).label, **fields)
        receipt = await self.permits.recorder.record(TenantId(tenant), found.name, [entry])
        return int(receipt.index)


def _asked(search: AuditSearch) -> dict[str, str]:
    """What was looked for, as far as it isn't the subject."""
    found = {"actor": search.actor, "kinds": ",".join(search.kinds)}
    found |= {"from": str(search.from_time or ""), "to": str(search.to_time or "")}
    return {name: text for name, text in found.items() if text}


def _own_kind(kind: str) -> Kind:
    for one in OWN_KINDS:
        if one.value == kind:
            return one
    names = ", ".join(one.value for one in OWN_KINDS)
    raise InvalidArgument(f"a program records entries of its own kinds: expected one of {names}, found '{kind}'")


def _fields(detail: str) -> dict[str, Any]:
    """Fields of an entry, from what a program says of it."""
    if len(detail.encode()) > DETAIL_BYTES_MAX:
        raise InvalidArgument(f"an entry's detail takes at most {DETAIL_BYTES_MAX} bytes")
    try:
        given = json.loads(detail) if detail else {}
    except ValueError:
        raise InvalidArgument("an entry's detail is a JSON object; found something else") from None
    if not isinstance(given, dict):
        raise InvalidArgument("an entry's detail is a JSON object; found something else")
    fields: dict[str, Any] = {"subjects": _subjects(given.pop("subjects", []))}
    count = given.pop("count", 0)
    if not isinstance(count, int) or not 0 <= count < 2**63:
        raise InvalidArgument("the count of an entry is a number from 0 on; found something else")
    fields["count"] = count
    if any(not isinstance(text, str) for text in given.values()):
        raise InvalidArgument("an entry's detail holds texts; found something else")
    fields |= {name: given.pop(name) for name in _TEXTS if name in given}
    fields["detail"] = given
    return fields


def _subjects(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or any(not isinstance(one, str) for one in given):
        raise InvalidArgument("the subjects of an entry are a list of texts; found something else")
    return tuple(given)
