"""Transactions: appends too large for one prepare. They travel as parts in consecutive ops.

Rules
- The parts of a transaction come one after the other, and nothing is created or appended between them: what the
  first part was sealed for holds when the last one closes it. So there is one transaction at most.
- Parts are rows of TRANSACTIONS and PARTS: checkpoints, digests and forks hold them. They have no effects, so nobody
  can read them, and offsets and positions stay where they are until the close.
- The close appends all records as one `AppendBatch` would: all conditions are checked again, offsets and positions
  are consecutive, effects are emitted, and the request uses up its number. Parts use up none.
- All records carry the time of the first part, which is the transaction's id, and so does the reply. No other request
  of the group lies between first part and close, so this time orders the transaction as that of the close would, and
  a reader who asks for the state as of a time sees all of it or nothing.
- A transaction is void when its session ends, or when a `VoidTransaction` says so: a new primary can't go on with the
  parts of another, so it puts this command before all that it serves. Then its rows are gone, and a retry of the
  request is executed anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from vdb.crypto.record import chain as chain_hash
from vdb.crypto.record import event_ids_of
from vdb.evidence.merkle import grow
from vdb.kernel.command import AppendPart, Origin, StreamAppend
from vdb.kernel.draft import Draft
from vdb.kernel.effect import AppendRecord
from vdb.kernel.event_ids import remember
from vdb.kernel.predict import check_append
from vdb.kernel.records import check_record
from vdb.kernel.reply import Appended, AppendedStream, PartKept, Reply, Voided
from vdb.kernel.rows import (
    STREAM_ROW,
    TENANT_ROW,
    TENANT_ROW_SIZE,
    KeptRecord,
    Target,
    TransactionState,
    unpack_kept,
    unpack_transaction,
)
from vdb.kernel.tables import (
    PARTS,
    STREAMS,
    TENANTS,
    TRANSACTIONS,
    U64,
    part_key,
    stream_key,
    tenant_key,
    transaction_key,
)
from vdb.marks import mark
from vdb.types import DataClass


def append_part(draft: Draft, origin: Origin, command: AppendPart) -> Reply:
    held = _transaction_of(draft, origin, command)
    for append in command.appends:
        held = _keep(draft, held, append)
    held = evolve(held, parts=held.parts + 1)
    if command.last:
        return _close(draft, held)
    draft.put(TRANSACTIONS, transaction_key(held.transaction), held.pack())
    return PartKept(held.transaction, command.number)


def void_transaction(draft: Draft, transaction: int) -> Reply:
    row = draft.rows[TRANSACTIONS].get(transaction_key(transaction))
    if row is not None:
        mark("transaction.voided")
        _forget(draft, unpack_transaction(transaction, row))
    return Voided(transaction)


def void_of_session(draft: Draft, session: int) -> None:
    """The session ends, and with it a transaction that it was sending."""
    for key, row in draft.settled(TRANSACTIONS).items():
        held = unpack_transaction(U64.unpack(key)[0], row)
        if held.origin.session == session:
            _forget(draft, held)


def _transaction_of(draft: Draft, origin: Origin, command: AppendPart) -> TransactionState:
    """The transaction that the part belongs to; a new one for the first part."""
    transaction = command.transaction
    row = draft.rows[TRANSACTIONS].get(transaction_key(transaction))
    if row is None:
        assert command.number == 0, f"part {command.number} of a transaction that isn't open"
        assert not draft.rows[TRANSACTIONS], "a transaction starts between the parts of another"
        assert transaction == draft.last_timestamp, "a transaction is called by the time of its first part"
        return TransactionState(
            transaction=transaction, origin=origin, tenant=command.tenant, parts=0, records=0, targets=()
        )
    held = unpack_transaction(transaction, row)
    assert command.number == held.parts, f"expected part {held.parts}, found part {command.number}"
    assert (origin, command.tenant) == (held.origin, held.tenant), "a part of another request"
    return held


def _keep(draft: Draft, held: TransactionState, append: StreamAppend) -> TransactionState:
    """Put the records of one stream aside, each checked for the place that it will take."""
    stream = append.stream
    row = draft.rows[STREAMS].get(stream_key(held.tenant, stream))
    assert row is not None, f"the primary sealed a part for stream {stream}, which isn't there"
    data_class, next_offset, _, _ = STREAM_ROW.unpack(row)
    others, target = (
        held.targets,
        Target(stream=stream, expected=append.expected, first_offset=next_offset, next_offset=next_offset),
    )
    if others and others[-1].stream == stream:
        others, target = others[:-1], others[-1]
        assert target.expected == append.expected, f"stream {stream}: a condition changed between two parts"
    offset, number = target.next_offset, held.records
    for run in append.runs:
        leaf, _ = check_record(draft, held.tenant, stream, data_class, offset, run.count, run.record, held.transaction)
        draft.put(PARTS, part_key(held.transaction, number), KeptRecord(stream, run.count, leaf, run.record).pack())
        offset += run.count
        number += 1
    return evolve(held, records=number, targets=(*others, evolve(target, next_offset=offset)))


def _close(draft: Draft, held: TransactionState) -> Reply:
    """Append all that was kept. The conditions hold as they did when the first part was sealed."""
    tenant = held.tenant
    outcome = check_append(draft, tenant, [(one.stream, one.expected, one.count) for one in held.targets])
    expected = tuple(one.first_offset for one in held.targets)
    assert outcome == expected, f"the transaction was sealed for offsets {expected}, found {outcome}"
    first_position = draft.next_position
    _append_records(draft, held)
    _forget(draft, held)
    draft.wake(tenant)
    return Appended(
        tuple(AppendedStream(one.stream, one.first_offset, one.next_offset) for one in held.targets),
        first_position,
        draft.next_position,
        held.transaction,
    )


def _append_records(draft: Draft, held: TransactionState) -> None:
    tenant, owner = held.tenant, tenant_key(held.tenant)
    row = draft.rows[TENANTS][owner]
    chain, record_count, event_count, stream_count, _ = TENANT_ROW.unpack_from(row)
    frontier = row[TENANT_ROW_SIZE:]
    position = draft.next_position
    offsets = {one.stream: one.first_offset for one in held.targets}
    last_positions: dict[int, int] = {}
    for kept in _kept_records(draft, held):
        stream, count = kept.stream, kept.count
        ids = event_ids_of(kept.record)
        if ids:
            remember(draft, tenant, stream, offsets[stream], position, held.transaction, ids)
        draft.effects.append(AppendRecord(tenant, stream, offsets[stream], position, count, kept.record))
        chain = chain_hash(chain, kept.leaf)
        frontier = grow(frontier, record_count, kept.leaf)
        record_count += 1
        offsets[stream] += count
        position += count
        last_positions[stream] = position - 1
    has_phi = False
    for one in held.targets:
        assert offsets[one.stream] == one.next_offset, f"stream {one.stream}: records of a part are missing"
        if one.count:
            key = stream_key(tenant, one.stream)
            data_class, _, created_at, _ = STREAM_ROW.unpack(draft.rows[STREAMS][key])
            has_phi = has_phi or data_class == DataClass.PHI
            draft.put(
                STREAMS, key, STREAM_ROW.pack(data_class, one.next_offset, created_at, last_positions[one.stream])
            )
    event_count += position - draft.next_position
    head = TENANT_ROW.pack(chain, record_count, event_count, stream_count, position)
    draft.put(TENANTS, owner, head + frontier)
    draft.next_position = position
    if has_phi:
        draft.owe(tenant)


def _kept_records(draft: Draft, held: TransactionState) -> Iterator[KeptRecord]:
    rows = draft.rows[PARTS]
    for number in range(held.records):
        yield unpack_kept(rows[part_key(held.transaction, number)])


def _forget(draft: Draft, held: TransactionState) -> None:
    """Remove all rows of the transaction. One that is closed by its first part has no row of its own."""
    key = transaction_key(held.transaction)
    if key in draft.rows[TRANSACTIONS]:
        draft.remove(TRANSACTIONS, key)
    for number in range(held.records):
        draft.remove(PARTS, part_key(held.transaction, number))
