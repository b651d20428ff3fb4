"""Cap'n Proto's stream framing: what cuts a byte stream into messages, each a list of segments.

A frame is u32 (segments - 1), a u32 size in words for each segment, padding to 8 bytes, then the segments; all
little-endian. Everything here is sans-IO.

Rules
- The header is judged before anything is kept: too many segments or too large a message is a WireError, and a
  splitter that has raised one is of no further use.
- A splitter keeps at most one incomplete frame and what came with it in the last `feed`.
- Segments are fresh bytearrays: readers over them stay valid for as long as they are held, and the RPC layer may
  rewrite a root pointer in place.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vdb.errors import WireError
from vdb.ports import Buffer

WORD = 8
_HEADER_ONE = struct.Struct("<II")
_COUNT = struct.Struct("<I")


def frame_header(sizes: Sequence[int]) -> bytes:
    """The header of a frame whose segments have these sizes in bytes."""
    assert sizes
    words = [size // WORD for size in sizes]
    padding = () if len(words) % 2 else (0,)
    return struct.pack(f"<{1 + len(words) + len(padding)}I", len(words) - 1, *words, *padding)


def encode_frame(segments: Sequence[Buffer]) -> bytes:
    """One message as it travels."""
    return b"".join((frame_header([len(segment) for segment in segments]), *segments))


class FrameSplitter:
    """Cuts what `feed` was given into messages. Sizes are bytes; `size_max` counts the segments alone."""

    __slots__ = ("_buffer", "_position", "frame_size", "segments_max", "size_max")

    def __init__(self, *, size_max: int, segments_max: int) -> None:
        assert size_max >= WORD
        assert 1 <= segments_max <= 512
        self.size_max = size_max
        self.segments_max = segments_max
        self.frame_size = 0
        """Of the frame that `next_frame` returned last."""
        self._buffer = bytearray()
        self._position = 0

    @property
    def pending(self) -> int:
        """Bytes that were fed and not yet returned as part of a frame."""
        return len(self._buffer) - self._position

    def feed(self, data: Buffer) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_frame(self) -> list[bytearray] | None:
        """The segments of the next whole message; None when more bytes are needed. Raises WireError."""
        buffer, start = self._buffer, self._position
        available = len(buffer) - start
        if available < WORD:
            return None
        extra_segments, first_words = _HEADER_ONE.unpack_from(buffer, start)
        if extra_segments:
            return self._next_of_several(extra_segments + 1, start)
        size = first_words * WORD
        if size > self.size_max:
            raise WireError(f"a message of {size} bytes is above the limit of {self.size_max}")
        body = start + WORD
        end = body + size
        if end > len(buffer):
            return None
        self._position = end
        self.frame_size = size
        return [buffer[body:end]]

    def _next_of_several(self, count: int, start: int) -> list[bytearray] | None:
        if count > self.segments_max:
            raise WireError(f"a message of {count} segments is above the limit of {self.segments_max}")
        buffer = self._buffer
        body = start + (_COUNT.size * (1 + count) + WORD - 1) // WORD * WORD
        if body > len(buffer):
            return None
        sizes = [words * WORD for words in struct.unpack_from(f"<{count}I", buffer, start + _COUNT.size)]
        size = sum(sizes)
        if size > self.size_max:
            raise WireError(f"a message of {size} bytes is above the limit of {self.size_max}")
        if body + size > len(buffer):
            return None
        self.frame_size = size
        segments = []
        for size in sizes:
            segments.append(buffer[body : body + size])
            body += size
        self._position = body
        return segments
