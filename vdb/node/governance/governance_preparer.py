"""The preparer's part for governance: requests in, commands out, on the prepared state.

A grant's end and its number come from the time of its own request, which is known once its keys are in the batch. What
will be refused is neither sealed nor given a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from vdb.crypto.record import decode_record
from vdb.kernel.command import Command, KeyRow, KeyScope
from vdb.kernel.governance import check_attest, check_consent, check_open_grant, check_review, find_grant
from vdb.kernel.governance_command import Attest, OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.kernel.rows import LOOKUP_SIZE
from vdb.node.governance.governance_request import (
    GovernanceRequest,
    PlainAttestation,
    PlainConsent,
    PlainGrant,
    PlainPolicy,
    PlainReview,
)
from vdb.node.governance.sealing import (
    ATTESTATION_SEALS,
    CONSENT_SEALS,
    GRANT_SEALS,
    REVIEW_SEALS,
    ConsentText,
    SealedText,
    text_of,
)
from vdb.node.replication.batch import Batch
from vdb.types import GLOBAL_GROUP, StreamId, TenantId

if TYPE_CHECKING:
    from vdb.node.preparing.sealer import Sealer

_NOBODY = bytes(LOOKUP_SIZE)
"""Stands for a subject where nobody is looked up, as the request is refused."""


def governance_command(sealer: Sealer, batch: Batch, request: GovernanceRequest) -> Command:
    """The command for a request; the keys that it needs are in the batch then."""
    match request:
        case PlainPolicy():
            return PutPolicy(serial=request.serial, version=request.version, text=request.text, by=request.by)
        case PlainGrant():
            return _grant(sealer, batch, request)
        case PlainReview():
            return _review(sealer, batch, request)
        case PlainConsent():
            return _consent(sealer, batch, request)
        case PlainAttestation():
            return _attestation(sealer, batch, request)
        case _:
            assert_never(request)


def _grant(sealer: Sealer, batch: Batch, request: PlainGrant) -> Command:
    tenant, subject, seconds = request.tenant, request.text.subject, request.seconds
    sealed, lookup = b"", b""
    if subject and check_open_grant(batch.view, tenant, request.principal, b"", seconds) is None:
        sealer.ensure_tenant_key(batch, tenant)
        lookup = sealer.keyring.lookup(tenant, KeyScope.SUBJECT, subject)
    if check_open_grant(batch.view, tenant, request.principal, lookup, seconds) is None:
        key = _key_of(sealer, batch, tenant, subject)
        sealed = _seal(sealer, batch, tenant, GRANT_SEALS, batch.next_timestamp, request.text, key)
    return OpenGrant(
        tenant=tenant,
        principal=request.principal,
        subject=lookup,
        until=max(0, batch.next_timestamp + seconds * 1_000_000),
        sealed=sealed,
    )


def _review(sealer: Sealer, batch: Batch, request: PlainReview) -> Command:
    tenant, grant, reviewer = request.tenant, request.grant, request.reviewer
    sealed = b""
    if check_review(batch.view, tenant, grant, reviewer) is None:
        held = find_grant(batch.view, tenant, grant)
        assert held is not None
        key = batch.view.key(decode_record(held.sealed).header.dek_id) if held.subject else None
        if key is None or key.is_destroyed:
            key = _key_of(sealer, batch, tenant, "")
        sealed = _seal(sealer, batch, tenant, REVIEW_SEALS, grant, request.text, key)
    return ReviewGrant(tenant=tenant, grant=grant, reviewer=reviewer, sealed=sealed)


def _consent(sealer: Sealer, batch: Batch, request: PlainConsent) -> Command:
    tenant = request.tenant
    if sealer.region == GLOBAL_GROUP or tenant == 0:
        return _consent_command(request, _NOBODY, b"")
    sealer.ensure_tenant_key(batch, tenant)
    lookup = sealer.keyring.lookup(tenant, KeyScope.SUBJECT, request.subject)
    command = _consent_command(request, lookup, b"")
    if request.withdraw or check_consent(batch.view, command, batch.next_timestamp) is not None:
        return command
    key = _key_of(sealer, batch, tenant, request.subject)
    text = ConsentText(request.subject)
    sealed = _seal(sealer, batch, tenant, CONSENT_SEALS, batch.next_timestamp, text, key)
    return _consent_command(request, lookup, sealed)


def _consent_command(request: PlainConsent, lookup: bytes, sealed: bytes) -> PutConsent:
    return PutConsent(
        tenant=request.tenant,
        subject=lookup,
        purposes=request.purposes,
        until=request.until,
        withdraw=request.withdraw,
        sealed=sealed,
    )


def _attestation(sealer: Sealer, batch: Batch, request: PlainAttestation) -> Command:
    tenant, stream = request.tenant, request.stream
    sealed = b""
    if check_attest(batch.view, tenant, stream, request.by) is None:
        key = _key_of(sealer, batch, tenant, "")
        sealed = _seal(sealer, batch, tenant, ATTESTATION_SEALS, stream, request.text, key)
    return Attest(tenant=tenant, stream=stream, by=request.by, sealed=sealed)


def _key_of(sealer: Sealer, batch: Batch, tenant: TenantId, subject: str) -> KeyRow:
    """The subject's own key; the tenant's for its names where nobody is named."""
    sealer.ensure_tenant_key(batch, tenant)
    scope = KeyScope.SUBJECT if subject else KeyScope.CATALOGUE
    return sealer.ensure_key(batch, tenant, scope, subject, sealer.names_class)


def _seal(
    sealer: Sealer, batch: Batch, tenant: TenantId, stream: StreamId, offset: int, text: SealedText, key: KeyRow
) -> bytes:
    return sealer.seal_text(tenant, stream, offset, text_of(text), key, sealer.names_class, batch.next_timestamp)
