"""What seals records for a group's primary, and sees to the keys that they need.

A key that isn't there yet stands in the batch before the first record that it seals. Everything here is on the state
that the batch has come to (`Batch.view`), so that places, times and the life of keys are those which apply will find.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from vdb.crypto.keyring import FIRST_PERIOD, Keyring
from vdb.crypto.record import encode_header, encode_record
from vdb.errors import RefusalCode
from vdb.kernel.command import INTERNAL, KeyRow, KeyScope, PutKey, Reject, Request, Run
from vdb.kernel.erasure import SUBJECT_WAS_ERASED, is_erased
from vdb.kernel.streams import catalogue_class
from vdb.kernel.tables import ERASURES
from vdb.kernel.view import View
from vdb.node.erasure.watching import Watches
from vdb.node.preparing.request import PlainRun
from vdb.node.replication.batch import Batch
from vdb.ports import Entropy
from vdb.types import U64_MAX, DataClass, GroupId, StreamId, TenantId

SALT_SIZE = 32
PERIODIC_SCOPES = (KeyScope.STREAM, KeyScope.SUBJECT, KeyScope.AUDIT)
"""What is sealed for these has a key of its own in each period."""
_STREAM, _SUBJECT = KeyScope.STREAM, KeyScope.SUBJECT
NO_STREAM = StreamId(U64_MAX)
"""Stands for a name that isn't in the catalogue: the kernel refuses it as an unknown stream."""


@frozen(kw_only=True)
class Sealer:
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

    # Keys ------------------------------------------------------------------------------------------------------

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
