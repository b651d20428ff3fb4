"""The primary's preparer: plain requests in, sealed requests with predicted replies out.

It works on the *prepared state*: the kernel with the whole pipeline applied. Stream ids, offsets, refusals and the
life of keys come from there, so that records can be sealed before they are replicated, and apply asserts that every
prediction holds. A new key's request stands before the first record that it seals, in the same prepare.

See `Batch` for what becomes of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from vdb.crypto.keyring import FIRST_PERIOD, Keyring
from vdb.crypto.record import encode_header, encode_record
from vdb.errors import RefusalCode
from vdb.kernel.command import (
    INTERNAL,
    AppendBatch,
    Command,
    CreateStream,
    Expected,
    KeyRow,
    KeyScope,
    OpenSession,
    PutKey,
    Reject,
    Request,
    Run,
    StreamAppend,
    VoidTransaction,
)
from vdb.kernel.erasure import SUBJECT_WAS_ERASED, is_erased
from vdb.kernel.event_ids import known_append
from vdb.kernel.predict import check_append, check_append_to, check_create
from vdb.kernel.reply import Refusal, StreamCreated
from vdb.kernel.streamid import CATALOGUE
from vdb.kernel.streams import catalogue_class
from vdb.kernel.tables import ERASURES
from vdb.kernel.view import View
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
from vdb.node.erasure.watching import Watches
from vdb.node.governance.governance_preparer import governance_command
from vdb.node.governance.governance_request import (
    GovernanceRequest,
    PlainAttestation,
    PlainConsent,
    PlainGrant,
    PlainPolicy,
    PlainReview,
)
from vdb.node.keys.key_preparer import PERIODIC_SCOPES, key_command
from vdb.node.keys.key_request import KeyRequest, PlainPeriod, PlainRewrap, PlainRotation
from vdb.node.preparing.noting import note_entries, note_request, seal_notes
from vdb.node.preparing.request import (
    Pending,
    PlainAppend,
    PlainAudit,
    PlainBatch,
    PlainCreate,
    PlainKey,
    PlainReconfigure,
    PlainReject,
    PlainRun,
    PlainSession,
    PlainTransaction,
    PlainVoid,
)
from vdb.node.replication.batch import Batch
from vdb.ports import Entropy
from vdb.types import U64_MAX, DataClass, GroupId, StreamId, TenantId

SALT_SIZE = 32
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
_STREAM, _SUBJECT = KeyScope.STREAM, KeyScope.SUBJECT
NO_STREAM = StreamId(U64_MAX)
"""Stands for a name that isn't in the catalogue: the kernel refuses it as an unknown stream."""


