"""Reading an audit log through, and whether what was read is what the node has signed.

Rules
- A scan reads the leaves of one signed head, each once and in order; what was added meanwhile isn't of it.
- It ends with the root: leaves that lead to another one than the signed one are EvidenceInvalid, and nothing that was
  read counts.
- Entries are numbered: a number that is missing is counted as a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field

from vdb.audit.page import AuditPage, AuditRecord
from vdb.audit.search import AuditSearch
from vdb.client.evidence_line import TreeHead
from vdb.client.face import AsyncFace
from vdb.errors import EvidenceInvalid, InvalidArgument
from vdb.evidence.merkle import HASH_SIZE, Frontier, HashAt, inclusion_proof, leaf_hash, node_hash
from vdb.evidence.proof import LogProof

PAGE_RECORDS = 500
EVERYTHING = AuditSearch()


class AuditSource(Protocol):
    """Where an audit log is read."""

    async def head(self) -> TreeHead:
        """The tree as it is, signed."""

    async def page(self, start: int, search: AuditSearch, *, sealed: bool) -> AuditPage:
        """Records from a leaf on, PAGE_RECORDS at most."""


class FaceAudit:
    """The audit log of a face's tenant in a group; empty: that of the node's region."""

    def __init__(self, face: AsyncFace, group: str, *, system: bool = False) -> None:
        """`system`: the log that tells what is about no tenant."""
        self._face = face
        self._group = group
        self._system = system

    async def head(self) -> TreeHead:
        return await self._face.tree_head(self._group, family="audit", system=self._system)

    async def consistency(self, size: int) -> tuple[TreeHead, tuple[bytes, ...]]:
        """The tree as it is, and that it begins with the one of `size` leaves."""
        return await self._face.tree_consistency(size, self._group, family="audit")

    async def page(self, start: int, search: AuditSearch, *, sealed: bool) -> AuditPage:
        return await self._face.audit_entries(
            self._group, first=start, count=PAGE_RECORDS, search=search, sealed=sealed, system=self._system
        )


@define
class Scanned:
    """What a scan has seen."""

    leaf_hashes: bytearray = field(factory=bytearray)
    gaps: int = 0
    shredded: int = 0
    _next_entry: int = 0

    def take(self, record: AuditRecord) -> None:
        expected = len(self.leaf_hashes) // HASH_SIZE
        if record.index != expected:
            raise EvidenceInvalid(f"a record is missing in the audit log: expected {expected}, found {record.index}")
        self.leaf_hashes += leaf_hash(record.leaf_data)
        self.gaps += max(0, record.first_entry - self._next_entry)
        self.shredded += record.shredded
        # Of a record that can't be opened the header still says how many entries it has.
        self._next_entry = record.first_entry + (_count_of(record) if record.shredded else len(record.entries))


async def scan(source: AuditSource, head: TreeHead, on_record: Callable[[AuditRecord], None]) -> Scanned:
    """Read all records of this head. EvidenceInvalid if they aren't those that it was signed for."""
    checkpoint, found = head.checkpoint, Scanned()
    at = 0
    while at < checkpoint.size:
        page = await source.page(at, EVERYTHING, sealed=False)
        for record in page.records:
            if record.index < checkpoint.size:
                found.take(record)
                on_record(record)
        if page.next <= at:
            raise EvidenceInvalid(f"the audit log ends at record {at}: expected {checkpoint.size} records")
        at = page.next
    tree = Frontier()
    for start in range(0, len(found.leaf_hashes), HASH_SIZE):
        tree = tree.append(bytes(found.leaf_hashes[start : start + HASH_SIZE]))
    if tree.root() != checkpoint.root:
        raise EvidenceInvalid("the records of the audit log lead to another root than the one that the node has signed")
    return found


async def prove_record(source: AuditSource, head: TreeHead, index: int) -> LogProof:
    """That a record is in the tree of this head; its `extra` is the leaf's data. InvalidArgument for none of the tree.

    All records are read for it, so the proof is of what the node has signed and of nothing that it says beside.
    """
    size = head.checkpoint.size
    if not 0 <= index < size:
        raise InvalidArgument(f"the audit log has {size} records: expected the number of one, found {index}")
    leaf_data: list[bytes] = []

    def take(record: AuditRecord) -> None:
        if record.index == index:
            leaf_data.append(record.leaf_data)

    scanned = await scan(source, head, take)
    path = inclusion_proof(_hash_at(bytes(scanned.leaf_hashes)), index, size)
    return LogProof(index, path, head.note, leaf_data[0])


def _hash_at(leaf_hashes: bytes) -> HashAt:
    """Of subtrees that are whole."""
    levels = [[leaf_hashes[at : at + HASH_SIZE] for at in range(0, len(leaf_hashes), HASH_SIZE)]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
    return lambda level, number: levels[level][number]


async def read_range(
    source: AuditSource,
    first: int,
    end: int,
    on_record: Callable[[AuditRecord], None],
    search: AuditSearch = EVERYTHING,
) -> None:
    """Records of a range of leaves with their sealed bodies; with a search those that have an entry that fits."""
    at = first
    while at < end:
        page = await source.page(at, search, sealed=True)
        for record in page.records:
            if record.index < end:
                on_record(record)
        if page.next <= at:
            raise EvidenceInvalid(f"the audit log ends at record {at}: expected {end} records")
        at = page.next


def _count_of(record: AuditRecord) -> int:
    """Of the entries in a record, as its header says (bytes 46 to 50)."""
    return int.from_bytes(record.leaf_data[46:50], "big")
