"""How a transaction begins in its stream (`SqlEvent.begin` of `schemas/sql.capnp`).

Most transactions change a table or two that others before them changed, on somebody's behalf who did so before. What
pycapnp makes of layouts and metadata is kept for the last ones that came, and laid behind the rest by hand: pointers
are relative, so the words of a list mean the same wherever they stand. Words, behind the frame's header:

    root         struct of 1 word of data, 1 pointer
    SqlEvent     number, flags, union u16 (begin: 0)
    pointer      struct of 1 word of data, 5 pointers
    Begin        count u32
    pointers     transaction, actor, purpose, metadata, layouts; then what they lead to, in this order
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from attrs import frozen

from vdb.changes import Attribution, Layout
from vdb.errors import InvalidArgument
from vdb.wire.framing import WORD
from vdb.wire.schema import CapnpError, sql
from vdb.wire.sql_rows import LAST, ROOT

TRANSACTION_ID_SIZE = 16

_CACHED_MAX = 512
_KEPT_SIZE_MAX = 8192
"""Bytes of a begin whose reading is kept."""
_BEGIN_POINTER = 1 << 32 | 5 << 48
_HEAD = struct.Struct("<IIQQQQ5Q")
_CONTENT_AT = _HEAD.size // WORD
_FRAME_WORDS = 1
_POINTERS = 5
_POINTERS_AT = _HEAD.size - _POINTERS * WORD
_BYTES = 1 | 2 << 32
_ID_POINTER = _BYTES | TRANSACTION_ID_SIZE << 35 | _POINTERS - 1 << 2
_LOW = 0xFFFF_FFFF
_TOUCHED_AGAIN = 64
_BEGIN_WORDS = 2 + _POINTERS
"""Of a Begin that is a message of its own, with the root pointer: the first list's words follow."""
_WORD = struct.Struct("<Q")


class _Words(NamedTuple):
    """A list: its pointer without the offset, and its words. Empty: there is none, or it needs a message of its own."""

    pointer: int
    data: bytes


@frozen(kw_only=True)
class Begin:
    """The first payload of a transaction. `count`: of its payloads, this one included."""

    id: bytes
    count: int
    attribution: Attribution
    layouts: tuple[Layout, ...]


def encode_begin(begin: Begin) -> bytes:
    """The payload. InvalidArgument for an attribution that isn't text."""
    assert len(begin.id) == TRANSACTION_ID_SIZE, f"a transaction's id has {TRANSACTION_ID_SIZE} bytes"
    attribution = begin.attribution
    try:
        metadata = _metadata_words(tuple(attribution.metadata.items())) if attribution.metadata else _NOTHING
        layouts = _layouts_words(begin.layouts) if begin.layouts else _NOTHING
        if metadata is None or layouts is None:
            return _encode_large(begin)
        actor, purpose = _text(attribution.actor), _text(attribution.purpose)
    except UnicodeEncodeError:
        raise InvalidArgument("actor, purpose and metadata of a transaction are text: found a lone surrogate") from None
    at = _POINTERS - 1  # words from behind the first pointer to where the next content comes
    parts: list[bytes] = []
    pointers: list[int] = []
    for pointer, data in (
        (_BYTES | TRANSACTION_ID_SIZE << 35, begin.id),
        actor,
        purpose,
        metadata,
        layouts,
    ):
        pointers.append(pointer | at << 2 if pointer else 0)
        parts.append(data)
        at += len(data) // WORD - 1
    words = _CONTENT_AT - _FRAME_WORDS + sum(map(len, parts)) // WORD
    flags = LAST if begin.count == 1 else 0
    return b"".join((_HEAD.pack(0, words, ROOT, flags, _BEGIN_POINTER, begin.count, *pointers), *parts))


def _text(text: str) -> _Words:
    if not text:
        return _NOTHING
    data = text.encode() + b"\0"
    return _Words(_BYTES | len(data) << 35, data + bytes(-len(data) % WORD))


@lru_cache(maxsize=_CACHED_MAX)
def _metadata_words(metadata: tuple[tuple[str, str], ...]) -> _Words | None:
    return _list_words(3, sql.Begin.new_message(metadata=_entries(metadata)))


