"""The ledger's own list of event ids: what it finds wrong, and what is right."""

from __future__ import annotations

import pytest

from sim.checkers.event_ids import EventIds
from sim.verdict import Verdict
from vdb.crypto.record import BODY_OVERHEAD, RecordHeader, encode_record
from vdb.errors import RefusalCode
from vdb.kernel.command import KnownAppend, KnownPiece
from vdb.kernel.reply import Appended, AppendedStream, Refusal
from vdb.types import DataClass

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
TAKEN = Refusal(RefusalCode.EVENT_ID_TAKEN, "taken")


def record(*ids: bytes) -> bytes:
    header = RecordHeader(
        tenant=1, stream=5, offset=0, count=max(1, len(ids)), data_class=DataClass.PHI, region="eu",
        subject_token=bytes(32), dek_id=bytes(16), schema_id=0, time=1,
    )  # fmt: skip
    return encode_record(header.encode(), b"".join(ids), bytes(BODY_OVERHEAD))


@pytest.fixture
def held() -> EventIds:
    """Stream 5 has an event without an id at 0, and a and b, appended by op 2, at 1 and 2."""
    ids = EventIds("eu", 2, Verdict())
    ids.on_record((1, 0), 1, 5, 0, 10, record())
    ids.on_record((2, 0), 1, 5, 1, 11, record(A, B))
    return ids


def known(*pieces: tuple[int, bytes, int], whole: bool = True) -> KnownAppend:
    built = tuple(KnownPiece(stream=stream, event_id=event_id, count=count) for stream, event_id, count in pieces)
    return KnownAppend(tenant=1, pieces=built, whole=whole)


def answer(first: int, following: int, position: int) -> Appended:
    return Appended((AppendedStream(5, first, following),), position, position + following - first, 1)


def test_sound_ones(held: EventIds) -> None:
    held.on_known(3, known((5, A, 2)), answer(1, 3, 11))
    held.on_known(3, known((5, B, 1)), answer(2, 3, 12))
    held.on_known(3, known((5, B, 1), whole=False), TAKEN)
    both = Appended((AppendedStream(6, 4, 4), AppendedStream(5, 1, 3)), 11, 13, 1)
    held.on_known(3, known((6, b"", 0), (5, A, 2)), both)
    held.on_record((3, 0), 1, 5, 3, 13, record(C))
    # a isn't remembered any more: c has taken its place.
    held.on_record((4, 0), 1, 5, 4, 14, record(A))
    assert held.verdict.ok


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (known((5, A, 2)), answer(1, 3, 12)),
        (known((5, A, 2)), answer(0, 2, 10)),
        (known((5, A, 2)), answer(1, 2, 11)),
        (known((5, B, 1)), answer(1, 2, 11)),
        (known((5, C, 1)), answer(3, 4, 13)),
        (known((5, A, 2)), TAKEN),
        (known((5, C, 1), whole=False), TAKEN),
        (known((5, A, 1), whole=False), answer(1, 2, 11)),
    ],
    ids=["place", "others", "short", "another id", "never there", "refused", "not taken", "not refused"],
)
def test_wrong_ones(held: EventIds, command: KnownAppend, reply: Appended | Refusal) -> None:
    held.on_known(3, command, reply)
    assert held.verdict.violation is not None
    assert held.verdict.violation.invariant == "event-ids"


def test_what_comes_twice(held: EventIds) -> None:
    held.on_record((3, 0), 1, 5, 3, 13, record(C, A))
    assert held.verdict.violation is not None
    assert "offset 4 of stream 5 has the id of the one at 1" in str(held.verdict.violation)


def test_events_of_two_appends_arent_one(held: EventIds) -> None:
    held.on_record((3, 0), 1, 5, 3, 13, record(C))
    held.on_known(4, known((5, B, 2)), answer(2, 4, 12))
    assert held.verdict.violation is not None
