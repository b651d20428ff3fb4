"""What a call was allowed, or denied, by which rule: a value that its audit entries are made of.

`PolicyBook` and `Recorder` are what the guard needs of the node's policies and of its audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind, Outcome
from vdb.node.gate.caller import Caller
from vdb.policy.decide import AccessRequest, Consent, Decision, Grant
from vdb.policy.model import Policy
from vdb.types import GroupId, TenantId

SUBJECTS_MAX = 1000
"""Above so many subjects an entry counts for everybody."""

NO_POLICY = "no-policy"
"""The rule of what is allowed while a group has no policy."""
POLICY_REQUIRED = "policy-required"
"""The rule of what is denied while a group has no policy, on a node that wants one."""


class PolicyBook(Protocol):
    """The policies of a node's groups, decoded."""

    def policy(self, group: GroupId) -> Policy | None:
        """The one that holds in the group; the same object until another one holds. None: none was applied."""

    def grants(self, group: GroupId, tenant: TenantId, principal: str) -> Sequence[Grant]:
        """The glasses that this principal has broken in a tenant, expired ones perhaps among them."""

    def consents(self, group: GroupId, tenant: TenantId, subject: str) -> Sequence[Consent]:
        """What a subject has consented to."""

    def consenting(self, group: GroupId, tenant: TenantId) -> Mapping[str, tuple[Consent, ...]]:
        """What each subject of a tenant has consented to; the same object until something of it changes."""


class Recorder(Protocol):
    """Commits entries to audit logs."""

    async def record(self, tenant: TenantId, group: GroupId, entries: Sequence[AuditEntry]) -> Any:
        """Returns once they are committed in the view of this primary. AuditUnavailable, NotPrimary, NotReady,
        PrimaryLost: then nothing may be answered."""


class EmptyBook:
    """Nobody has applied a policy."""

    def policy(self, _group: GroupId) -> Policy | None:
        return None

    def grants(self, _group: GroupId, _tenant: TenantId, _principal: str) -> Sequence[Grant]:
        return ()

    def consents(self, _group: GroupId, _tenant: TenantId, _subject: str) -> Sequence[Consent]:
        return ()

    def consenting(self, _group: GroupId, _tenant: TenantId) -> Mapping[str, tuple[Consent, ...]]:
        return {}


@frozen(kw_only=True)
class Permit:
    """A decision with all that led to it."""

    caller: Caller
    request: AccessRequest
    decision: Decision
    group: GroupId
    """Where the audit entry belongs."""
    door: str
    """The method that was called."""
    node: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision.allowed

    def entry(self, kind: Kind, **fields: Any) -> AuditEntry:
        """What the audit log says of a call with this permit; `fields` are those of `AuditEntry`, and win."""
        caller, request, decision = self.caller, self.request, self.decision
        given: dict[str, Any] = {
            "action": request.action.value,
            "actor": caller.principal.name,
            "credential": caller.credential.value,
            "mfa": caller.principal.mfa,
            "client": caller.client,
            "on_behalf_of": caller.on_behalf_of,
            "door": self.door,
            "purpose": caller.purpose,
            "reason": caller.reason,
            "rule": decision.rule,
            "policy": decision.version,
            "data_class": request.data_class.label,
            "object": request.stream,
            "tables": request.tables,
            "node": self.node,
        }
        if request.subject:
            given["subjects"] = (request.subject,)
        if decision.broke_glass:
            given["detail"] = {"broke-glass": "true"}
            given["grant"] = decision.grant
        return AuditEntry(kind=kind, **(given | fields))

    def denial(self) -> AuditEntry:
        """What the audit log says of a call that is denied."""
        return self.entry(Kind.DENY, outcome=Outcome.DENIED, code="ACCESS_DENIED", detail={"why": self.decision.reason})


def named_subjects(names: Iterable[str]) -> tuple[str, ...]:
    """Subjects for an entry: each once, `["*"]` above 1,000."""
    found = tuple(dict.fromkeys(names))
    return ALL_SUBJECTS if len(found) > SUBJECTS_MAX else found