@lru_cache(maxsize=_CACHED_MAX)
def _layouts_words(layouts: tuple[Layout, ...]) -> _Words | None:
    return _list_words(4, sql.Begin.new_message(layouts=_layout_fields(layouts)))


def _list_words(field: int, message: Any) -> _Words | None:
    """The list of a Begin that has nothing else; None when it is so long that pycapnp took several segments."""
    segments = message.to_segments()
    if len(segments) > 1:
        return None
    (pointer,) = _WORD.unpack_from(segments[0], (2 + field) * WORD)
    return _Words(pointer & ~_LOW | 1, bytes(segments[0][_BEGIN_WORDS * WORD :]))


def _entries(metadata: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in metadata]


def _layout_fields(layouts: Sequence[Layout]) -> list[dict[str, Any]]:
    return [{"table": each.table, "columns": each.columns, "key": each.key, "rowid": each.rowid} for each in layouts]


def _encode_large(begin: Begin) -> bytes:
    attribution = begin.attribution
    message = sql.SqlEvent.new_message(last=begin.count == 1)
    target = message.init("begin")
    target.transaction, target.count = begin.id, begin.count
    target.actor, target.purpose = attribution.actor, attribution.purpose
    target.metadata = _entries(tuple(attribution.metadata.items()))
    target.layouts = _layout_fields(begin.layouts)
    encoded: bytes = message.to_bytes()
    return encoded


def decode_begin(payload: bytes) -> Begin | None:
    """The begin in a payload of the usual shape, much of which came before; None when it is another, or large."""
    size = len(payload)
    if not _HEAD.size + TRANSACTION_ID_SIZE <= size <= _KEPT_SIZE_MAX:
        return None
    segments, words, root, event, pointer, count, id_pointer, *_rest = _HEAD.unpack_from(payload)
    if (
        segments
        or words * WORD + WORD != size
        or root != ROOT
        or event != (LAST if count == 1 else 0)
        or pointer != _BEGIN_POINTER
        or not 0 < count < 1 << 32
        or id_pointer != _ID_POINTER
    ):
        return None
    kept = _read_rest(payload[_POINTERS_AT : _HEAD.size] + payload[_HEAD.size + TRANSACTION_ID_SIZE :])
    if kept is None:
        return None
    attribution, layouts = kept
    return Begin(
        id=payload[_HEAD.size : _HEAD.size + TRANSACTION_ID_SIZE],
        count=count,
        attribution=attribution,
        layouts=layouts,
    )


@lru_cache(maxsize=_CACHED_MAX)
def _read_rest(rest: bytes) -> tuple[Attribution, tuple[Layout, ...]] | None:
    """What stands behind an id of zeros: `rest` is the pointers, and what follows the id."""
    at = _POINTERS * WORD
    head = _HEAD.pack(0, 0, ROOT, 0, _BEGIN_POINTER, 0, *[0] * _POINTERS)[WORD:_POINTERS_AT]
    segment = head + rest[:at] + bytes(TRANSACTION_ID_SIZE) + rest[at:]
    try:
        begin = read_begin(sql.SqlEvent.from_segments([segment], 2 * len(segment) // WORD + _TOUCHED_AGAIN).begin)
    except (CapnpError, UnicodeDecodeError):
        return None  # whoever asks reads it again, to say what is wrong
    return begin.attribution, begin.layouts


def read_begin(reader: Any) -> Begin:
    """What pycapnp's reader of a Begin holds. May raise what pycapnp raises of damaged bytes."""
    return Begin(
        id=reader.transaction,
        count=reader.count,
        attribution=Attribution(
            actor=reader.actor,
            purpose=reader.purpose,
            metadata={entry.name: entry.value for entry in reader.metadata},
        ),
        layouts=tuple(
            Layout(table=each.table, columns=tuple(each.columns), key=tuple(each.key), rowid=each.rowid)
            for each in reader.layouts
        ),
    )


_NOTHING = _Words(0, b"")
