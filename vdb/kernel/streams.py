"""Streams: creating one, and appending to them.

Rules
- A new stream takes the tenant's next id; its sealed name is a record of the tenant's catalogue (stream 0), whose
  offset is the number of streams created before. The record takes a position in the group like an event.
- An append is accepted or refused as a whole; its events take consecutive offsets per stream and consecutive
  positions over the batch, in the order of the command.
- An append whose events have ids that are there already isn't an append: `vdb.kernel.event_ids`.
- What is created or appended as PHI owes an entry of the audit log (`vdb.kernel.audit`).
- A refused command carries no record: the primary asked `predict` before it sealed.
- Nothing is created or appended between the parts of a transaction (`vdb.kernel.transactions`).
"""

from __future__ import annotations

from collections.abc import Sequence

from vdb.crypto.record import chain as chain_hash
from vdb.evidence.merkle import grow
from vdb.kernel.command import AppendBatch, CreateStream, StreamAppend
from vdb.kernel.draft import Draft
from vdb.kernel.effect import AppendRecord
from vdb.kernel.event_ids import remember
from vdb.kernel.predict import NewStream, check_append, check_append_to, check_create
from vdb.kernel.records import check_record
from vdb.kernel.reply import Appended, AppendedStream, Refusal, Reply, StreamCreated
from vdb.kernel.rows import CHAIN_SIZE, STREAM_ROW, TENANT_ROW, TENANT_ROW_SIZE
from vdb.kernel.streamid import CATALOGUE
from vdb.kernel.tables import STREAM_NAMES, STREAMS, TENANTS, TRANSACTIONS, U64, stream_key, stream_name_key, tenant_key
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, TenantId

_PHI = DataClass.PHI
_NEW_TENANT = TENANT_ROW.pack(bytes(CHAIN_SIZE), 0, 0, 0, 0)


def catalogue_class(group: GroupId) -> DataClass:
    """The class under which a group's stream names are sealed: a name may well name a patient."""
    return DataClass.NON_PHI if group == GLOBAL_GROUP else DataClass.PHI


def create_stream(draft: Draft, command: CreateStream) -> Reply:
    assert not draft.rows[TRANSACTIONS], "a stream is created between the parts of a transaction"
    answer = check_create(
        draft, command.tenant, command.lookup, command.data_class, command.region, command.if_not_exists
    )
    if not isinstance(answer, NewStream):
        assert not command.record, "the primary sealed a name for a stream that isn't created"
        return answer
    assert command.stream == answer.stream, f"predicted stream {command.stream}, found stream {answer.stream}"
    _append_name(draft, command, answer.catalogue_offset)
    tenant, position = command.tenant, draft.next_position
    draft.next_position = position + 1
    draft.put(
        STREAMS,
        stream_key(tenant, answer.stream),
        STREAM_ROW.pack(command.data_class, 0, draft.last_timestamp, position),
    )
    draft.put(STREAM_NAMES, stream_name_key(tenant, command.lookup), U64.pack(answer.stream))
    if command.data_class is _PHI:
        draft.owe(tenant)
    draft.wake(tenant)
    return StreamCreated(answer.stream, created=True)


def _append_name(draft: Draft, command: CreateStream, offset: int) -> None:
    """Take the catalogue's record into the tenant's log and chain."""
    tenant = command.tenant
    row = draft.rows[TENANTS].get(tenant_key(tenant), _NEW_TENANT)
    chain, record_count, event_count, stream_count, _ = TENANT_ROW.unpack_from(row)
    assert offset == stream_count
    leaf, _ = check_record(
        draft,
        tenant,
        CATALOGUE,
        catalogue_class(draft.group),
        offset,
        count=1,
        record=command.record,
        time=draft.last_timestamp,
    )
    draft.put(
        TENANTS,
        tenant_key(tenant),
        TENANT_ROW.pack(
            chain_hash(chain, leaf), record_count + 1, event_count + 1, stream_count + 1, draft.next_position + 1
        )
        + grow(row[TENANT_ROW_SIZE:], record_count, leaf),
    )
    draft.effects.append(AppendRecord(tenant, CATALOGUE, offset, draft.next_position, 1, command.record))


