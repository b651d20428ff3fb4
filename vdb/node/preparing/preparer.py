"""The primary's preparer: plain requests in, sealed requests with predicted replies out.

It works on the *prepared state*: the kernel with the whole pipeline applied. Stream ids, offsets, refusals and the
life of keys come from there, so that records can be sealed before they are replicated, and apply asserts that every
prediction holds. A new key's request stands before the first record that it seals, in the same prepare.

See `Batch` for what becomes of the result.
"""

from __future__ import annotations

from attrs import frozen

from vdb.kernel.command import (
    Command,
    OpenSession,
    PutKey,
    Reject,
    Request,
    VoidTransaction,
)
from vdb.node.consumers.consumer_preparer import consumer_command
from vdb.node.consumers.consumer_request import ConsumerRequest
from vdb.node.erasure.erasure_preparer import erasure_command
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
from vdb.node.governance.governance_preparer import governance_command
from vdb.node.governance.governance_request import (
    GovernanceRequest,
    PlainAttestation,
    PlainConsent,
    PlainGrant,
    PlainPolicy,
    PlainReview,
)
from vdb.node.keys.key_preparer import key_command
from vdb.node.keys.key_request import KeyRequest, PlainPeriod, PlainRewrap, PlainRotation
from vdb.node.preparing.appending import append_command, create_command
from vdb.node.preparing.noting import note_entries, note_request, seal_notes
from vdb.node.preparing.request import (
    Pending,
    PlainAudit,
    PlainBatch,
    PlainCreate,
    PlainKey,
    PlainReconfigure,
    PlainReject,
    PlainSession,
    PlainTransaction,
    PlainVoid,
)
from vdb.node.preparing.sealer import Sealer
from vdb.node.replication.batch import Batch

Whole = (
    PlainCreate
    | PlainBatch
    | PlainVoid
    | PlainSession
    | PlainKey
    | PlainReject
    | ConsumerRequest
    | GovernanceRequest
    | KeyRequest
    | ErasureRequest
)
"""Requests that one prepare holds."""


@frozen(kw_only=True)
class Preparer(Sealer):
    """See the module's docstring. One per group."""

    def add(self, batch: Batch, pending: Pending) -> None:
        """Seal one request and add it, with the keys that it needs, to the batch."""
        request = pending.request
        assert not isinstance(request, (PlainTransaction, PlainReconfigure)), "it fills prepares of its own"
        batch.size += pending.size
        if isinstance(request, PlainAudit):
            note_entries(self, batch, pending)
            return
        command = self.command(batch, request)
        batch.add(Request(pending.origin, command))
        batch.waiters.append((len(batch.requests) - 1, pending))
        note_request(self, batch, pending)

    def finish(self, batch: Batch) -> None:
        """All requests are in: seal what they tell the audit logs of."""
        seal_notes(self, batch)

    def command(self, batch: Batch, request: Whole) -> Command:
        """The command for a request, sealed. The keys that it needs are in the batch then: it must be the next one."""
        match request:
            case PlainBatch():
                return append_command(self, batch, request)
            case PlainCreate():
                return create_command(self, batch, request)
            case PlainSession():
                return OpenSession(owner=request.owner)
            case PlainReject():
                return Reject(code=request.code, message=request.message)
            case PlainKey():
                return self._key(batch, request)
            case PlainVoid():
                return VoidTransaction(transaction=request.transaction)
            case PlainPolicy() | PlainGrant() | PlainReview() | PlainConsent() | PlainAttestation():
                return governance_command(self, batch, request)
            case PlainRotation() | PlainRewrap() | PlainPeriod():
                return key_command(self, batch, request)
            case PlainErase() | PlainExpire() | PlainAck() | PlainHold() | PlainReleaseHold():
                return erasure_command(self, batch, request)
            case PlainRetention() | PlainPrune():
                return erasure_command(self, batch, request)
            case _:
                return consumer_command(self, batch, request)

    def _key(self, batch: Batch, request: PlainKey) -> Command:
        """The key that is there already, or a new one: putting a row twice is harmless."""
        self.ensure_tenant_key(batch, request.tenant)
        tenant, scope, name = request.tenant, request.scope, request.name
        row, period = self.keyring.newest_row(tenant, scope, name)
        held = None if row is None else batch.view.key(row.dek_id)
        if row is None or (held is not None and held.is_destroyed):
            row = self.keyring.make(tenant, scope, name, request.data_class, self.entropy, period=period)
            self.keyring.add(row)
        return PutKey(row=row)
