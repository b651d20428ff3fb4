"""Exports of an audit log (veritydb-export/v1): files that prove what they say when there is no VerityDB any more.

What each file holds and how it is checked: `vdb.verifier.bundle`. Here they are written.

Rules
- Files are appended to as the records come, so an export of any size needs the memory of one record.
- A record's key is handed out only where all of its entries are exported: the others concern somebody else. Of a record
  that is withheld the entries that fit are shown on the exporter's word, and its leaf stays in the tree.
- Numbers of 64 bits stand as strings of digits.
- Nothing of it is read back from elsewhere: the signed bytes are the stored ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from struct import Struct
from typing import Any

from attrs import define, field, frozen

from vdb.audit.fhir import Place
from vdb.crypto.signing import SigningKey
from vdb.evidence import base64
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import HASH_SIZE
from vdb.evidence.note import Note, VerifierKey, sign_note
from vdb.evidence.tiles import TILE_WIDTH, Tile, encode_entries
from vdb.verifier.assemble import verifier_source
from vdb.verifier.bundle import EXPORT_FORMAT, SHREDDED, WITHHELD, entry_line
from vdb.verifier.canonical import canonical_event, canonical_json, parse_json
from vdb.verifier.disclosures import DISCLOSURE_COLUMNS, csv_line, disclosure_rows
from vdb.verifier.fhir import FHIR_VERSION, audit_events_of, instant_of
from vdb.version import VERSION

_BODY_LENGTH = Struct(">I")

_MEDIA = {
    "audit.ndjson": "application/fhir+ndjson",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "toml": "application/toml",
    "txt": "text/plain",
    "py": "text/x-python",
    "vkey": "text/plain",
}

Signer = tuple[str, SigningKey]
"""Who exports: a name without spaces, and a key."""

Append = Callable[[str, bytes], None]
"""Appends to a file of the export; makes it, if it isn't there."""


@frozen(kw_only=True)
class ExportedRecord:
    """A record of the log, with as much of it as is handed out."""

    index: int
    """Of its leaf."""
    leaf_data: bytes
    entries: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)
    """Each with its number in the record: as it was sealed, JSON."""
    body: bytes = field(default=b"", repr=False)
    record_key: bytes = field(default=b"", repr=False)
    """32 bytes; empty: withheld, or shredded."""
    shredded: bool = False


@frozen(kw_only=True)
class ExportAbout:
    """What an export says of itself."""

    created: int
    """Microseconds UTC."""
    requested_by: str
    purpose: str
    region: str
    data_class: str = "PHI"
    """As each record's header has it: what the global group's log tells is NonPHI."""
    first: int
    """The range of leaves that was looked through."""
    end: int
    complete: bool
    """All leaves of the range are there."""
    filter: str = ""
    """What was wanted of them, in words; empty: all."""
    disclosure_basis: str = ""
    recipient: str = ""
    policy_version: str = ""
    policy_text: str = field(default="", repr=False)
    """Of the access policy that holds: a file of its own."""
    source: str = "a node that ran"
    """What it was made from, in words."""
    place: Place
    witnesses: tuple[VerifierKey, ...] = ()
    """Whose cosignatures the checkpoint has."""


@define
class _File:
    size: int = 0
    digest: Any = field(factory=sha256)


