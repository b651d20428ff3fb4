"""The command of the audit log as bytes (`schemas/command.capnp`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.errors import WireError
from vdb.kernel.audit_command import AuditAppend
from vdb.types import TENANT_MAX, TenantId


def encode_audit(builder: Any, command: AuditAppend) -> None:
    target = builder.init("auditAppend")
    target.tenant = command.tenant
    target.count = command.count
    target.writes = command.writes
    target.record = command.record


def _decode_audit(request: Any) -> AuditAppend:
    reader = request._get("auditAppend")
    tenant = reader._get("tenant")
    if tenant > TENANT_MAX:
        raise WireError(f"an audit log is that of a tenant up to {TENANT_MAX}; found {tenant}")
    return AuditAppend(
        tenant=TenantId(tenant),
        count=reader._get("count"),
        writes=reader._get("writes"),
        record=reader._get("record"),
    )


AUDIT_DECODERS: dict[str, Callable[[Any], AuditAppend]] = {"auditAppend": _decode_audit}
"""By the name of the request's field."""
