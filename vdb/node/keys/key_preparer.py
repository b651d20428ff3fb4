"""The commands of a rotation, made on the prepared state: rows are wrapped anew, periods and keys of files follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vdb.crypto.keyring import Keyring
from vdb.kernel.command import INTERNAL, Command, KeyRow, KeyScope, PutKey, Request, RewrapKeys, StartPeriod
from vdb.kernel.rows import Rotation
from vdb.kernel.view import View
from vdb.node.keys.key_request import KeyRequest, PlainPeriod, PlainRewrap, PlainRotation
from vdb.types import TenantId

if TYPE_CHECKING:
    from vdb.node.preparing.sealer import Sealer
    from vdb.node.replication.batch import Batch


def key_command(sealer: Sealer, batch: Batch, request: KeyRequest) -> Command:
    """The command for a request. Periods that begin with it are in the batch then: it must be the next one."""
    view = batch.view
    if isinstance(request, PlainRotation):
        return RewrapKeys(root_key_id=request.root_key_id, begins=True, rotation_id=request.rotation_id)
    if isinstance(request, PlainPeriod):
        period = view.key_period(request.tenant) + 1
        return StartPeriod(tenant=request.tenant, period=period, rotation_id=request.rotation_id)
    return _step(sealer, batch, request)


def _step(sealer: Sealer, batch: Batch, request: PlainRewrap) -> RewrapKeys:
    rotation = batch.view.rotation()
    assert rotation is not None, "a rotation has steps once it has begun"
    rows: list[KeyRow] = []
    for tenant in request.tenants:
        held = sealer.keyring.row(tenant, KeyScope.TENANT)
        row = None if held is None else batch.view.key(held.dek_id)
        if row is None:
            continue
        if row.kek_id != rotation.root_key_id:
            rows.append(sealer.keyring.rewrap(row, rotation.root_key_id))
        if needs_period(batch.view, row, rotation):
            period = batch.view.key_period(tenant) + 1
            batch.add(Request(INTERNAL, StartPeriod(tenant=tenant, period=period)))
        for file in files_behind(batch.view, sealer.keyring, tenant, rotation):
            following = sealer.keyring.following(file, sealer.entropy)
            sealer.keyring.add(following)
            batch.add(Request(INTERNAL, PutKey(row=following)))
    return RewrapKeys(root_key_id=rotation.root_key_id, rows=tuple(rows))


def files_behind(view: View, keyring: Keyring, tenant: TenantId, rotation: Rotation) -> list[KeyRow]:
    """Keys of the tenant's files, the newest of each name, that were put before the rotation."""
    newest: dict[bytes, KeyRow] = {}
    for row in keyring.file_rows(tenant):
        held = newest.get(row.lookup)
        if held is None or held.period < row.period:
            newest[row.lookup] = row
    found: list[KeyRow] = []
    for row in newest.values():
        kept = view.key(row.dek_id)
        if kept is not None and not kept.is_destroyed and view.key_put_at(row.dek_id) < rotation.began_at:
            found.append(row)
    return found


def needs_period(view: View, tenant_key: KeyRow, rotation: Rotation) -> bool:
    """Whether this key's tenant may have data keys of before the rotation, and seal with them still."""
    tenant = tenant_key.tenant
    if not view.has_tenant(tenant):
        return False
    period = view.key_period(tenant)
    began = view.period_began(tenant, period) if period else view.key_put_at(tenant_key.dek_id)
    return began < rotation.began_at