def append_batch(draft: Draft, command: AppendBatch) -> Reply:
    assert not draft.rows[TRANSACTIONS], "an append stands between the parts of a transaction"
    tenant, appends = command.tenant, command.appends
    if len(appends) == 1 and len(appends[0].runs) == 1:
        return _append_run(draft, tenant, appends[0])
    first_offsets = check_append(draft, tenant, [(one.stream, one.expected, one.count) for one in appends])
    if isinstance(first_offsets, Refusal):
        _assert_unsealed(appends, first_offsets)
        return first_offsets
    owner = tenant_key(tenant)
    row = draft.rows[TENANTS][owner]
    chain, record_count, event_count, stream_count, _ = TENANT_ROW.unpack_from(row)
    frontier = row[TENANT_ROW_SIZE:]
    first_position = position = draft.next_position
    time = draft.last_timestamp
    ranges: list[AppendedStream] = []
    has_phi = False
    for one, first_offset in zip(appends, first_offsets, strict=True):
        stream, offset = one.stream, first_offset
        key = stream_key(tenant, stream)
        data_class, next_offset, created_at, _ = STREAM_ROW.unpack(draft.rows[STREAMS][key])
        assert next_offset == first_offset
        has_phi = has_phi or data_class == _PHI
        for run in one.runs:
            leaf, ids = check_record(draft, tenant, stream, data_class, offset, run.count, run.record, time)
            if ids:
                remember(draft, tenant, stream, offset, position, time, ids)
            chain = chain_hash(chain, leaf)
            frontier = grow(frontier, record_count, leaf)
            draft.effects.append(AppendRecord(tenant, stream, offset, position, run.count, run.record))
            offset += run.count
            position += run.count
            record_count += 1
        if offset > first_offset:
            draft.put(STREAMS, key, STREAM_ROW.pack(data_class, offset, created_at, position - 1))
        ranges.append(AppendedStream(stream, first_offset, offset))
    event_count += position - first_position
    head = TENANT_ROW.pack(chain, record_count, event_count, stream_count, position)
    draft.put(TENANTS, owner, head + frontier)
    draft.next_position = position
    if has_phi:
        draft.owe(tenant)
    draft.wake(tenant)
    return Appended(tuple(ranges), first_position, position, time)


def _append_run(draft: Draft, tenant: TenantId, append: StreamAppend) -> Reply:
    """`append_batch` of one run, which most appends are: the same, without lists and loops."""
    stream, run = append.stream, append.runs[0]
    count, record, time = run.count, run.record, draft.last_timestamp
    first_offset = check_append_to(draft, tenant, stream, append.expected, count)
    if isinstance(first_offset, Refusal):
        _assert_unsealed((append,), first_offset)
        return first_offset
    rows = draft.rows
    owner, key = tenant_key(tenant), stream_key(tenant, stream)
    tenant_row = rows[TENANTS][owner]
    chain, record_count, event_count, stream_count, _ = TENANT_ROW.unpack_from(tenant_row)
    data_class, next_offset, created_at, _ = STREAM_ROW.unpack(rows[STREAMS][key])
    assert next_offset == first_offset
    leaf, ids = check_record(draft, tenant, stream, data_class, next_offset, count, record, time)
    position = draft.next_position
    if ids:
        remember(draft, tenant, stream, next_offset, position, time, ids)
    following, next_position = next_offset + count, position + count
    draft.effects.append(AppendRecord(tenant, stream, next_offset, position, count, record))
    draft.put(STREAMS, key, STREAM_ROW.pack(data_class, following, created_at, next_position - 1))
    row = TENANT_ROW.pack(chain_hash(chain, leaf), record_count + 1, event_count + count, stream_count, next_position)
    draft.put(TENANTS, owner, row + grow(tenant_row[TENANT_ROW_SIZE:], record_count, leaf))
    draft.next_position = next_position
    if data_class == _PHI:
        draft.owe(tenant)
    draft.wake(tenant)
    return Appended((AppendedStream(stream, next_offset, following),), position, next_position, time)


def _assert_unsealed(appends: Sequence[StreamAppend], refusal: Refusal) -> None:
    sealed = [run for one in appends for run in one.runs if run.record]
    assert not sealed, f"the primary sealed an append that is refused: {refusal.message}"
