"""Segments are a pure function of the committed ops: worked out again from the ledger, compared with the platter.

Every frame of an op at or below the durable checkpoint must be on the platter, where and as the ledger says. What lies
behind them in the open segment is of later ops, or left by a crash, and is no promise.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

from attrs import define, field

from sim.checkers.ledger import Frame, Ledger
from sim.checkers.media import Platter, group_file
from sim.verdict import Verdict

HEADER_SIZE = 64


@define
class ExpectedSegment:
    """What a segment's file must hold behind its header."""

    content: bytearray = field(factory=bytearray)
    closed: bool = False


def encode_frame(frame: Frame) -> bytes:
    """position u64, length u32, record, crc32 of all before it; big-endian."""
    bare = struct.pack(">QI", frame.position, len(frame.record)) + frame.record
    return bare + struct.pack(">I", crc32(bare))


def expected_segments(frames: Sequence[Frame], upto_op: int, segment_size: int) -> Iterator[ExpectedSegment]:
    """The segments of one tenant as of an op. One is closed by the first frame that takes its file to the size."""
    segment = ExpectedSegment()
    for frame in frames:
        if frame.op > upto_op:
            break
        segment.content += encode_frame(frame)
        if HEADER_SIZE + len(segment.content) >= segment_size:
            segment.closed = True
            yield segment
            segment = ExpectedSegment()
    if segment.content:
        yield segment


def check_segments(verdict: Verdict, platter: Platter, ledger: Ledger, checkpoint_op: int) -> None:
    """Compare all segments of one group."""
    for tenant, frames in sorted(ledger.frames.items()):
        for number, expected in enumerate(expected_segments(frames, checkpoint_op, ledger.limits.segment_size), 1):
            path = group_file(ledger.group, f"log/t_{tenant}/{number:06}.seg")
            found = platter.durable(path)
            if found is None:
                verdict.fail("segments", f"{path} isn't on the platter; the checkpoint at op {checkpoint_op} needs it")
                return
            body = found[HEADER_SIZE:]
            same = body == expected.content if expected.closed else body.startswith(expected.content)
            at = 0 if same else HEADER_SIZE + _first_difference(body, expected.content)
            verdict.check(
                "segments",
                same,
                f"{path} differs from what the ops up to {checkpoint_op} give, from byte {at} on",
            )


def _first_difference(found: bytes, expected: bytes | bytearray) -> int:
    pairs = enumerate(zip(found, expected, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(found), len(expected)))
