"""Sealed records of an audit log, and the entries in them.

    leaf data = header || SHA256(body)
    header    = "VDBR" || version 1 || algorithm 1 || tenant, 16 bytes || stream, 16 || offset u64 || count u32 ||
                class || length of region || region || subject token, 32 || key id, 16 || schema u32 ||
                time u64, microseconds UTC
    body      = salt, 32 bytes || commitment, 32 || nonce, 12 zero bytes || AES-256-GCM(record key, nonce, entries,
                associated data: header || salt || commitment)

All numbers are big-endian. The entries are the payloads of an event batch: a Cap'n Proto message, a struct whose first
pointer is a list of data.

Rules
- A record key opens one record alone, and was derived for it from a key that stays where it is.
- That the opened entries are those that were sealed is what the tag of AES-GCM says for this key and this header. The
  commitment can be recomputed by who holds the data key, and not from a record key.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vdb.verifier.faults import Fault

RECORD_KEY_SIZE = 32

_HEADER = struct.Struct(">4sBB16s16sQIBB")
_HEADER_END = struct.Struct(">32s16sIQ")
_SALT_AND_COMMITMENT = 64
_NONCE_SIZE = 12
_POINTERS = 6
_BYTES = 2


@dataclass(frozen=True)
class SealedHeader:
    """What a record says of itself in clear."""

    tenant: int
    offset: int
    count: int
    data_class: int
    region: str
    time: int


def read_leaf_data(data: bytes) -> SealedHeader:
    """The header in a leaf's data. Fault if it isn't a record's."""
    if len(data) < _HEADER.size + _HEADER_END.size + 32:
        raise Fault("a leaf's data is cut short")
    magic, version, algorithm, tenant, _, offset, count, data_class, length = _HEADER.unpack_from(data)
    if (magic, version, algorithm) != (b"VDBR", 1, 1):
        raise Fault("a leaf's data isn't that of a sealed record, version 1, algorithm 1")
    if len(data) != _HEADER.size + length + _HEADER_END.size + 32:
        raise Fault("a leaf's data has another length than its header says")
    region = data[_HEADER.size : _HEADER.size + length]
    *_, time = _HEADER_END.unpack_from(data, _HEADER.size + length)
    return SealedHeader(
        int.from_bytes(tenant, "big"), offset, count, data_class, region.decode("ascii", "replace"), time
    )


def open_record(leaf_data: bytes, body: bytes, key: bytes) -> list[bytes]:
    """The entries that were sealed, as JSON. Fault if the body isn't the leaf's, or the key doesn't open it."""
    if sha256(body).digest() != leaf_data[-32:]:
        raise Fault("the sealed body isn't the one whose hash is in the tree")
    if len(key) != RECORD_KEY_SIZE or len(body) < _SALT_AND_COMMITMENT + _NONCE_SIZE + 16:
        raise Fault("the key or the sealed body is cut short")
    salted = body[:_SALT_AND_COMMITMENT]
    nonce = body[_SALT_AND_COMMITMENT : _SALT_AND_COMMITMENT + _NONCE_SIZE]
    if nonce != bytes(_NONCE_SIZE):
        raise Fault("the nonce of a sealed body is zero; found another")
    try:
        plain = AESGCM(key).decrypt(nonce, body[_SALT_AND_COMMITMENT + _NONCE_SIZE :], leaf_data[:-32] + salted)
    except InvalidTag:
        raise Fault("the sealed body doesn't open with its key") from None
    return batch_payloads(plain)


def batch_payloads(data: bytes) -> list[bytes]:
    """The payloads of an event batch. Fault if the bytes aren't one."""
    try:
        return _Message(data).payloads()
    except (struct.error, IndexError):
        raise Fault("what was sealed isn't an event batch: a pointer leads out of it") from None


class _Message:
    """A Cap'n Proto message: words in segments, that point at each other."""

    def __init__(self, data: bytes) -> None:
        (last,) = struct.unpack_from("<I", data)
        if last >= 512:
            raise Fault("what was sealed isn't an event batch: it has too many segments")
        sizes = struct.unpack_from(f"<{last + 1}I", data, 4)
        at = (4 * (last + 2) + 7) // 8 * 8
        self._segments: list[bytes] = []
        for size in sizes:
            self._segments.append(data[at : at + 8 * size])
            at += 8 * size
        if at != len(data):
            raise Fault("what was sealed isn't an event batch: it has another length than it says")

    def payloads(self) -> list[bytes]:
        segment, start, word = self._follow(0, 0)
        if word == 0 or word & 3 != 0:
            raise Fault("what was sealed isn't an event batch: it has no struct at its root")
        data_words, pointers = word >> 32 & 0xFFFF, word >> 48
        if pointers == 0:
            return []
        segment, start, word = self._follow(segment, start + data_words)
        if word == 0:
            return []
        if word & 3 != 1 or word >> 32 & 7 != _POINTERS:
            raise Fault("what was sealed isn't an event batch: its payloads are no list of data")
        return [self._bytes(segment, start + number) for number in range(word >> 35)]

    def _bytes(self, segment: int, at: int) -> bytes:
        segment, start, word = self._follow(segment, at)
        if word == 0:
            return b""
        size = word >> 35
        found = self._segments[segment][8 * start : 8 * start + size]
        if word & 3 != 1 or word >> 32 & 7 != _BYTES or len(found) != size or start < 0:
            raise Fault("what was sealed isn't an event batch: a payload is no data")
        return found

    def _follow(self, segment: int, at: int) -> tuple[int, int, int]:
        """(segment, word where the content begins, the pointer that describes it) of the pointer at this word."""
        word = self._word(segment, at)
        if word & 3 != 2:
            return segment, at + 1 + _signed_offset(word), word
        pad, target = word >> 3 & 0x1FFFFFFF, word >> 32
        landing = self._word(target, pad)
        if not word >> 2 & 1:
            return target, pad + 1 + _signed_offset(landing), landing
        return landing >> 32, landing >> 3 & 0x1FFFFFFF, self._word(target, pad + 1)

    def _word(self, segment: int, at: int) -> int:
        if at < 0:
            raise IndexError
        (word,) = struct.unpack_from("<Q", self._segments[segment], 8 * at)
        return int(word)


def _signed_offset(word: int) -> int:
    offset = word >> 2 & 0x3FFFFFFF
    return offset - 0x40000000 if offset & 0x20000000 else offset
