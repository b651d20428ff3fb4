from __future__ import annotations

import pytest
from attrs import evolve

from vdb.crypto.record import chain, record_leaf
from vdb.evidence.merkle import Frontier
from vdb.kernel.apply import execute_request
from vdb.kernel.audit import AUDIT_STREAM
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import ANY, INTERNAL, CreateStream, KeyRow, KeyScope, PutKey, Request
from vdb.kernel.draft import Draft
from vdb.kernel.effect import AppendRecord
from vdb.kernel.reply import AuditAppended, Refusal
from vdb.types import DataClass, TenantId, audit_log_of

AUDIT_KEY = b"A" * 16


def audit_key(primary, tenant: int = 1) -> KeyRow:
    return primary.key_row(tenant, KeyScope.AUDIT, AUDIT_KEY[:15] + bytes((tenant,)))


def entries(primary, tenant: int = 1, count: int = 1, writes: int = 0, **other: object) -> AuditAppend:
    """What the primary would seal for the next request."""
    held = primary.state.audit_log(TenantId(tenant))
    values = {
        "tenant": audit_log_of(TenantId(tenant)),
        "stream": AUDIT_STREAM,
        "offset": 0 if held is None else held.event_count,
        "count": count,
        "data_class": DataClass.NON_PHI if primary.group == "global" else DataClass.PHI,
        "dek_id": audit_key(primary, tenant).dek_id,
    }
    if "log" in other:
        other["tenant"] = other.pop("log")
    record = primary.record(**{**values, **other})
    return AuditAppend(tenant=TenantId(tenant), count=count, writes=writes, record=record)


def with_keys(primary, tenant: int = 1) -> None:
    primary.put_keys(tenant)
    primary.apply(PutKey(row=audit_key(primary, tenant)))


def test_entries_are_numbered_and_leaves_of_a_tree_of_their_own(primary) -> None:
    with_keys(primary)
    position = primary.state.next_position
    first = entries(primary, count=3)
    effects, reply = primary.apply(first)
    assert reply == AuditAppended(1, 0, 0, position)
    assert effects == (AppendRecord(audit_log_of(TenantId(1)), AUDIT_STREAM, 0, 0, 3, first.record),)
    second = entries(primary, count=2)
    assert primary.apply(second)[1] == AuditAppended(1, 1, 3, position)
    held = primary.state.audit_log(TenantId(1))
    leaves = [record_leaf(one.record) for one in (first, second)]
    assert (held.record_count, held.event_count, held.stream_count, held.next_position) == (2, 5, 0, 5)
    assert held.frontier == Frontier().append(leaves[0]).append(leaves[1])
    assert held.chain == chain(chain(bytes(32), leaves[0]), leaves[1])
    assert primary.state.audit_entries(TenantId(1)) == 5
    assert primary.state.next_position == position
    assert primary.state.tenant(TenantId(1)) is None
    assert primary.state.audited_tenants() == [1]


def test_the_global_group_tells_of_non_phi(global_primary) -> None:
    with_keys(global_primary)
    assert global_primary.apply(entries(global_primary))[1] == AuditAppended(1, 0, 0, 0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"log": 1}, "sealed for tenant 1, found tenant 9223372036854775809"),
        ({"stream": 2}, "sealed for stream 2, found stream 1"),
        ({"offset": 1}, "sealed for offset 1, stream 1 is at 0"),
        ({"count": 2}, "sealed with 2 events, the run names 1"),
        ({"data_class": DataClass.NON_PHI}, "sealed as class 0, stream 1 is 1"),
        ({"region": "mars-1"}, "sealed for mars-1, this is group eu-west-1"),
        ({"time": 7}, "sealed at 7, the request is at 1004"),
        ({"dek_id": bytes(16)}, "the record's key was never put"),
        ({"dek_id": b"S" + (1).to_bytes(15, "big")}, "the record's key is of another tenant, or not for audit logs"),
    ],
)
def test_a_record_of_another_place_is_a_broken_invariant(primary, other, message) -> None:
    with_keys(primary)
    command = evolve(entries(primary, **other), count=1)
    with pytest.raises(AssertionError, match=message):
        primary.apply(command)


def test_no_record_is_without_entries(primary) -> None:
    with_keys(primary)
    with pytest.raises(AssertionError, match="a record without entries"):
        primary.apply(evolve(entries(primary), count=0))


# What writes owe


def requests_of(draft: Draft, primary, *commands) -> None:
    """Execute these as the requests of one op; each is a command, or builds one for the draft's next time."""
    for index, command in enumerate(commands):
        if index:
            primary.clock += 1
            draft.start(primary.clock)
        execute_request(draft, Request(INTERNAL, command))


def opened(primary) -> Draft:
    primary.clock += 1
    return Draft(primary.state, primary.clock)


def test_a_write_of_phi_owes_an_entry(primary) -> None:
    with_keys(primary)
    create = primary.create_command(1, "notes", DataClass.PHI)
    draft = opened(primary)
    requests_of(draft, primary, create)
    assert draft.must_be_told
    with pytest.raises(AssertionError, match=r"requests of tenants \[1\] have no entry in their audit logs"):
        draft.check_paid()
    with pytest.raises(AssertionError, match="1 requests must have an entry in its audit log, 0 have"):
        draft.pay(TenantId(1), 0)


def test_what_is_told_is_paid(primary) -> None:
    with_keys(primary)
    create = primary.create_command(1, "notes", DataClass.PHI)
    primary.clock += 1
    told = entries(primary, writes=1)
    primary.clock -= 1
    draft = opened(primary)
    requests_of(draft, primary, create, told)
    assert not draft.must_be_told
    draft.check_paid()


def test_an_append_owes_once_however_many_streams_it_has(primary) -> None:
    with_keys(primary)
    streams = [primary.create(1, name, DataClass.PHI) for name in ("notes", "labs")]
    command = primary.append_command(1, [(stream, ANY, [2, 1]) for stream in streams])
    draft = opened(primary)
    requests_of(draft, primary, command)
    with pytest.raises(AssertionError, match="1 requests must have an entry"):
        draft.pay(TenantId(1), 2)


def test_the_parts_of_a_transaction_owe_when_it_closes(primary) -> None:
    with_keys(primary)
    stream = primary.create(1, "notes", DataClass.PHI)
    first = primary.part_command(1, 0, [(stream, ANY, 0, [1])])
    draft = opened(primary)
    requests_of(draft, primary, first)
    assert not draft.must_be_told
    primary.state = draft.freeze()
    last = primary.part_command(1, 1, [(stream, ANY, 1, [1])], transaction=first.transaction, last=True)
    draft = opened(primary)
    requests_of(draft, primary, last)
    assert draft.must_be_told


@pytest.mark.parametrize("data_class", [DataClass.NON_PHI, DataClass.DEIDENTIFIED])
def test_other_data_owes_nothing(primary, data_class) -> None:
    with_keys(primary)
    stream = primary.create(1, "prices", data_class)
    command = primary.append_command(1, [(stream, ANY, [1])])
    draft = opened(primary)
    requests_of(draft, primary, command)
    draft.check_paid()


def test_what_is_refused_owes_nothing(primary) -> None:
    with_keys(primary)
    primary.create(1, "notes", DataClass.PHI)
    refused = primary.create_command(1, "notes", DataClass.NON_PHI)
    assert isinstance(refused, CreateStream)
    draft = opened(primary)
    requests_of(draft, primary, refused)
    draft.check_paid()
    assert isinstance(primary.apply(refused)[1], Refusal)
