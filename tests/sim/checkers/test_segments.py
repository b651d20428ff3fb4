"""Segments are compared with what the ledger's frames give; a projection's rows with the fold of its log."""

from __future__ import annotations

from attrs import define, field

from sim.canary import NAME_CANARY, payload
from sim.checkers.contents import Opened
from sim.checkers.ledger import CATALOGUE, Frame, Ledger
from sim.checkers.projected import fold
from sim.checkers.segments import HEADER_SIZE, check_segments, encode_frame
from sim.history import StreamKey
from sim.verdict import Verdict
from vdb.crypto.record import RecordHeader, encode_record, prune_record
from vdb.limits import Limits
from vdb.types import DataClass

FRAMES = [Frame(op, 0, op - 1, 1, op - 1, 1, bytes([op]) * 100) for op in range(1, 5)]
PATH = "groups/global/log/t_1/00000{}.seg"


@define
class Files:
    files: dict[str, bytes] = field(factory=dict)

    def durable(self, path: str) -> bytes | None:
        return self.files.get(path)

    def durable_part(self, path: str, offset: int, size: int) -> bytes:
        return self.files.get(path, b"")[offset : offset + size]

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        return False


def broken(first: bytes, second: bytes, checkpoint_op: int) -> str:
    verdict = Verdict()
    ledger = Ledger("global", Limits(segment_size=HEADER_SIZE + 200), verdict, frames={1: FRAMES})
    files = Files({PATH.format(1): bytes(HEADER_SIZE) + first, PATH.format(2): bytes(HEADER_SIZE) + second})
    check_segments(verdict, files, ledger, checkpoint_op)
    return verdict.violation.message if verdict.violation else ""


def test_segments_close_by_size_and_may_be_ahead_of_the_checkpoint() -> None:
    one, two, three, four = (encode_frame(frame.position, frame.record) for frame in FRAMES)
    assert not broken(one + two, three + four, 4)
    assert not broken(one + two, three + b"torn", 3)
    assert "000001.seg differs" in broken(one + two + three, b"", 3)
    assert "000002.seg differs" in broken(one + two, b"", 3)
    assert f"from byte {HEADER_SIZE + 50} on" in broken((one + two)[:50] + b"?" + (one + two)[51:], three, 3)


def record_of(number: int) -> bytes:
    header = RecordHeader(
        tenant=1,
        stream=7,
        offset=number,
        count=1,
        data_class=DataClass.PHI,
        region="eu-central-1",
        subject_token=bytes(32),
        dek_id=bytes(16),
        schema_id=0,
        time=number,
    )
    return encode_record(header.encode(), b"i" * 16 * (number % 2), b"%d" % number * 100)


def test_a_pruned_segment_has_a_stub() -> None:
    """Worked out from the pages that specify it, it is what the product makes."""
    frames = [Frame(1 + number, 0, number, 7, number, 1, record_of(number)) for number in range(2)]
    frames.append(Frame(3, 0, 2, CATALOGUE, 0, 1, b"a name"))
    size = HEADER_SIZE + sum(len(encode_frame(frame.position, frame.record)) for frame in frames)
    stub = b"".join(encode_frame(number, prune_record(record_of(number))) for number in range(2))
    stub += encode_frame(2, b"a name")

    def found(content: bytes, checkpoint_op: int) -> str:
        verdict = Verdict()
        limits = Limits(segment_size=size)
        ledger = Ledger("global", limits, verdict, frames={1: frames}, pruned={1: {1: 5}})
        files = Files({PATH.format(1).replace(".seg", ".stub"): bytes(HEADER_SIZE) + content})
        check_segments(verdict, files, ledger, checkpoint_op)
        return verdict.violation.message if verdict.violation else ""

    assert not found(stub, 5)
    assert "000001.stub isn't on the platter, or isn't what is left" in found(stub[:-1], 5)
    assert "000001.seg isn't on the platter" in found(stub, 4)


def test_fold_keeps_the_latest_and_drops_what_is_gone() -> None:
    stream = StreamKey(1, "g", f"{NAME_CANARY.decode()}-s")
    payloads = [
        payload(client=1, number=number, group="g", entity=entity, size=0, delete=delete)
        for number, entity, delete in ((1, 1, False), (2, 2, False), (3, 1, False), (4, 2, True))
    ]
    events = [Opened(position, stream, position, content) for position, content in enumerate(payloads)]
    assert sorted(value[1] for value in fold(events, 4).values()) == [1_000_003]
    assert sorted(value[1] for value in fold(events, 2).values()) == [1_000_001, 1_000_002]