class ExportWriter:
    """Writes one export: records in order, then the end."""

    def __init__(self, about: ExportAbout, append: Append) -> None:
        self._about = about
        self._place = about.place.as_json()
        self._append = append
        self._files: dict[str, _File] = {}
        self._counts: dict[str, int] = {}
        self._redactions: list[dict[str, str]] = []
        for name in ("leaves.bin", "bodies.bin", "records.txt", "entries.ndjson", "audit.ndjson", "disclosures.csv"):
            self._write(name, b"")
        self._write("disclosures.csv", csv_line(DISCLOSURE_COLUMNS).encode())

    def add(self, record: ExportedRecord) -> None:
        """The next record."""
        opened = bool(record.record_key)
        assert not (opened and record.shredded), "what is shredded has no key"
        self._write("leaves.bin", encode_entries([record.leaf_data]))
        body = record.body if opened else b""
        self._write("bodies.bin", _BODY_LENGTH.pack(len(body)) + body)
        key = base64.encode(record.record_key) if opened else SHREDDED if record.shredded else WITHHELD
        self._write("records.txt", f"{record.index} {key}\n".encode())
        if not opened:
            self._redactions.append({"index": str(record.index), "reason": key})
        for number, raw in record.entries:
            self._show(record.index, number, raw)

    def finish(self, note: Note, log_key: VerifierKey, signer: Signer, leaf_hashes: bytes = b"") -> bytes:
        """The files that are left, with the checkpoint in `note`; the manifest's SHA-256.

        `leaf_hashes`: of all leaves of the tree, 32 bytes each, unless all of them were exported.
        """
        checkpoint = Checkpoint.parse(note.text)
        assert not leaf_hashes or len(leaf_hashes) == HASH_SIZE * checkpoint.size
        for number in range(-(-len(leaf_hashes) // (HASH_SIZE * TILE_WIDTH))):
            hashes = leaf_hashes[number * TILE_WIDTH * HASH_SIZE : (number + 1) * TILE_WIDTH * HASH_SIZE]
            self._write(Tile(0, number, len(hashes) // HASH_SIZE).path, hashes)
        name, key = signer
        exporter = VerifierKey(name, key.public)
        known = [log_key, *self._about.witnesses]
        ours = tuple(one for one in note.signatures if any((k.name, k.key_id) == (one.name, one.key_id) for k in known))
        self._write("checkpoint", str(Note(note.text, ours)).encode())
        if self._about.policy_text:
            self._write("access-policy.toml", self._about.policy_text.encode())
        self._write("policy.txt", _policy(log_key, self._about.witnesses).encode())
        self._write("keys/log.vkey", f"{log_key}\n".encode())
        self._write("keys/exporter.vkey", f"{exporter}\n".encode())
        for number, witness in enumerate(self._about.witnesses, 1):
            self._write(f"keys/witness-{number}.vkey", f"{witness}\n".encode())
        self._write("verify.py", verifier_source())
        self._write("README.txt", _readme(checkpoint.origin, log_key, exporter, complete=self._about.complete).encode())
        manifest = canonical_json(self._manifest(checkpoint))
        digest = sha256(manifest).digest()
        self._append("manifest.json", manifest)
        text = f"{EXPORT_FORMAT}\n{checkpoint.origin}\n{base64.encode(digest)}\n"
        self._append("manifest.note", str(sign_note(text, [(name, key)])).encode())
        return digest

    def _show(self, index: int, number: int, raw: bytes) -> None:
        entry, name = parse_json(raw), f"{index}-{number}"
        self._counts[entry["kind"]] = self._counts.get(entry["kind"], 0) + 1
        self._write("entries.ndjson", entry_line(index, number, raw))
        for event in audit_events_of(entry, name, self._place):
            self._write("audit.ndjson", canonical_event(event) + b"\n")
        for row in disclosure_rows(entry, name):
            self._write("disclosures.csv", csv_line(row).encode())

    def _write(self, name: str, data: bytes) -> None:
        file = self._files.setdefault(name, _File())
        file.size += len(data)
        file.digest.update(data)
        self._append(name, data)

    def _manifest(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        about = self._about
        return {
            "format": EXPORT_FORMAT,
            "origin": checkpoint.origin,
            "created": instant_of(about.created),
            "requested_by": about.requested_by,
            "purpose": about.purpose,
            "disclosure_basis": about.disclosure_basis,
            "recipient": about.recipient,
            "region": about.region,
            "class": about.data_class,
            "range": {"first": str(about.first), "end": str(about.end)},
            "complete": about.complete,
            "filter": about.filter,
            "tree": {"size": str(checkpoint.size), "root": base64.encode(checkpoint.root)},
            "counts": {kind: str(count) for kind, count in self._counts.items()},
            "redactions": self._redactions,
            "files": [
                {
                    "path": name,
                    "sha256": file.digest.hexdigest(),
                    "bytes": str(file.size),
                    "media": _MEDIA.get(name) or _MEDIA.get(name.rpartition(".")[2], "application/octet-stream"),
                }
                for name, file in sorted(self._files.items())
            ],
            "place": self._place,
            "source": about.source,
            "policy_version": about.policy_version,
            "software": f"veritydb {VERSION}",
            "fhir": FHIR_VERSION,
        }


def _policy(log_key: VerifierKey, witnesses: tuple[VerifierKey, ...]) -> str:
    lines = ["# Whose signatures count for the checkpoint (C2SP tlog-policy).", f"log {log_key}"]
    names = [f"w{number}" for number in range(1, len(witnesses) + 1)]
    lines += [f"witness {name} {key}" for name, key in zip(names, witnesses, strict=True)]
    if names:
        lines.append(f"group witnesses all {' '.join(names)}")
    return "\n".join([*lines, f"quorum {'witnesses' if names else 'none'}"]) + "\n"


def _readme(origin: str, log_key: VerifierKey, exporter: VerifierKey, *, complete: bool) -> str:
    said = (
        "All records of the range in manifest.json are here: nothing was left out of it."
        if complete
        else "This is a selection. It proves what it holds; that nothing was left out, no selection can show. Ask for\n"
        "a range where that matters."
    )
    return f"""An export of an audit log: who read, wrote, was refused or was given what.

Log:  {origin}

It holds protected health information: that somebody receives care is one. Keep it as you keep a chart.

To check it
    python3 verify.py

needs Python 3.11 and the package `cryptography`, no network and no database. It reads every file here, and says in
which one something doesn't hold. A verifier that comes with what it checks proves little by itself: read it, or take it
from elsewhere, or write your own from what is below. Give it the log's key as it was handed to you, not from here:

    python3 verify.py --key "{log_key}"

The key of who exported: {exporter}

{said}

What is here
    manifest.json    what this is, and the SHA-256 of each file (RFC 8785); manifest.note signs it (C2SP signed-note)
    checkpoint       the root of the log's Merkle tree (RFC 6962), signed by the log's node (C2SP tlog-checkpoint), and
                     cosigned by witnesses, if it has any (C2SP tlog-cosignature)
    policy.txt       whose signatures count (C2SP tlog-policy); keys/ has the same keys
    records.txt      each record's number in the tree, and its key; or withheld: it concerns others as well; or shredded
    leaves.bin       leaves of the tree, behind their lengths (16 bits): a record's header and the SHA-256 of its body
    bodies.bin       sealed bodies, behind their lengths (32 bits): AES-256-GCM under the record's key
    tile/            hashes of all leaves (C2SP tlog-tiles), where not all of them were exported
    entries.ndjson   the entries as they were sealed, each with its record and its number there
    audit.ndjson     the same as FHIR R4 AuditEvents, one a line
    disclosures.csv  those that were disclosures, for an accounting (45 CFR 164.528)
    access-policy.toml  who may do what, as it held when this was exported, if there was a policy

A record key opens that record and no other. Who has it can show the record's contents to others; they can't change it.
"""
