import os
import subprocess
import sys
from itertools import permutations

import pytest

from vdb.kernel.command import ANY, KeyScope, PutKey
from vdb.kernel.state import State
from vdb.kernel.streamid import first_session
from vdb.kernel.tables import KERNEL_TABLES, Table, stream_key, tenant_key
from vdb.storage.tables import StorageTable
from vdb.types import DataClass, GroupId

GROUP = GroupId("eu-west-1")


def rebuilt(state: State) -> State:
    rows = [(table, key, value) for table, rows in state.tables().items() for key, value in rows.items()]
    return State.from_rows(state.group, state.sessions_max, rows)


def test_an_empty_state_is_a_state_without_rows() -> None:
    empty = State.empty(GROUP, 4)
    assert State.from_rows(GROUP, 4, []) == empty
    assert rebuilt(empty) == empty
    assert (empty.next_position, empty.last_timestamp, empty.next_session) == (0, 0, first_session(GROUP))
    assert (empty.tenant_count, empty.stream_count, empty.session_count) == (0, 0, 0)


def test_what_is_not_there_is_none(primary) -> None:
    state = primary.state
    assert state.tenant(1) is None
    assert state.stream(1, 1) is None
    assert state.stream_by_lookup(1, bytes(32)) is None
    assert state.session(1) is None
    assert state.key(bytes(16)) is None
    assert list(state.streams(1)) == []
    assert list(state.tenants()) == []
    assert list(state.keys()) == []


def test_the_typed_rows(primary) -> None:
    stream = primary.create(7, "notes", DataClass.PHI)
    primary.append(7, (stream, ANY, [2, 1]))
    session = primary.open(b"c" * 16)
    state = primary.state

    tenant = state.tenant(7)
    assert (tenant.record_count, tenant.event_count, tenant.stream_count) == (3, 4, 1)
    assert tenant.chain != bytes(32)
    assert tenant.next_stream == stream + 1

    held = state.stream(7, stream)
    assert (held.stream, held.data_class, held.next_offset, held.last_position) == (stream, DataClass.PHI, 3, 3)
    assert held.created_at == 1_003
    assert (state.session(session).client, state.session(session).last_number) == (b"c" * 16, 0)
    assert state.next_position == 4
    assert (state.tenant_count, state.stream_count, state.session_count) == (1, 1, 1)


def test_streams_come_oldest_first_and_tenants_in_order(primary) -> None:
    created = [primary.create(300, f"s{number}") for number in range(5)]
    primary.create(2, "other")
    assert [stream.stream for stream in primary.state.streams(300)] == created
    assert [tenant.tenant for tenant in primary.state.tenants()] == [2, 300]


def test_keys_come_tenant_keys_first(primary) -> None:
    primary.apply(PutKey(row=primary.key_row(2)))
    primary.apply(PutKey(row=primary.key_row(2, KeyScope.STREAM, b"A" * 16)))
    primary.apply(PutKey(row=primary.key_row(1)))
    rows = list(primary.state.keys())
    assert [row.scope for row in rows] == [KeyScope.TENANT, KeyScope.TENANT, KeyScope.STREAM]
    assert rows[0].dek_id < rows[1].dek_id


def test_from_rows_gives_the_same_state(primary) -> None:
    stream = primary.create(1, "notes")
    primary.append(1, (stream, ANY, [1]))
    primary.open(b"c" * 16)
    again = rebuilt(primary.state)
    assert again == primary.state
    assert again.digest() == primary.state.digest()
    assert not any(again.changed)


def test_from_rows_refuses_two_rows_with_one_key() -> None:
    with pytest.raises(AssertionError, match="two rows of one table"):
        State.from_rows(GROUP, 4, [(Table.KEYS, b"k", b"1"), (Table.KEYS, b"k", b"2")])


def test_from_rows_refuses_rows_without_the_scalars() -> None:
    with pytest.raises(AssertionError, match="META"):
        State.from_rows(GROUP, 4, [(Table.KEYS, b"k", b"1")])


def test_from_rows_refuses_a_table_that_is_not_the_kernels() -> None:
    with pytest.raises(AssertionError, match="table 100 is not the kernel's"):
        State.from_rows(GROUP, 4, [(StorageTable.EVENT_LOGS, b"k", b"1")])


def test_tables_of_kernel_and_storage_have_numbers_of_their_own() -> None:
    assert max(Table) < min(StorageTable) == 100
    assert StorageTable.CHECKPOINT_HEAD == 102


def test_the_digest_sees_each_part(primary_class) -> None:
    def with_stream(name: str, clock: int = 1_000, sessions_max: int = 4, group: str = GROUP):
        primary = primary_class(GroupId(group), sessions_max)
        primary.clock = clock
        primary.create(1, name)
        return primary.state.digest()

    digests = [
        with_stream("a"),
        with_stream("b"),
        with_stream("a", clock=2_000),
        with_stream("a", sessions_max=5),
        with_stream("a", group="eu-west-2"),
    ]
    assert all(one != other for one, other in permutations(digests, 2))
    assert with_stream("a") == digests[0]


def test_take_changed_is_no_part_of_what_replicas_agree_on(primary) -> None:
    primary.create(1, "notes")
    _, taken = primary.state.take_changed()
    assert taken == primary.state
    assert taken.digest() == primary.state.digest()


def test_take_changed_names_each_row_once(primary) -> None:
    stream = primary.create(1, "notes")
    _, primary.state = primary.state.take_changed()
    for _ in range(3):
        primary.append(1, (stream, ANY, [1]))
    changed, primary.state = primary.state.take_changed()
    assert list(changed) == [Table.META, Table.TENANTS, Table.STREAMS]
    assert list(changed[Table.TENANTS]) == [tenant_key(1)]
    assert dict(changed[Table.STREAMS]) == {stream_key(1, stream): primary.state.stream(1, stream).pack()}
    again, _ = primary.state.take_changed()
    assert list(again) == [Table.META]


def test_take_changed_names_removed_rows(primary) -> None:
    first = primary.open(b"c" * 16)
    _, primary.state = primary.state.take_changed()
    primary.open(b"c" * 16)
    changed, _ = primary.state.take_changed()
    assert changed[Table.SESSIONS][first.to_bytes(8, "big")] is None


def test_tables_are_those_of_the_kernel(primary) -> None:
    assert tuple(primary.state.tables()) == KERNEL_TABLES


HASHES_STATE = """
from vdb.kernel.apply import apply_request
from vdb.kernel.command import OpenSession, Origin, Request
from vdb.kernel.state import State
state = State.empty("eu-west-1", 8)
for number in range(1, 40):
    state, effects, _ = apply_request(state, Request(Origin(bytes([number]) * 16), OpenSession()), number)
changed, state = state.take_changed()
print(state.digest().hex(), effects, [sorted(rows) for rows in changed.values()])
"""


def test_a_state_is_the_same_in_a_process_with_another_hash_seed() -> None:
    """Maps are walked in the order of hashes, which differ from process to process."""

    def run(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", HASHES_STATE]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run("1") == run("2")


def test_a_tenant_s_head_is_the_position_after_its_last_event(primary) -> None:
    assert primary.state.tenant_head(1) == 0
    stream = primary.create(1, "notes")
    primary.append(1, (stream, ANY, [3]))
    assert primary.state.tenant_head(1) == primary.state.tenant(1).next_position == primary.state.next_position
