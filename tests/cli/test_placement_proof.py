"""What `vdb placement prove` counts, and what it doesn't let pass."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.client.placing import Placed
from vdb.crypto.record import RecordHeader
from vdb.errors import EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier, leaf_hash
from vdb.types import DataClass, GroupId, TenantId

EU, GLOBAL = GroupId("eu-west-1"), GroupId("global")


def leaf(**fields: Any) -> bytes:
    made: dict[str, Any] = {
        "tenant": 1,
        "stream": 1,
        "offset": 0,
        "count": 1,
        "data_class": DataClass.PHI,
        "region": "eu-west-1",
        "subject_token": bytes(32),
        "dek_id": bytes(16),
        "schema_id": 0,
        "time": 1,
        **fields,
    }
    return RecordHeader(**made).encode() + bytes(32)


def counted(group: GroupId, *leaves: bytes) -> Placed:
    tally = Placed(group, TenantId(1))
    for one in leaves:
        tally.add(one)
    return tally


def head_of(*leaves: bytes) -> Checkpoint:
    frontier = Frontier()
    for one in leaves:
        frontier = frontier.append(leaf_hash(one))
    return Checkpoint("origin", frontier.size, frontier.root())


def test_records_are_counted_by_class_and_region() -> None:
    tally = counted(EU, leaf(), leaf(offset=1), leaf(data_class=DataClass.NON_PHI))
    assert dict(tally.regions) == {("phi", EU): 2, ("non-phi", EU): 1}
    assert tally.strays == []
    tally.check(head_of(leaf(), leaf(offset=1), leaf(data_class=DataClass.NON_PHI)))


@pytest.mark.parametrize(
    ("group", "fields", "why"),
    [
        (EU, {"region": "us-east-1"}, "sealed for us-east-1, and lies in eu-west-1"),
        (GLOBAL, {"region": "global"}, "PHI, and lies in the global group"),
        (EU, {"tenant": 2}, "of the log 2"),
    ],
)
def test_what_lies_where_it_must_not_is_named(group: GroupId, fields: dict[str, Any], why: str) -> None:
    tally = counted(group, leaf(region=group, data_class=DataClass.NON_PHI), leaf(**fields))
    assert [(stray.index, stray.why) for stray in tally.strays] == [(1, why)]


@pytest.mark.parametrize("shown", [[leaf()], [leaf(), leaf(offset=2)], [leaf(offset=1), leaf()]])
def test_leaves_that_are_not_those_of_the_signed_head(shown: list[bytes]) -> None:
    with pytest.raises(EvidenceInvalid, match="leaves that were shown aren't those of the signed head of origin"):
        counted(EU, *shown).check(head_of(leaf(), leaf(offset=1)))


def test_what_is_no_leaf() -> None:
    with pytest.raises(EvidenceInvalid, match="leaf 0 of eu-west-1 isn't one of a record"):
        counted(EU, bytes(150))
