"""The checker of trees: a leaf too few, too many or another is seen."""

from __future__ import annotations

import pytest
from attrs import evolve
from immutables import Map

from sim.checkers.ledger import Frame, Ledger
from sim.checkers.trees import check_trees
from sim.verdict import Verdict
from vdb.crypto.record import encode_header, encode_record, record_leaf, seal
from vdb.evidence.merkle import Frontier
from vdb.kernel.rows import TenantState
from vdb.kernel.state import State
from vdb.kernel.tables import Table, tenant_key
from vdb.limits import Limits
from vdb.types import DataClass, GroupId, StreamId, TenantId

GROUP = GroupId("eu-west-1")


def record(offset: int) -> bytes:
    region, token, dek_id = b"eu-west-1", bytes(32), bytes(16)
    header = encode_header(TenantId(1), StreamId(7), offset, 1, DataClass.PHI, region, token, dek_id, 0, offset)
    return encode_record(header, b"", seal(header, bytes(32), b"event", bytes([offset]) * 32))


RECORDS = [record(offset) for offset in range(5)]


def state_of(records: list[bytes]) -> State:
    frontier = Frontier()
    for one in records:
        frontier = frontier.append(record_leaf(one))
    tenant = TenantState(
        tenant=TenantId(1), group=GROUP, chain=bytes(32), record_count=len(records), event_count=len(records),
        stream_count=1, next_position=len(records), frontier=frontier,
    )  # fmt: skip
    empty = State.empty(GROUP, 1)
    rows = list(empty.rows)
    rows[Table.TENANTS] = Map({tenant_key(1): tenant.pack()})
    return evolve(empty, rows=tuple(rows))


def judge(records: list[bytes]) -> Verdict:
    verdict = Verdict()
    ledger = Ledger(GROUP, Limits(), verdict)
    ledger.frames[1] = [
        Frame(op=at, request=0, position=at, stream=7, offset=at, count=1, record=one) for at, one in enumerate(RECORDS)
    ]
    check_trees(verdict, ledger, state_of(records))
    return verdict


def test_the_tree_of_the_records_is_fine() -> None:
    assert judge(RECORDS).violation is None


@pytest.mark.parametrize("records", [RECORDS[:-1], [*RECORDS, RECORDS[0]], RECORDS[::-1], [*RECORDS[:4], RECORDS[0]]])
def test_another_tree_isnt(records: list[bytes]) -> None:
    violation = judge(records).violation
    assert violation is not None
    assert violation.invariant == "tree"
