"""Notes of one prepare, made by a primary's preparer without a node around it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vdb.audit.entry import AuditEntry, Kind, decode_entry, encode_entry
from vdb.crypto.keyring import Keyring
from vdb.crypto.record import decode_record, open_body
from vdb.crypto.root import RootKeys
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import INTERNAL, KeyScope, PutKey, Request
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.node.preparing.cutting import size_bound
from vdb.node.preparing.noting import note_bound
from vdb.node.preparing.preparer import Preparer
from vdb.node.preparing.request import Pending, PlainAppend, PlainAudit, PlainBatch, PlainCreate, PlainRun, nobody
from vdb.node.replication.batch import Batch
from vdb.types import DataClass, GroupId, TenantId
from vdb.wire.command import encode_body
from vdb.wire.event import decode_batch, encode_batch
from vdb.world.entropy import RealEntropy

REGION = GroupId("ap-southeast-2")
ONE = TenantId(1)
READ = AuditEntry(kind=Kind.READ, action="read", actor="dr.lee")


def micros(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1_000_000)


@pytest.fixture
def preparer() -> Preparer:
    keys = RootKeys(bytes(range(32)))
    keyring = Keyring(group=REGION, root=keys.for_group(REGION))
    return Preparer(region=REGION, keyring=keyring, entropy=RealEntropy())


def pending(request, note: AuditEntry | None = None, limits: Limits | None = None) -> Pending:
    note_size = note_bound(request, note, limits or Limits())
    size = size_bound(request) + note_size
    return Pending(request=request, on_reply=nobody, on_lost=nobody, size=size, note=note, note_size=note_size)


def create(name: str = "notes", tenant: int = 1) -> PlainCreate:
    return PlainCreate(tenant=TenantId(tenant), name=name, data_class=DataClass.PHI, region=REGION)


def append(count: int, subject: str = "p-1") -> PlainBatch:
    run = PlainRun(subject=subject, count=count, batch=encode_batch([b"x"] * count))
    return PlainBatch(tenant=ONE, appends=(PlainAppend(stream="notes", runs=(run,)),))


def read(tenant: int = 1) -> PlainAudit:
    return PlainAudit(tenant=TenantId(tenant), entries=(encode_entry(READ),))


def made(preparer: Preparer, base: State, timestamp: int, *requests) -> Batch:
    batch = Batch(timestamp=timestamp, base=base)
    for request in requests:
        preparer.add(batch, pending(request))
    preparer.finish(batch)
    batch.close(checkpoint_due=False)
    return batch


def told(preparer: Preparer, batch: Batch) -> list[tuple[AuditAppend, list[AuditEntry]]]:
    """The records of audit logs in a prepare, opened."""
    found = []
    for request in batch.requests:
        if isinstance(request.command, AuditAppend):
            record = decode_record(request.command.record)
            opened = open_body(record.header_bytes, preparer.keyring.key(record.header.dek_id), record.body)
            found.append((request.command, [decode_entry(entry) for entry in decode_batch(opened)]))
    return found


def months(preparer: Preparer, batch: Batch) -> list[str]:
    """Months whose audit keys the prepare puts."""
    names = ("2026-10", "2026-11", "2026-12", "2027-01")
    lookups = {preparer.keyring.lookup(ONE, KeyScope.AUDIT, name): name for name in names}
    rows = [one.command.row for one in batch.requests if isinstance(one.command, PutKey)]
    return [lookups[row.lookup] for row in rows if row.scope is KeyScope.AUDIT]


def test_all_that_is_about_one_tenant_is_one_record(preparer: Preparer) -> None:
    requests = (create(), append(2), read(), append(3), create("labs", tenant=2), append(1, ""))
    batch = made(preparer, State.empty(REGION, 4), 1_000, *requests)
    (first, entries), (second, others) = told(preparer, batch)
    assert (first.tenant, first.count, first.writes, second.tenant, second.count, second.writes) == (1, 5, 4, 2, 1, 1)
    assert [(one.kind, one.count, one.subjects) for one in entries] == [
        (Kind.CREATE, 0, ()),
        (Kind.WRITE, 2, ("p-1",)),
        (Kind.READ, 0, ()),
        (Kind.WRITE, 3, ("p-1",)),
        (Kind.WRITE, 1, ("*",)),
    ]
    assert [one.first for one in entries] == [None, 0, None, 2, 5]
    times = [one.time for one in entries]
    assert times == sorted(times)
    assert all(1_000 <= time < 1_000 + len(batch.requests) for time in times)
    assert [one.object for one in others] == ["labs"]


def test_keys_are_of_a_month_and_the_next_one_is_put_the_day_before(preparer: Preparer) -> None:
    state = State.empty(REGION, 4)
    batch = made(preparer, state, micros(2026, 11, 15), create(), read())
    assert months(preparer, batch) == ["2026-11"]
    batch = made(preparer, batch.state, micros(2026, 11, 29, 23, 59), read())
    assert months(preparer, batch) == []
    batch = made(preparer, batch.state, micros(2026, 11, 30, 0, 1), read())
    assert months(preparer, batch) == ["2026-12"]
    batch = made(preparer, batch.state, micros(2026, 12, 1), read())
    assert months(preparer, batch) == []
    ((command, _),) = told(preparer, batch)
    key = decode_record(command.record).header.dek_id
    assert preparer.keyring.row(ONE, KeyScope.AUDIT, "2026-12").dek_id == key
    batch = made(preparer, batch.state, micros(2027, 1, 9), read())
    assert months(preparer, batch) == ["2027-01"]


def test_a_write_that_nobody_notes_is_no_op(preparer: Preparer) -> None:
    batch = Batch(timestamp=1_000, base=State.empty(REGION, 4))
    command = preparer.command(batch, create())
    batch.add(Request(INTERNAL, command))
    preparer.finish(batch)
    with pytest.raises(AssertionError, match=r"requests of tenants \[1\] have no entry in their audit logs"):
        batch.close(checkpoint_due=False)


@pytest.mark.parametrize("message_size", [8192, 16384, 1024 * 1024])
def test_what_was_bounded_is_enough(preparer: Preparer, message_size: int) -> None:
    limits = Limits(message_size_max=message_size, wal_slots=32, checkpoint_interval=16)
    names = ["n" * 500, "\x01" * 80, "ü" * 250]
    note = AuditEntry(
        kind=Kind.WRITE,
        action="append",
        actor="\x02" * 300,
        reason="r" * 3000,
        statement="S" * 100_000,
        policy="sha256:" + "0" * 64,
        tables=("t" * 40,) * 50,
        detail={"a" * 100: "\x03" * 4000},
    )
    state = State.empty(REGION, 4)
    for number, name in enumerate(names):
        request = create(name)
        batch = Batch(timestamp=micros(2026, 11, 28 + number), base=state)
        one = pending(request, note, limits)
        preparer.add(batch, one)
        preparer.finish(batch)
        assert len(encode_body(batch.requests)) <= one.size + 1536
        assert one.note_size <= limits.audit_entry_size_max
        assert len(encode_body(batch.requests)) <= limits.body_size_max
        batch.close(checkpoint_due=False)
        state = batch.state
