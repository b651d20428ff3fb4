"""Segments are a pure function of the committed ops: worked out again from the ledger, compared with the platter.

Every frame of an op at or below the durable checkpoint must be on the platter, where and as the ledger says. What lies
behind them in the open segment is of later ops, or left by a crash, and is no promise. Where an op up to there has
pruned a segment, its stub must be there, and say of each record what its leaf hashes. What was damaged at rest is no
promise, either; that it is mended in the end is seen to elsewhere (`sim.file_rot`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from zlib import crc32

from attrs import define, field

from sim.checkers.ledger import CATALOGUE, Frame, Ledger
from sim.checkers.media import Platter, group_file
from sim.verdict import Verdict

HEADER_SIZE = 64


@define
class ExpectedSegment:
    """What a segment's file must hold behind its header."""

    content: bytearray = field(factory=bytearray)
    closed: bool = False
    frames: list[Frame] = field(factory=list)

    def stub(self) -> bytes:
        """What must be behind the header of its stub: names of streams as they are, of the rest what leaves need."""
        parts = [
            encode_frame(frame.position, frame.record if frame.stream == CATALOGUE else prune(frame.record))
            for frame in self.frames
        ]
        return b"".join(parts)


def encode_frame(position: int, record: bytes) -> bytes:
    """position u64, length u32, record, crc32 of all before it; big-endian."""
    bare = struct.pack(">QI", position, len(record)) + record
    return bare + struct.pack(">I", crc32(bare))


def prune(record: bytes) -> bytes:
    """The header of 112 bytes and a region's name, the length of the ids with its top bit, the ids, the body's hash."""
    header_size = 112 + record[51]
    ids_at = header_size + 4
    body_at = ids_at + int.from_bytes(record[header_size:ids_at], "big")
    length = (body_at - ids_at | 1 << 31).to_bytes(4, "big")
    return record[:header_size] + length + record[ids_at:body_at] + sha256(record[body_at:]).digest()


def expected_segments(frames: Sequence[Frame], upto_op: int, segment_size: int) -> Iterator[ExpectedSegment]:
    """The segments of one tenant as of an op. One is closed by the first frame that takes its file to the size."""
    segment = ExpectedSegment()
    for frame in frames:
        if frame.op > upto_op:
            break
        segment.content += encode_frame(frame.position, frame.record)
        segment.frames.append(frame)
        if HEADER_SIZE + len(segment.content) >= segment_size:
            segment.closed = True
            yield segment
            segment = ExpectedSegment()
    if segment.content:
        yield segment


def check_segments(verdict: Verdict, platter: Platter, ledger: Ledger, checkpoint_op: int) -> None:
    """Compare all segments of one group."""
    for tenant, frames in sorted(ledger.frames.items()):
        pruned = {number for number, op in ledger.pruned.get(tenant, {}).items() if op <= checkpoint_op}
        for number, expected in enumerate(expected_segments(frames, checkpoint_op, ledger.limits.segment_size), 1):
            if number in pruned:
                _check_stub(verdict, platter, ledger.group, tenant, number, expected)
                continue
            path = group_file(ledger.group, f"log/t_{tenant}/{number:06}.seg")
            found = platter.durable(path)
            if found is None:
                verdict.fail("segments", f"{path} isn't on the platter; the checkpoint at op {checkpoint_op} needs it")
                return
            if platter.is_tampered(path, 0, len(found)):
                continue
            body = found[HEADER_SIZE:]
            same = body == expected.content if expected.closed else body.startswith(expected.content)
            at = 0 if same else HEADER_SIZE + _first_difference(body, expected.content)
            verdict.check(
                "segments",
                same,
                f"{path} differs from what the ops up to {checkpoint_op} give, from byte {at} on",
            )


def _check_stub(
    verdict: Verdict, platter: Platter, group: str, tenant: int, number: int, expected: ExpectedSegment
) -> None:
    path = group_file(group, f"log/t_{tenant}/{number:06}.stub")
    found = platter.durable(path)
    if platter.is_tampered(path, 0, len(found or b"")):
        return
    verdict.check("segments", expected.closed, f"{path} is the stub of a segment that isn't closed")
    same = found is not None and found[HEADER_SIZE:] == expected.stub()
    verdict.check("segments", same, f"{path} isn't on the platter, or isn't what is left of that segment")


def _first_difference(found: bytes, expected: bytes | bytearray) -> int:
    pairs = enumerate(zip(found, expected, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(found), len(expected)))
