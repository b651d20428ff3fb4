"""The commands by which data end, made on the prepared state: which keys a subject has is known there alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, assert_never

from vdb.errors import RefusalCode
from vdb.kernel.command import Command, KeyScope, Reject
from vdb.kernel.erasure import SUBJECT_WAS_ERASED, is_erased
from vdb.kernel.erasure_command import AckErasure, EraseSubject, Prune, PutHold, PutRetention, ReleaseHold
from vdb.node.erasure.erasure_request import (
    ErasureRequest,
    PlainAck,
    PlainErase,
    PlainExpire,
    PlainHold,
    PlainPrune,
    PlainReleaseHold,
    PlainRetention,
)
from vdb.node.erasure.sealing import (
    ERASURE_SEALS,
    HOLD_SEALS,
    RELEASE_SEALS,
    RETENTION_SEALS,
    ErasureText,
    HoldText,
    ReleaseText,
    RetentionText,
    text_of,
)
from vdb.types import StreamId, TenantId

if TYPE_CHECKING:
    from vdb.node.preparing.sealer import Sealer
    from vdb.node.replication.batch import Batch


RETENTION_BASIS: Final = "the retention has ended"


def erasure_command(sealer: Sealer, batch: Batch, request: ErasureRequest) -> Command:
    """The command for a request; the keys that it needs are in the batch then: it must be the next one."""
    if sealer.keyring.row(request.tenant, KeyScope.TENANT) is None:
        message = f"tenant {request.tenant} has no stream in group {sealer.region}"
        return Reject(code=RefusalCode.UNKNOWN_TENANT, message=message)
    match request:
        case PlainErase():
            return _erase(sealer, batch, request)
        case PlainAck():
            return AckErasure(
                tenant=request.tenant,
                erasure=request.erasure,
                node=request.node,
                statement=request.statement,
                signature=request.signature,
            )
        case PlainHold():
            return _hold(sealer, batch, request)
        case PlainReleaseHold():
            text = text_of(ReleaseText(reason=request.reason))
            sealed = _seal(sealer, batch, request.tenant, RELEASE_SEALS, text)
            return ReleaseHold(tenant=request.tenant, hold=request.hold, sealed=sealed)
        case PlainRetention():
            sealed = b""
            if request.days:
                text = text_of(RetentionText(stream=request.stream))
                sealed = _seal(sealer, batch, request.tenant, RETENTION_SEALS, text)
            return PutRetention(
                tenant=request.tenant,
                lookup=sealer.keyring.lookup(request.tenant, KeyScope.STREAM, request.stream),
                data_class=request.data_class,
                days=request.days,
                sealed=sealed,
            )
        case PlainExpire():
            return EraseSubject(
                tenant=request.tenant,
                subject=b"",
                dek_ids=_live(batch, (*request.dek_ids, *_files(sealer, request.tenant))),
                basis=RETENTION_BASIS,
                by=request.by,
                members=request.members,
                judged=request.judged,
            )
        case PlainPrune():
            return Prune(tenant=request.tenant, segments=request.segments, judged=request.judged, by=request.by)
        case _:
            assert_never(request)


def _erase(sealer: Sealer, batch: Batch, request: PlainErase) -> Command:
    tenant, keyring = request.tenant, sealer.keyring
    if request.watch is not None and request.watch.touched:
        return Reject(code=RefusalCode.POLICY_CHANGED, message="something was written about the subject meanwhile")
    rows = keyring.rows(tenant, KeyScope.SUBJECT, request.subject, batch.view.key_period(tenant))
    text = text_of(ErasureText(basis=request.basis))
    sealed = _seal(sealer, batch, tenant, ERASURE_SEALS, text)
    live = _live(batch, ([row.dek_id for row in rows] + _files(sealer, tenant)))
    if len(live) > request.keys_max:
        return Reject(code=RefusalCode.OVERLOADED, message="the subject was given new keys meanwhile: try again")
    return EraseSubject(
        tenant=tenant,
        subject=keyring.lookup(tenant, KeyScope.SUBJECT, request.subject),
        dek_ids=live,
        basis="",
        by=request.by,
        members=request.members,
        judged=request.judged,
        sealed=sealed,
    )


def _live(batch: Batch, dek_ids: Sequence[bytes]) -> tuple[bytes, ...]:
    """Those that the log has, and that weren't destroyed."""
    held = [batch.view.key(dek_id) for dek_id in dek_ids]
    return tuple(row.dek_id for row in held if row is not None and not row.is_destroyed)


def _files(sealer: Sealer, tenant: TenantId) -> list[bytes]:
    """Keys of the tenant's files of rows: they hold what was derived from what is to go."""
    return [row.dek_id for row in sealer.keyring.file_rows(tenant)]


def _hold(sealer: Sealer, batch: Batch, request: PlainHold) -> Command:
    tenant, subject = request.tenant, request.subject
    lookup = sealer.keyring.lookup(tenant, KeyScope.SUBJECT, subject) if subject else b""
    if lookup and is_erased(batch.view, tenant, lookup):
        return Reject(code=RefusalCode.SUBJECT_ERASED, message=SUBJECT_WAS_ERASED)
    text = text_of(HoldText(subject=subject, stream=request.stream, reason=request.reason))
    return PutHold(tenant=tenant, subject=lookup, sealed=_seal(sealer, batch, tenant, HOLD_SEALS, text, subject))


def _seal(sealer: Sealer, batch: Batch, tenant: TenantId, stream: StreamId, text: str, subject: str = "") -> bytes:
    data_class = sealer.names_class
    scope = KeyScope.SUBJECT if subject else KeyScope.CATALOGUE
    key = sealer.ensure_key(batch, tenant, scope, subject, data_class)
    return sealer.seal_text(tenant, stream, 0, text, key, data_class, batch.next_timestamp)
