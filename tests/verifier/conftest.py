"""Exports to verify: of a log of a few records, all of it and a selection."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from attrs import evolve, frozen

from vdb.audit.bundle import ExportAbout, ExportedRecord, ExportWriter
from vdb.audit.entry import AuditEntry, Kind, Outcome, encode_entry
from vdb.audit.fhir import Place
from vdb.crypto.record import RecordKey, encode_header
from vdb.crypto.signing import SigningKey
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosign, witness_key
from vdb.evidence.merkle import Frontier, leaf_hash
from vdb.evidence.note import Note, VerifierKey, sign_note
from vdb.wire.event import encode_batch

ORIGIN = "veritydb/00ff/us-east-1/t-1/audit"
TIME = 1_795_330_440_123_000
LOG, EXPORTER, WITNESS = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
DATA_KEY = b"k" * 32

KINDS = (Kind.READ, Kind.WRITE, Kind.QUERY, Kind.DENY, Kind.EXPORT, Kind.BREAK_GLASS)


def entry(number: int) -> AuditEntry:
    kind = KINDS[number % len(KINDS)]
    return AuditEntry(
        kind=kind,
        action="read",
        time=TIME + 1000 * number,
        outcome=Outcome.DENIED if kind is Kind.DENY else Outcome.OK,
        actor="spiffe://clinic.example/dr.lee",
        credential="mtls",
        client="10.0.0.7:4711",
        purpose="PUBHLTH" if kind is Kind.EXPORT else "TREAT",
        reason='=cmd, or "formula"' if kind is Kind.EXPORT else "",
        rule="physicians",
        policy="sha256:" + "ab" * 32,
        object="notes",
        subjects=(f"Patient/p-{number % 4}", "Patient/all") if number % 5 == 0 else (f"Patient/p-{number % 4}",),
        count=number + 1,
        node="node-1",
        detail={"recipient": "=State Health Dept", "description": "immunizations"} if kind is Kind.EXPORT else {},
    )


def sealed_record(index: int, first: int, count: int) -> ExportedRecord:
    """A record with these entries, sealed as a node does it."""
    raw = tuple((number, encode_entry(entry(first + number))) for number in range(count))
    header = encode_header(
        1 | 1 << 63, 1, first, count, 1, b"us-east-1", bytes(32), b"d" * 16, 0, TIME + 1000 * (first + count)
    )
    key, salt = RecordKey(DATA_KEY), sha256(b"%d" % index).digest()
    body = key.seal(header, encode_batch([one for _, one in raw]), salt)
    return ExportedRecord(
        index=index,
        leaf_data=header + sha256(body).digest(),
        entries=raw,
        body=body,
        record_key=key.derive(salt, header)[0],
    )


RECORDS = [sealed_record(index, 3 * index, 3) for index in range(20)]


@frozen(kw_only=True)
class Made:
    files: dict[str, bytes]
    log_key: VerifierKey
    exporter: VerifierKey


def signed_tree(records: list[ExportedRecord], *, witnessed: bool) -> Note:
    tree = Frontier()
    for record in records:
        tree = tree.append(leaf_hash(record.leaf_data))
    text = str(Checkpoint(ORIGIN, tree.size, tree.root()))
    note = sign_note(text, [(ORIGIN, LOG)])
    if not witnessed:
        return note
    return Note(text, (*note.signatures, cosign(text, "witness.example", WITNESS, 1_795_330_500)))


def make_export(shown: list[ExportedRecord], *, complete: bool, witnessed: bool = True) -> Made:
    log_key = VerifierKey(ORIGIN, LOG.public)
    about = ExportAbout(
        created=TIME,
        requested_by="spiffe://clinic.example/officer.kim",
        purpose="HCOMPL",
        region="us-east-1",
        first=0,
        end=len(RECORDS),
        complete=complete,
        policy_text='name = "clinic"\n' if complete else "",
        filter="" if complete else "subject Patient/p-1",
        place=Place(region="us-east-1", organization="Clinic A", address="db.clinic.example:7140"),
        witnesses=(witness_key("witness.example", WITNESS),) if witnessed else (),
    )
    files: dict[str, bytes] = {}

    def append(name: str, data: bytes) -> None:
        files[name] = files.get(name, b"") + data

    writer = ExportWriter(about, append)
    for record in shown:
        writer.add(record)
    hashes = b"" if complete else b"".join(leaf_hash(record.leaf_data) for record in RECORDS)
    writer.finish(signed_tree(RECORDS, witnessed=witnessed), log_key, ("officer.kim", EXPORTER), hashes)
    return Made(files=files, log_key=log_key, exporter=VerifierKey("officer.kim", EXPORTER.public))


@pytest.fixture(scope="session")
def complete() -> Made:
    """All records of the log; one of them was shredded, with its key."""
    shredded = evolve(RECORDS[7], entries=(), body=b"", record_key=b"", shredded=True)
    return make_export([*RECORDS[:7], shredded, *RECORDS[8:]], complete=True)


@pytest.fixture(scope="session")
def selection() -> Made:
    """What is about one patient: of two records a part, so that they are withheld."""
    shown = [
        RECORDS[3],
        RECORDS[11],
        *(evolve(RECORDS[n], record_key=b"", entries=RECORDS[n].entries[:1]) for n in (12, 19)),
    ]
    return make_export(shown, complete=False, witnessed=False)


@pytest.fixture(scope="session")
def exporting() -> Callable[..., Made]:
    return make_export


@pytest.fixture(scope="session")
def records() -> list[Any]:
    return RECORDS
