"""Where the fixed parts of rpc.capnp messages lie, word by word: the hot path reads and writes them without pycapnp.

pycapnp takes 15 µs to reach a call's parameters and 5 µs to wrap results; `struct` takes one or two. The content of
a payload is still a message of its own, built and read by pycapnp, and only its surroundings are laid by hand.

How content and surroundings become one message
- *Inline*, for content of one segment: its pointers are relative, so the whole segment, root pointer first, is put
  where the payload's content pointer belongs. The payload has one pointer then (no capability table), as a struct
  of an older schema would.
- *Detached*, for content of several segments or with capabilities: the segments keep their numbers and places, the
  surroundings become one more segment, the root pointer is replaced by a far pointer to that, and the content
  pointer becomes a double-far pointer back to the content's root.
- Reading goes the other way: `reroot` overwrites a message's root pointer by one to the content, so that all of the
  message's segments can be read as a message whose root is the content.

Pointers (words): struct `offset << 2 | data << 32 | pointers << 48`, offset signed from the next word; list kind 1;
far `2 | double << 2 | offset << 3 | segment << 32`; capability `3 | index << 32`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vdb.wire.framing import WORD, encode_frame

U64 = struct.Struct("<Q")
_OFFSET_MASK = 0x3FFF_FFFF
_LOW_MASK = 0xFFFF_FFFF
_CAP_DESCRIPTOR_SENDER_HOSTED = 1


def struct_pointer(offset: int, data: int, pointers: int) -> int:
    """To a struct `offset` words behind the next word, of so many words of data and pointers."""
    return (offset & _OFFSET_MASK) << 2 | data << 32 | pointers << 48


def far_pointer(segment: int, offset: int, *, double: bool = False) -> int:
    return 2 | double << 2 | offset << 3 | segment << 32


def capability_pointer(index: int) -> int:
    """To the entry `index` of the payload's capability table."""
    return 3 | index << 32


def target_of(pointer: int, at: int) -> int:
    """The word that a struct or list pointer in word `at` leads to."""
    offset = (pointer & _LOW_MASK) >> 2
    if offset >= 1 << 29:
        offset -= 1 << 30
    return at + 1 + offset


def reroot(segment: bytearray, content: int, at: int) -> None:
    """Make `content`, the pointer found in word `at` of a message's first segment, that message's root pointer."""
    if content and content & 3 < 2:
        offset = ((content & _LOW_MASK) >> 2) + at
        content = content & ~_LOW_MASK | (offset & _OFFSET_MASK) << 2 | content & 3
    U64.pack_into(segment, 0, content)


def attach_detached(
    surroundings: bytes, segments: Sequence[bytes | bytearray], capabilities: Sequence[int] = ()
) -> bytes:
    """The frame of `surroundings` (root pointer up to the payload's two pointers) around content in `segments`.

    `capabilities` are the sender's exports that the content's capability pointers count through.
    """
    number = len(segments)
    (root,) = U64.unpack_from(segments[0])
    content = root
    pad_at = len(surroundings) // WORD + 2
    if root and root & 3 == 0 and root >> 32:
        content = far_pointer(number, pad_at, double=True)
    pad = (far_pointer(0, target_of(root, 0)), root & ~_LOW_MASK)
    table_pointer = 0
    table: list[int] = []
    if capabilities:
        # A composite list: a tag that looks like a struct pointer with the count as its offset, then the structs.
        table_pointer = 1 | 2 << 2 | 7 << 32 | 2 * len(capabilities) << 35
        table.append(struct_pointer(len(capabilities), 1, 1))
        for export in capabilities:
            table += (_CAP_DESCRIPTOR_SENDER_HOSTED | export << 32, 0)
    tail = struct.pack(f"<{4 + len(table)}Q", content, table_pointer, *pad, *table)
    first = U64.pack(far_pointer(number, 0)) + segments[0][WORD:]
    return encode_frame([first, *segments[1:], surroundings + tail])


def write_capability(segment: bytearray, path: Sequence[int], index: int) -> None:
    """Put a capability pointer where `path` (pointer fields from the root) leads, in content of one segment."""
    at = 0
    for pointer_field in path:
        (pointer,) = U64.unpack_from(segment, at * WORD)
        assert pointer & 3 == 0, "a capability's path leads through structs of one segment"
        data = pointer >> 32 & 0xFFFF
        assert pointer >> 48 > pointer_field, f"the results have no pointer field {pointer_field}"
        at = target_of(pointer, at) + data + pointer_field
    U64.pack_into(segment, at * WORD, capability_pointer(index))
