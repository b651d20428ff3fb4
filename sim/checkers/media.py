"""What lies on the simulated platter, read without the product's code (I7, I33, I25).

The platter is what a power loss would leave now, if it lost everything unsynced. Layouts are worked out here from the
pages that specify them (the docstrings of `vdb.storage`), so that a bug in the product's layout code isn't repeated.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Protocol

from vdb.limits import PREPARE_HEADER_SIZE, SUPERBLOCK_COPIES, SUPERBLOCK_WRITE_QUORUM, Limits
from vdb.vsr.header import PrepareHeader

SUPERBLOCK_COPY_SIZE = 16 * 1024
_CHECKSUM_AT = 16
_HASHED_AT = 48


class Platter(Protocol):
    """What a crash that dropped everything unsynced would leave."""

    def durable(self, path: str) -> bytes | None:
        """The whole file as it is on the platter; None if its name isn't durable."""

    def durable_part(self, path: str, offset: int, size: int) -> bytes:
        """A part of it; b'' if the file's name isn't durable."""

    def is_tampered(self, path: str, offset: int, size: int) -> bool:
        """Whether a fault at rest has touched these bytes: then what lies there isn't the node's doing."""


def group_file(group: str, name: str) -> str:
    return f"groups/{group}/{name}"


def prepare_is_durable(platter: Platter, group: str, limits: Limits, header: PrepareHeader) -> str:
    """'' if prepare and redundant header of this op are on the platter now; otherwise what is missing."""
    missing = prepare_is_whole(platter, group, limits, header)
    if missing:
        return missing
    path = group_file(group, "wal")
    slot = header.op % limits.wal_slots
    at = slot * PREPARE_HEADER_SIZE
    if platter.is_tampered(path, at, PREPARE_HEADER_SIZE):
        return ""
    if platter.durable_part(path, at, PREPARE_HEADER_SIZE) != header.encode():
        return f"the redundant header of op {header.op} isn't in slot {slot}"
    return ""


def prepare_is_whole(platter: Platter, group: str, limits: Limits, header: PrepareHeader) -> str:
    """'' if the prepare itself is on the platter now; otherwise what is wrong."""
    path = group_file(group, "wal")
    slot = header.op % limits.wal_slots
    at = limits.wal_headers_size + slot * limits.message_size_max
    prepare = platter.durable_part(path, at, header.size)
    if platter.is_tampered(path, at, header.size):
        return ""
    if prepare[:PREPARE_HEADER_SIZE] != header.encode():
        return f"the prepare of op {header.op} isn't in slot {slot}"
    if sha256(prepare[PREPARE_HEADER_SIZE:]).digest() != header.body_checksum:
        return f"the body of op {header.op} in slot {slot} is damaged"
    return ""


def superblock_copies(platter: Platter, group: str) -> list[bytes]:
    """Checksums of the copies that are whole on the platter now."""
    found: list[bytes] = []
    for copy in range(SUPERBLOCK_COPIES):
        data = platter.durable_part(group_file(group, "superblock"), copy * SUPERBLOCK_COPY_SIZE, SUPERBLOCK_COPY_SIZE)
        if len(data) < SUPERBLOCK_COPY_SIZE or int.from_bytes(data[10:12], "big") != copy:
            continue
        checksum = data[_CHECKSUM_AT:_HASHED_AT]
        if sha256(data[:10] + data[_HASHED_AT:]).digest() == checksum:
            found.append(checksum)
    return found


def superblock_is_durable(platter: Platter, group: str, checksum: bytes) -> bool:
    """Whether a write quorum of copies holds the state of this checksum."""
    return superblock_copies(platter, group).count(checksum) >= SUPERBLOCK_WRITE_QUORUM
