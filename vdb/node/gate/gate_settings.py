"""How strict a node's gate is."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class GateSettings:
    """How strict a node is."""

    receipts: bool = True
    """Reads of PHI are answered once their entry is in the audit log."""
    require_policy: bool = False
    """Nothing is allowed in a group that has no policy."""
    policy_admins: tuple[str, ...] = ()
    """Principals that may apply the first policy of a node that requires one."""
    audit_non_phi_reads: bool = False
