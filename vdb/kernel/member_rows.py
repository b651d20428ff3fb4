"""Rows of CONFIGURATION and MEMBERS as values, and their packed form.

Layouts (big-endian):

    Membership    epoch u64, number of voters u8, voters a byte each, learners a byte each (the rest)
    MemberRow     disk_id 16, then name, peer_address, address and region, each as its length u8 and UTF-8;
                  node is the row's key. No region: the row ends behind the address
"""

from __future__ import annotations

import struct

from attrs import frozen

from vdb.kernel.command import DISK_ID_SIZE, MemberRow

_HEAD = struct.Struct(">QB")
MEMBER_TEXT_BYTES_MAX = 255


@frozen(kw_only=True)
class Membership:
    """Node numbers of those who belong to the group since op `epoch`."""

    epoch: int
    voters: tuple[int, ...]
    learners: tuple[int, ...]

    def pack(self) -> bytes:
        return _HEAD.pack(self.epoch, len(self.voters)) + bytes(self.voters) + bytes(self.learners)


FOUNDING = Membership(epoch=0, voters=(), learners=())
"""Before the first reconfiguration: who belongs to the group is what its nodes were founded with, and no row here."""


def unpack_membership(row: bytes) -> Membership:
    epoch, count = _HEAD.unpack_from(row)
    end = _HEAD.size + count
    return Membership(epoch=epoch, voters=tuple(row[_HEAD.size : end]), learners=tuple(row[end:]))


def pack_member(row: MemberRow) -> bytes:
    """Texts are at most MEMBER_TEXT_BYTES_MAX bytes long."""
    said = (row.name, row.peer_address, row.address, *([row.region] if row.region else []))
    texts = [text.encode() for text in said]
    return row.disk_id + b"".join(bytes((len(text),)) + text for text in texts)


def unpack_member(key: bytes, row: bytes) -> MemberRow:
    texts: list[str] = []
    at = DISK_ID_SIZE
    while at < len(row):
        end = at + 1 + row[at]
        texts.append(row[at + 1 : end].decode())
        at = end
    name, peer_address, address, *region = texts
    return MemberRow(
        node=key[0],
        name=name,
        peer_address=peer_address,
        address=address,
        disk_id=row[:DISK_ID_SIZE],
        region=region[0] if region else "",
    )