@frozen(kw_only=True)
class Preparer:
    """See the module's docstring. One per group; it holds no state but the keyring's cache and who is watched."""

    region: str
    """The group's region, or 'global': what stands in the header of its records."""
    keyring: Keyring
    entropy: Entropy
    watches: Watches = field(init=False, factory=Watches, repr=False)
    region_bytes: bytes = field(init=False, repr=False)

    @region_bytes.default
    def _encode_region(self) -> bytes:
        return self.region.encode("ascii")

    @property
    def names_class(self) -> DataClass:
        """The class under which names are sealed."""
        return catalogue_class(GroupId(self.region))

    def add(self, batch: Batch, pending: Pending) -> None:
        """Seal one request and add it, with the keys that it needs, to the batch."""
        assert not isinstance(pending.request, PlainTransaction | PlainReconfigure), "it fills prepares of its own"
        batch.size += pending.size
        if isinstance(pending.request, PlainAudit):
            note_entries(self, batch, pending)
            return
        command = self.command(batch, pending.request)
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
                return self._append(batch, request)
            case PlainCreate():
                return self._create(batch, request)
            case PlainSession():
                return OpenSession()
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

    # Appends ---------------------------------------------------------------------------------------------------

    def _append(self, batch: Batch, request: PlainBatch) -> Command:
        tenant = request.tenant
        if len(request.appends) == 1 and len(request.appends[0].runs) == 1:
            return self._append_run(batch, tenant, request.appends[0])
        wanted = [
            (self.stream_id(batch.view, tenant, append.stream), append.expected, append.count)
            for append in request.appends
        ]
        known = known_append(batch.view, tenant, ids_of(wanted, request.appends))
        if known is not None:
            return known
        outcome = check_append(batch.view, tenant, wanted)
        if isinstance(outcome, Refusal):
            return refused_append(
                tenant,
                [
                    (*one[:2], [run.count for run in append.runs])
                    for one, append in zip(wanted, request.appends, strict=True)
                ],
            )
        erased = self.about_erased(batch.view, tenant, [run.subject for one in request.appends for run in one.runs])
        if erased is not None:
            return erased
        keys = [
            [self.run_key(batch, tenant, stream, append.stream, run.subject) for run in append.runs]
            for (stream, _expected, _count), append in zip(wanted, request.appends, strict=True)
        ]
        # Keys are in the batch now, so the time of this request is known, and the records can be sealed.
        time = batch.next_timestamp
        sealed: list[StreamAppend] = []
        for (stream, expected, _), append, first_offset, keys_of_runs in zip(
            wanted, request.appends, outcome, keys, strict=True
        ):
            runs = self.seal_runs(batch, tenant, stream, first_offset, append.runs, keys_of_runs, time)
            sealed.append(StreamAppend(stream=stream, expected=expected, runs=runs))
        return AppendBatch(tenant=tenant, appends=tuple(sealed))

    def _append_run(self, batch: Batch, tenant: TenantId, append: PlainAppend) -> Command:
        """`_append` of one run, which most appends are: the same, without lists and loops."""
        run, expected, view = append.runs[0], append.expected, batch.view
        stream = self.stream_id(view, tenant, append.stream)
        if run.event_ids:
            known = known_append(view, tenant, ((stream, run.count, run.event_ids),))
            if known is not None:
                return known
        offset = check_append_to(view, tenant, stream, expected, run.count)
        if isinstance(offset, Refusal):
            return refused_append(tenant, [(stream, expected, [run.count])])
        erased = self.about_erased(view, tenant, (run.subject,))
        if erased is not None:
            return erased
        data_class = view.data_class(tenant, stream)
        scope, name = (_SUBJECT, run.subject) if run.subject else (_STREAM, append.stream)
        key = self.ensure_key(batch, tenant, scope, name, data_class)
        # The key is in the batch now, so the time of this request is known.
        record = self.seal(tenant, stream, offset, run, key, data_class, batch.next_timestamp)
        sealed = StreamAppend(stream=stream, expected=expected, runs=(Run(count=run.count, record=record),))
        return AppendBatch(tenant=tenant, appends=(sealed,))

    def about_erased(self, view: View, tenant: TenantId, subjects: Iterable[str]) -> Reject | None:
        """The refusal of an append about subjects of whom one was erased; None if none was. Its stream is there."""
        if view.rows[ERASURES]:
            for subject in subjects:
                if subject and is_erased(view, tenant, self.keyring.lookup(tenant, _SUBJECT, subject)):
                    return Reject(code=RefusalCode.SUBJECT_ERASED, message=SUBJECT_WAS_ERASED)
        return None

    def stream_id(self, state: View, tenant: TenantId, name: str) -> StreamId:
        """The stream of this name in the prepared state, or NO_STREAM."""
        lookup = self.keyring.stream_lookup(tenant, name)
        stream = None if lookup is None else state.stream_id_by_lookup(tenant, lookup)
        return NO_STREAM if stream is None else stream

    def run_key(self, batch: Batch, tenant: TenantId, stream: StreamId, name: str, subject: str) -> KeyRow:
        """The key of a run about this subject (empty: the stream's own key), put before it if it is new."""
        data_class = batch.view.data_class(tenant, stream)
        if subject:
            return self.ensure_key(batch, tenant, KeyScope.SUBJECT, subject, data_class)
        return self.ensure_key(batch, tenant, KeyScope.STREAM, name, data_class)

    def seal_runs(
        self,
        batch: Batch,
        tenant: TenantId,
        stream: StreamId,
        first_offset: int,
        runs: Sequence[PlainRun],
        keys: Sequence[KeyRow],
        time: int,
    ) -> tuple[Run, ...]:
        """Records of one stream from an offset on, with the time of their request."""
        data_class = batch.view.data_class(tenant, stream)
        sealed: list[Run] = []
        offset = first_offset
        for run, key in zip(runs, keys, strict=True):
            record = self.seal(tenant, stream, offset, run, key, data_class, time)
            sealed.append(Run(count=run.count, record=record))
            offset += run.count
        return tuple(sealed)

    def seal(
        self,
        tenant: TenantId,
        stream: StreamId,
        offset: int,
        run: PlainRun,
        key: KeyRow,
        data_class: DataClass,
        time: int,
    ) -> bytes:
        """A record of its place and time: the bytes of the run's batch, sealed."""
        header = encode_header(
            tenant,
            stream,
            offset,
            run.count,
            data_class,
            self.region_bytes,
            key.subject_token,
            key.dek_id,
            run.schema_id,
            time,
        )
        body = self.keyring.record_key(key.dek_id).seal(header, run.batch, self.entropy.random_bytes(SALT_SIZE))
        return encode_record(header, run.event_ids, body)

    def seal_text(
        self,
        tenant: TenantId,
        stream: StreamId,
        offset: int,
        text: str,
        key: KeyRow,
        data_class: DataClass,
        time: int,
    ) -> bytes:
        """A record of a text, such as a name."""
        return self.seal(tenant, stream, offset, PlainRun(count=1, batch=text.encode()), key, data_class, time)

    # Streams and keys ------------------------------------------------------------------------------------------

    def _create(self, batch: Batch, request: PlainCreate) -> Command:
        self.ensure_tenant_key(batch, request.tenant)
        lookup = self.keyring.lookup(request.tenant, KeyScope.STREAM, request.name)
        outcome = check_create(
            batch.view, request.tenant, lookup, request.data_class, request.region, request.if_not_exists
        )
        stream, record = NO_STREAM, b""
        if isinstance(outcome, StreamCreated):
            stream = outcome.stream
        elif not isinstance(outcome, Refusal):
            stream, catalogue_offset = outcome
            key = self.ensure_key(batch, request.tenant, KeyScope.CATALOGUE, "", self.names_class)
            name = PlainRun(count=1, batch=request.name.encode())
            record = self.seal(
                request.tenant, CATALOGUE, catalogue_offset, name, key, self.names_class, batch.next_timestamp
            )
        return CreateStream(
            tenant=request.tenant,
            stream=stream,
            data_class=request.data_class,
            region=request.region,
            lookup=lookup,
            record=record,
            if_not_exists=request.if_not_exists,
        )

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

    def ensure_tenant_key(self, batch: Batch, tenant: TenantId) -> None:
        """Put the tenant's key into the batch, if it has none."""
        if self.keyring.row(tenant, KeyScope.TENANT) is None:
            self._put_new_key(batch, tenant, KeyScope.TENANT, "", DataClass.NON_PHI)

    def ensure_key(self, batch: Batch, tenant: TenantId, scope: KeyScope, name: str, data_class: DataClass) -> KeyRow:
        """The key of the present period, put into the batch if it is new."""
        if self.watches and scope is _SUBJECT:
            self.watches.saw(tenant, name)
        period = batch.view.key_period(tenant) if scope in PERIODIC_SCOPES else FIRST_PERIOD
        row = self.keyring.row(tenant, scope, name, period)
        return row if row is not None else self._put_new_key(batch, tenant, scope, name, data_class, period)

    def _put_new_key(
        self,
        batch: Batch,
        tenant: TenantId,
        scope: KeyScope,
        name: str,
        data_class: DataClass,
        period: int = FIRST_PERIOD,
    ) -> KeyRow:
        rotation = batch.view.rotation() if scope is KeyScope.TENANT else None
        root_key_id = None if rotation is None else rotation.root_key_id
        keyring, entropy = self.keyring, self.entropy
        row = keyring.make(tenant, scope, name, data_class, entropy, period=period, root_key_id=root_key_id)
        keyring.add(row)
        batch.add(Request(INTERNAL, PutKey(row=row)))
        return row


def ids_of(
    wanted: Sequence[tuple[StreamId, Expected, int]], appends: Sequence[PlainAppend]
) -> list[tuple[StreamId, int, bytes]]:
    """Of each stream: how many events, and the ids of those that have one."""
    return [
        (stream, count, b"".join([run.event_ids for run in append.runs]))
        for (stream, _, count), append in zip(wanted, appends, strict=True)
    ]


def refused_append(tenant: TenantId, wanted: Sequence[tuple[StreamId, Expected, Sequence[int]]]) -> AppendBatch:
    """The command of an append that apply will refuse: conditions and the counts of its runs, without payloads."""
    return AppendBatch(
        tenant=tenant,
        appends=tuple(
            StreamAppend(stream=stream, expected=expected, runs=tuple(Run(count=count, record=b"") for count in counts))
            for stream, expected, counts in wanted
        ),
    )
