"""Rows of the replicated state as Cap'n Proto (`schemas/snapshot.capnp`): what checkpoint files are made of.

Keys and values are packed back to back, so that a block of thousands of rows costs Cap'n Proto one struct. Sizes are
written only where rows differ in size.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from vdb.errors import WireError
from vdb.ports import Buffer
from vdb.wire.schema import CapnpError, snapshot

BLOCK_SIZE_MAX = 256 * 1024 * 1024
"""Bytes of one encoded block."""

_TRAVERSAL_WORDS = BLOCK_SIZE_MAX // 8


@frozen(kw_only=True)
class RowBlock:
    """Rows of one table that are set (`keys[i]` to `values[i]`), and keys that are removed."""

    table: int
    keys: list[bytes] = field(repr=False)
    values: list[bytes] = field(repr=False)
    removed: list[bytes] = field(repr=False)


def encode_rows(table: int, keys: Sequence[bytes], values: Sequence[bytes], removed: Sequence[bytes] = ()) -> bytes:
    """One block. The bytes are a function of the rows in their order."""
    assert len(keys) == len(values)
    message: Any = snapshot.RowBlock.new_message()
    message.table = int(table)  # pycapnp takes no IntEnum
    message.count = len(keys)
    message.keySize, message.keySizes = _pack_sizes(keys)
    message.valueSize, message.valueSizes = _pack_sizes(values)
    message.keys = b"".join(keys)
    message.values = b"".join(values)
    message.removed = b"".join(part for key in removed for part in (len(key).to_bytes(4, "big"), key))
    encoded: bytes = message.to_bytes()
    return encoded


def decode_rows(data: Buffer) -> RowBlock:
    """The block in these bytes; WireError when they aren't one."""
    try:
        with snapshot.RowBlock.from_bytes(bytes(data), traversal_limit_in_words=_TRAVERSAL_WORDS) as reader:
            count = reader.count
            return RowBlock(
                table=reader.table,
                keys=_unpack(reader.keys, reader.keySize, reader.keySizes, count),
                values=_unpack(reader.values, reader.valueSize, reader.valueSizes, count),
                removed=_unpack_removed(reader.removed),
            )
    except (CapnpError, ValueError) as error:
        raise WireError(f"a block of rows is malformed: {error}") from error


def _pack_sizes(parts: Sequence[bytes]) -> tuple[int, bytes]:
    """(the size of all, empty), or (0, the size of each) where they differ."""
    sizes = list(map(len, parts))
    if not sizes or min(sizes) == max(sizes):
        return (sizes[0] if sizes else 0), b""
    return 0, struct.pack(f">{len(sizes)}I", *sizes)


def _unpack(packed: bytes, size: int, sizes: bytes, count: int) -> list[bytes]:
    if not sizes:
        if len(packed) != size * count:
            raise WireError(f"a block of rows is malformed: expected {count} times {size} bytes, found {len(packed)}")
        if size == 0:
            return [b""] * count
        return [packed[at : at + size] for at in range(0, len(packed), size)]
    if len(sizes) != 4 * count:
        raise WireError(f"a block of rows is malformed: expected {count} sizes, found {len(sizes)} bytes of them")
    parts, at = [], 0
    for each in struct.unpack(f">{count}I", sizes):
        parts.append(packed[at : at + each])
        at += each
    if at != len(packed):
        raise WireError(f"a block of rows is malformed: the sizes add up to {at}, found {len(packed)} bytes")
    return parts


def _unpack_removed(packed: bytes) -> list[bytes]:
    keys, at = [], 0
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "big")
        keys.append(packed[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(packed):
        raise WireError("a block of rows is malformed: a removed key is cut short")
    return keys
