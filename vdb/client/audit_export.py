"""Exporting an audit log, or what is looked for in it, as files that prove themselves (`vdb.audit.bundle`)."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from vdb.audit.bundle import Append, ExportAbout, ExportedRecord, ExportWriter, Signer
from vdb.audit.page import AuditRecord
from vdb.audit.search import AuditSearch
from vdb.client.audit_scan import EVERYTHING, AuditSource, read_range, scan
from vdb.client.evidence_line import TreeHead
from vdb.errors import EvidenceInvalid, InvalidArgument
from vdb.evidence.note import Note


@frozen(kw_only=True)
class Exported:
    """What was written."""

    digest: bytes
    """SHA-256 of the manifest: stands in the log's own entry of the export."""
    records: int
    entries: int
    withheld: int
    head: TreeHead


async def export_log(
    source: AuditSource,
    head: TreeHead,
    note: Note,
    about: ExportAbout,
    signer: Signer,
    append: Append,
    search: AuditSearch = EVERYTHING,
) -> Exported:
    """Write an export of a head's records. `note`: the head's, perhaps with cosignatures.

    With a search, records of which not all entries fit are withheld: their keys would open what others are concerned
    by. EvidenceInvalid if the node's records aren't those of the signed tree; nothing of it is to be used then.
    """
    size = head.checkpoint.size
    if not about.first <= about.end <= size:
        raise InvalidArgument(f"a range of records ends at {size} at most; found {about.first} to {about.end}")
    fitting: dict[int, AuditRecord] = {}
    if not search.is_empty:
        await read_range(source, about.first, about.end, lambda one: fitting.update({one.index: one}), search)
    numbered: dict[int, tuple[tuple[int, bytes], ...]] = {}

    def number(record: AuditRecord) -> None:
        if record.index in fitting:
            numbered[record.index] = _numbered(record.entries, fitting[record.index].entries)

    scanned = await scan(source, head, number)
    whole = search.is_empty and (about.first, about.end) == (0, size)
    writer = ExportWriter(evolve(about, complete=search.is_empty), append)
    counts = {"records": 0, "entries": 0, "withheld": 0}

    def add(record: AuditRecord) -> None:
        entries = numbered.get(record.index) if fitting else tuple(enumerate(record.entries))
        if entries is None:
            raise EvidenceInvalid(f"record {record.index} of the audit log changed while it was read")
        writer.add(
            ExportedRecord(
                index=record.index,
                leaf_data=record.leaf_data,
                entries=entries,
                body=record.body if record.record_key else b"",
                record_key=record.record_key,
                shredded=record.shredded,
            )
        )
        counts["records"] += 1
        counts["entries"] += len(entries)
        counts["withheld"] += not record.record_key and not record.shredded

    if search.is_empty:
        await read_range(source, about.first, about.end, add)
    else:
        for index in sorted(fitting):
            add(fitting[index])
    digest = writer.finish(note, head.verifier, signer, b"" if whole else bytes(scanned.leaf_hashes))
    return Exported(digest=digest, head=head, **counts)


def _numbered(all_entries: Sequence[bytes], fitting: Sequence[bytes]) -> tuple[tuple[int, bytes], ...]:
    """Each of the entries that fit with its number in the record."""
    found: list[tuple[int, bytes]] = []
    for number, entry in enumerate(all_entries):
        if len(found) < len(fitting) and entry == fitting[len(found)]:
            found.append((number, entry))
    return tuple(found)
