"""The checker of evidence: heads of another tree, heads that go back, and proofs of another record are seen."""

from __future__ import annotations

import pytest

from sim.checkers.evidence import check_evidence
from sim.checkers.ledger import Frame
from sim.events.deeds import Deeds, HeadSeen, Proven
from sim.verdict import Verdict
from vdb.crypto.record import encode_header, encode_record, record_leaf, seal
from vdb.evidence.merkle import Frontier
from vdb.types import DataClass, StreamId, TenantId

STREAMS = {"notes": 7}


def frame(number: int) -> Frame:
    """Two events a record."""
    header = encode_header(
        TenantId(1), StreamId(7), 2 * number, 2, DataClass.PHI, b"eu-west-1", bytes(32), bytes(16), 0, number
    )
    record = encode_record(header, b"", seal(header, bytes(32), b"event", bytes([number]) * 32))
    return Frame(op=number, request=0, position=2 * number, stream=7, offset=2 * number, count=2, record=record)


FRAMES = [frame(number) for number in range(5)]
LEAVES = [record_leaf(one.record) for one in FRAMES]


def root(size: int) -> bytes:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier = frontier.append(leaf)
    return frontier.root()


def head(size: int, asked: int, told: int, other: bytes = b"") -> HeadSeen:
    return HeadSeen(who="e0", asked=asked, told=told, size=size, root=other or root(size))


def proof(index: int, offset: int, leaf: int) -> Proven:
    return Proven(
        who="e0", asked=1, told=2, size=5, root=root(5), stream="notes", offset=offset, index=index, leaf=LEAVES[leaf]
    )


def judge(*deeds: HeadSeen) -> str:
    verdict, told = Verdict(), Deeds()
    told.heads = [deed for deed in deeds if not isinstance(deed, Proven)]
    told.proofs = [deed for deed in deeds if isinstance(deed, Proven)]
    check_evidence(verdict, told, FRAMES, STREAMS)
    return "" if verdict.violation is None else verdict.violation.invariant


@pytest.mark.parametrize(
    ("deeds", "invariant"),
    [
        ((), ""),
        ((head(2, 1, 2), head(2, 3, 4), head(5, 5, 6)), ""),
        ((head(5, 1, 4), head(2, 2, 3)), ""),
        ((head(5, 1, 2), head(2, 3, 4)), "E7"),
        ((head(3, 1, 2, bytes(32)),), "E7"),
        ((head(9, 1, 2),), "E7"),
        ((HeadSeen(who="e0", asked=1),), ""),
        ((proof(1, 2, 1), proof(1, 3, 1), proof(4, 9, 4)), ""),
        ((proof(1, 4, 1),), "E8"),
        ((proof(1, 2, 2),), "E8"),
        ((proof(7, 2, 1),), "E8"),
        ((Proven(who="e0", asked=1, stream="notes", offset=99),), ""),
    ],
)
def test_what_is_seen(deeds: tuple[HeadSeen, ...], invariant: str) -> None:
    assert judge(*deeds) == invariant
