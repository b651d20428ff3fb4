"""Row changes as payloads (`SqlEvent.row` of `schemas/sql.capnp`), laid and read by hand.

pycapnp takes about a microsecond a field, and a row has three for each of its values; `struct` takes a tenth of that.
Words, behind the frame's header:

    root         struct of 1 word of data, 1 pointer
    SqlEvent     number u32, last bit 32, moved bit 33, union u16 (row: 1)
    pointer      struct of 3 words of data, 2 pointers
    RowChange    layout u32, operation u16, hasRowidBefore bit 48, hasRowidAfter bit 49; rowidBefore; rowidAfter
    pointers     before, after
    image        tag (count, struct of 2 words, 1 pointer); for each value: union u16, number, pointer; then the bytes

Reading expects that shape, one segment with pointers forward; whatever is otherwise, or looks wrong, is left to
pycapnp. What the pointers of one image lead to may not be more than the payload holds, so that a forged one costs no
more than an honest one of its size. A test holds both to pycapnp.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from vdb.changes import Image, Operation, RawText, RowChange, Value
from vdb.wire.framing import WORD

LAST, MOVED = 1 << 32, 1 << 33
"""Flags in the first word of a SqlEvent."""

ROOT = 1 << 32 | 1 << 48
"""Pointer to a SqlEvent right behind it."""

_ROW_KIND = 1 << 48
_KIND_MASK = 0xFFFC << 32 | 0xFFFF << 48
_ROW_POINTER = 3 << 32 | 2 << 48
_HAS_BEFORE, _HAS_AFTER = 1 << 48, 1 << 49
_ROW_MASK = 0x0003_FFFF_FFFF_FFFF
_LOW = 0xFFFF_FFFF

_HEAD = struct.Struct("<IIQQQQqqQQ")
_IMAGES_AT = _HEAD.size
_BEFORE_AT, _AFTER_AT = _HEAD.size - 2 * WORD, _HEAD.size - WORD
_WORD = struct.Struct("<Q")
_VALUE = struct.Struct("<QqQ")
_VALUE_WORDS = 3
_REAL = struct.Struct("<d")
_REAL_VALUE = struct.Struct("<QdQ")
_LIST = 1 | 7 << 32
_LIST_MASK = 0x7_0000_0003
_BYTES = 1 | 2 << 32
_TAG_MASK = 0xFFFF_FFFF_0000_0003
_TAG = 2 << 32 | 1 << 48

_NULL, _INTEGER, _REAL_KIND, _TEXT, _RAW_TEXT, _BLOB = range(6)
_NULL_BYTES = bytes(_VALUE.size)
_PADDING = [bytes(-size % WORD) for size in range(WORD)]

_BEFORE_BY_OPERATION = {Operation.INSERT: False, Operation.UPDATE: True, Operation.DELETE: True}
_AFTER_BY_OPERATION = {Operation.INSERT: True, Operation.UPDATE: True, Operation.DELETE: False}
OPERATIONS = {int(one): one for one in (Operation.INSERT, Operation.UPDATE, Operation.DELETE)}


class Row(NamedTuple):
    """A payload that holds a row change."""

    number: int
    last: bool
    moved: bool
    change: RowChange


def encode_row(number: int, flags: int, change: RowChange) -> bytes:
    """The payload; `flags` of LAST and MOVED. Integers are within 64 bits, which is what SQLite has."""
    before, after = change.before, change.after
    images: list[bytes] = []
    # The offset of a pointer counts from the word behind it: of the first, that is the second.
    before_pointer = after_pointer = words = 0
    if before is not None:
        before_pointer = 1 << 2 | _LIST | len(before) * _VALUE_WORDS << 35
        words = _encode_image(before, images)
    if after is not None:
        after_pointer = words << 2 | _LIST | len(after) * _VALUE_WORDS << 35
        words += _encode_image(after, images)
    row = change.layout | change.operation << 32
    rowid_before, rowid_after = change.rowid_before, change.rowid_after
    if rowid_before is not None:
        row |= _HAS_BEFORE
    if rowid_after is not None:
        row |= _HAS_AFTER
    head = _HEAD.pack(
        0, (_IMAGES_AT // WORD - 1) + words, ROOT, number | flags | _ROW_KIND, _ROW_POINTER,
        row, rowid_before or 0, rowid_after or 0, before_pointer, after_pointer,
    )  # fmt: skip
    return b"".join((head, *images))


def _encode_image(image: Image, parts: list[bytes]) -> int:
    """Append tag, values and bytes; how many words that is."""
    count = len(image)
    parts.append(_WORD.pack(count << 2 | _TAG))
    contents: list[bytes] = []
    room = (count - 1) * _VALUE_WORDS  # words between a value's pointer and the bytes that come next
    for value in image:
        if value is None:
            parts.append(_NULL_BYTES)
        elif isinstance(value, int):
            parts.append(_VALUE.pack(_INTEGER, value, 0))
        elif isinstance(value, float):
            parts.append(_REAL_VALUE.pack(_REAL_KIND, value, 0))
        else:
            kind, data = _content(value)
            size = len(data)
            parts.append(_VALUE.pack(kind, 0, (room << 2 | _BYTES | size << 35)))
            contents.append(data)
            contents.append(_PADDING[size % WORD])
            room += (size + 7) // WORD
        room -= _VALUE_WORDS
    parts += contents
    return 1 + count * _VALUE_WORDS + room + _VALUE_WORDS


def _content(value: str | bytes | RawText) -> tuple[int, bytes]:
    if isinstance(value, str):
        return _TEXT, value.encode() + b"\0"
    if isinstance(value, bytes):
        return _BLOB, value
    assert isinstance(value, RawText), f"a value of SQLite's five classes, found {type(value).__name__}"
    return _RAW_TEXT, value.data


def decode_row(payload: bytes) -> Row | None:
    """The row change in a payload; None when it holds something else, or has another shape than the usual one."""
    size = len(payload)
    if size < _HEAD.size:
        return None
    segments, words, root, event, pointer, row, rowid_before, rowid_after, before_at, after_at = _HEAD.unpack_from(
        payload
    )
    operation = OPERATIONS.get(row >> 32 & 0xFFFF)
    if (
        segments
        or words * WORD + WORD != size
        or root != ROOT
        or event & _KIND_MASK != _ROW_KIND
        or pointer != _ROW_POINTER
        or operation is None
        or row & ~_ROW_MASK
    ):
        return None
    before = after = None
    if _BEFORE_BY_OPERATION[operation]:
        before = _decode_image(payload, before_at, _BEFORE_AT)
        if before is None:
            return None
    if _AFTER_BY_OPERATION[operation]:
        after = _decode_image(payload, after_at, _AFTER_AT)
        if after is None:
            return None
    change = RowChange(
        layout=row & _LOW,
        operation=operation,
        rowid_before=rowid_before if row & _HAS_BEFORE else None,
        rowid_after=rowid_after if row & _HAS_AFTER else None,
        before=before,
        after=after,
    )
    return Row(event & _LOW, bool(event & LAST), bool(event & MOVED), change)


def _decode_image(payload: bytes, pointer: int, at: int) -> tuple[Value, ...] | None:
    """The image that the pointer in byte `at` leads to."""
    tag_at = at + WORD + ((pointer & _LOW) >> 2) * WORD
    end = tag_at + WORD + (pointer >> 35) * WORD
    left = len(payload)
    if pointer & _LIST_MASK != _LIST or end > left:
        return None
    (tag,) = _WORD.unpack_from(payload, tag_at)
    if tag & _TAG_MASK != _TAG or ((tag & _LOW) >> 2) * _VALUE.size != end - tag_at - WORD:
        return None
    values: list[Value] = []
    at = tag_at + WORD
    for kind, number, content in _VALUE.iter_unpack(payload[at:end]):
        at += _VALUE.size
        if kind == _INTEGER:
            values.append(number)
        elif kind == _NULL:
            values.append(None)
        elif kind == _REAL_KIND:
            values.append(_REAL.unpack_from(payload, at - 2 * WORD)[0])
        else:
            start = at + ((content & _LOW) >> 2) * WORD
            stop = start + (content >> 35)
            left -= stop - start
            if kind > _BLOB or content & _LIST_MASK != _BYTES or stop > len(payload) or left < 0:
                return None
            data = payload[start:stop]
            if kind == _BLOB:
                values.append(data)
            elif kind == _RAW_TEXT:
                values.append(RawText(data))
            elif data[-1:] != b"\0":
                return None
            else:
                try:
                    values.append(data[:-1].decode())
                except UnicodeDecodeError:
                    return None
    return tuple(values)
