"""Scans and exports of audit logs of nodes that tell the truth, and of nodes that don't."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from attrs import define, evolve, field

from vdb.audit.bundle import ExportAbout
from vdb.audit.entry import AuditEntry, Kind, decode_entry, encode_entry
from vdb.audit.fhir import Place
from vdb.audit.page import AuditPage, AuditRecord
from vdb.audit.search import AuditSearch
from vdb.client.audit_export import export_log
from vdb.client.audit_scan import EVERYTHING, prove_record, scan
from vdb.client.evidence_line import TreeHead
from vdb.crypto.record import RecordKey, encode_header
from vdb.crypto.signing import SigningKey
from vdb.errors import EvidenceInvalid, InvalidArgument
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier, leaf_hash
from vdb.evidence.note import VerifierKey, sign_note
from vdb.verifier.bundle import Export
from vdb.verifier.faults import Fault
from vdb.wire.event import encode_batch

ORIGIN = "veritydb/00/us-east-1/t-1/audit"
LOG, OFFICER = SigningKey(b"l" * 32), SigningKey(b"o" * 32)
TIME = 1_795_330_440_000_000
PER_RECORD = 3


def entry(number: int) -> bytes:
    return encode_entry(
        AuditEntry(
            kind=Kind.READ, action="read", time=TIME + number, actor="dr.lee", subjects=(f"Patient/{number % 4}",)
        )
    )


def sealed(index: int) -> AuditRecord:
    first = PER_RECORD * index
    entries = tuple(entry(first + number) for number in range(PER_RECORD))
    header = encode_header(1 | 1 << 63, 1, first, PER_RECORD, 1, b"us-east-1", bytes(32), b"d" * 16, 0, TIME + first)
    key, salt = RecordKey(b"k" * 32), sha256(b"%d" % index).digest()
    body = key.seal(header, encode_batch(entries), salt)
    return AuditRecord(
        index=index,
        first_entry=first,
        time=TIME + first,
        leaf_data=header + sha256(body).digest(),
        entries=entries,
        body=body,
        record_key=key.derive(salt, header)[0],
    )


@define
class Node:
    """Tells what `told` makes of its records."""

    records: list[AuditRecord]
    told: Callable[[list[AuditRecord]], list[AuditRecord]] = field(default=lambda records: records)
    page_size: int = 4

    async def head(self) -> TreeHead:
        tree = Frontier()
        for record in self.records:
            tree = tree.append(leaf_hash(record.leaf_data))
        note = sign_note(str(Checkpoint(ORIGIN, tree.size, tree.root())), [(ORIGIN, LOG)])
        return TreeHead(note=note, verifier=VerifierKey(ORIGIN, LOG.public))

    async def page(self, start: int, search: AuditSearch, *, sealed: bool) -> AuditPage:
        shown = [record for record in self.told(self.records) if start <= record.index < start + self.page_size]
        found = []
        for record in shown:
            fitting = tuple(one for one in record.entries if search.fits(decode_entry(one), (search.subject,)))
            whole = len(fitting) == len(record.entries)
            if fitting or search.is_empty:
                key = record.record_key if sealed and whole else b""
                found.append(evolve(record, entries=fitting, record_key=key, body=record.body if sealed else b""))
        return AuditPage(
            records=tuple(found), next=min(start + self.page_size, len(self.records)), size=len(self.records)
        )


@pytest.fixture
def log() -> list[AuditRecord]:
    return [sealed(index) for index in range(10)]


async def scanned(node: Node) -> tuple[list[int], Any]:
    seen: list[int] = []
    found = await scan(node, await node.head(), lambda record: seen.append(record.index))
    return seen, found


async def test_all_records_of_the_signed_tree_are_read(log: list[AuditRecord]) -> None:
    seen, found = await scanned(Node(log))
    assert seen == list(range(10))
    assert (found.gaps, found.shredded, len(found.leaf_hashes)) == (0, 0, 320)


async def test_what_was_added_since_is_not_of_the_scan(log: list[AuditRecord]) -> None:
    node = Node(log[:7])
    head = await node.head()
    node.records = log
    found = await scan(node, head, lambda _record: None)
    assert len(found.leaf_hashes) == 7 * 32


async def test_gaps_in_the_numbers_and_shredded_records_are_counted(log: list[AuditRecord]) -> None:
    shredded = evolve(log[4], entries=(), body=b"", record_key=b"", shredded=True)
    skipping = [*log[:4], shredded, *(evolve(one, first_entry=one.first_entry + 2) for one in log[5:])]
    _, found = await scanned(Node(skipping))
    assert (found.gaps, found.shredded) == (2, 1)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (lambda log: log[:5] + log[6:], "a record is missing in the audit log: expected 5, found 6"),
        (lambda log: [*log[:5], evolve(log[6], index=5), *log[6:]], "lead to another root than the one"),
        (lambda log: [*log[:9], evolve(log[9], leaf_data=log[9].leaf_data[:-1] + b"x")], "lead to another root"),
    ],
)
async def test_a_node_that_shows_other_records_than_it_signed_is_found_out(
    log: list[AuditRecord], told: Any, message: str
) -> None:
    with pytest.raises(EvidenceInvalid, match=message):
        await scanned(Node(log, told))


async def test_a_log_that_ends_too_soon_is_found_out(log: list[AuditRecord]) -> None:
    node = Node(log)
    head = await node.head()
    node.records = log[:8]
    with pytest.raises(EvidenceInvalid, match="the audit log ends at record 8: expected 10 records"):
        await scan(node, head, lambda _record: None)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 10])
async def test_each_record_is_proven(log: list[AuditRecord], size: int) -> None:
    node = Node(log[:size])
    head = await node.head()
    for index in range(size):
        proof = await prove_record(node, head, index)
        assert proof.extra == log[index].leaf_data
        assert proof.holds_for(leaf_hash(proof.extra))
    with pytest.raises(InvalidArgument, match=f"the audit log has {size} records: expected the number of one"):
        await prove_record(node, head, size)


async def exported(node: Node, search: AuditSearch = EVERYTHING, first: int = 0, end: int = 10) -> dict[str, bytes]:
    about = ExportAbout(
        created=TIME,
        requested_by="officer.kim",
        purpose="HCOMPL",
        region="us-east-1",
        first=first,
        end=end,
        complete=False,
        place=Place(region="us-east-1"),
    )
    files: dict[str, bytes] = {}

    def append(name: str, data: bytes) -> None:
        files[name] = files.get(name, b"") + data

    head = await node.head()
    await export_log(node, head, head.note, about, ("officer.kim", OFFICER), append, search)
    return files


def verified(files: dict[str, bytes]) -> Any:
    return Export(list(files), files.__getitem__).verify([], [], None)


async def test_an_export_of_all_of_a_range_and_of_a_search_verifies(log: list[AuditRecord]) -> None:
    whole = verified(await exported(Node(log)))
    assert (whole.complete, whole.opened, whole.entries, whole.end) == (True, 10, 30, 10)
    part = verified(await exported(Node(log), first=3, end=8))
    assert (part.complete, part.opened, part.first, part.end) == (True, 5, 3, 8)
    files = await exported(Node(log), AuditSearch(subject="Patient/1"))
    found = verified(files)
    assert (found.complete, found.opened, found.entries) == (False, 0, 8)
    assert found.withheld == found.records
    assert b"Patient/2" not in b"".join(data for name, data in files.items() if name != "verify.py")


async def test_one_who_is_not_in_the_log_gives_an_export_without_records(log: list[AuditRecord]) -> None:
    found = verified(await exported(Node(log), AuditSearch(subject="Patient/none")))
    assert (found.records, found.entries) == (0, 0)


async def test_an_export_ends_where_the_signed_tree_does(log: list[AuditRecord]) -> None:
    with pytest.raises(InvalidArgument, match="a range of records ends at 10 at most; found 3 to 11"):
        await exported(Node(log), first=3, end=11)


async def test_a_node_that_shows_other_entries_than_it_sealed_is_found_out_by_the_verifier(
    log: list[AuditRecord],
) -> None:
    lying = Node(log, lambda records: [evolve(one, entries=(entry(99), *one.entries[1:])) for one in records])
    with pytest.raises(Fault, match=r"entries.ndjson: line 1 isn't entry 0 of record 0 as the sealed record has it"):
        verified(await exported(lying))
