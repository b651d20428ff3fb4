"""The command of the audit log (`vdb.kernel.audit`)."""

from __future__ import annotations

from attrs import field

from vdb.types import TenantId
from vdb.values import fast_frozen


@fast_frozen(kw_only=True)
class AuditAppend:
    """Entries of one tenant's audit log, sealed as one record. The last request of a prepare that is about the tenant.

    The system's own log, of what is about no tenant, is that of tenant 0.
    """

    tenant: TenantId
    count: int
    """Entries in the record."""
    writes: int
    """How many requests of this prepare that must have an entry have theirs here."""
    record: bytes = field(repr=False)
