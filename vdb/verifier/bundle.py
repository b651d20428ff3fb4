"""What an export must hold (veritydb-export/v1), checked file by file, and each file named in which something is wrong.

    manifest.json       what this is, and the SHA-256 of every other file (canonical JSON, RFC 8785)
    manifest.note       signed by who exported: the manifest's SHA-256
    checkpoint          signed by the log's node, and by witnesses: the root of the log's Merkle tree
    policy.txt, keys/   whose signatures count
    leaves.bin          of each exported record its leaf's data, behind its length (u16, big-endian)
    bodies.bin          its sealed body, behind its length (u32, big-endian; 0: withheld, or shredded)
    records.txt         its number in the tree, and its record key, "withheld" or "shredded"
    tile/0/...          hashes of all leaves of the tree; missing where all of the tree was exported
    entries.ndjson      the entries, as they were sealed
    audit.ndjson        the same as FHIR AuditEvents
    disclosures.csv     those that were disclosures
    access-policy.toml  who may do what, on the exporter's word; missing where no policy holds

Checked in this order: the manifest's form and signature; every file's size and SHA-256, and that there is no other;
the checkpoint; that every leaf is in the tree; that every body is its leaf's, opens, and holds the entries that are
shown; that events and disclosures are what these entries give; that the manifest counts right.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from vdb.verifier.canonical import canonical_event, canonical_json, parse_json
from vdb.verifier.disclosures import DISCLOSURE_COLUMNS, csv_line, disclosure_rows
from vdb.verifier.faults import Fault, exact_base64
from vdb.verifier.fhir import FHIR_VERSION, audit_events_of
from vdb.verifier.notes import PublicKey, TreeSigned, Trust, key_from_vkey, read_checkpoint, read_note, read_policy
from vdb.verifier.records import open_record, read_leaf_data
from vdb.verifier.trees import GrowingTree, hash_at, hash_of_leaf, tile_names

EXPORT_FORMAT = "veritydb-export/v1"
WITHHELD, SHREDDED = "withheld", "shredded"
DATA_CLASSES = {0: "NonPHI", 1: "PHI", 2: "Deidentified"}
"""By their numbers in a record's header."""

_UNSIGNED = ("manifest.json", "manifest.note")
_PLACE = ("region", "organization", "address", "patients_max")
_EXPORTER_KEY = "keys/exporter.vkey"


@dataclass
class Verified:
    """What was found to hold."""

    origin: str = ""
    size: int = 0
    root: bytes = b""
    exporter: str = ""
    source: str = ""
    """From what it was made, on the exporter's word."""
    signers: list[str] = field(default_factory=list)
    witnessed: dict[str, int] = field(default_factory=dict)
    """Witnesses, and the seconds since 1970 when they signed."""
    complete: bool = False
    """All leaves of a range, so that nothing was left out of it."""
    first: int = 0
    end: int = 0
    records: int = 0
    opened: int = 0
    withheld: int = 0
    shredded: int = 0
    entries: int = 0
    events: int = 0
    disclosures: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


class Export:
    """An export that is checked. `read` gives a file's bytes by its name; `names` are all files that there are."""

    def __init__(self, names: list[str], read: Callable[[str], bytes]) -> None:
        self._names = names
        self._read_file = read
        self.manifest: dict[str, Any] = {}
        self.found = Verified()

    def verify(self, log_keys: list[PublicKey], exporter_keys: list[PublicKey], trust: Trust | None) -> Verified:
        """All of it; Fault for the first thing that doesn't hold. Keys that are given have to have signed."""
        self._check_manifest(exporter_keys)
        self._check_files()
        signed = self._check_checkpoint(log_keys, trust)
        leaves, indexes, keys = self._check_leaves(signed)
        self._check_entries(leaves, indexes, keys)
        self._check_counts()
        return self.found

    # The manifest

    def _check_manifest(self, exporter_keys: list[PublicKey]) -> None:
        data = self._read("manifest.json")
        with _within("manifest.json"):
            manifest = parse_json(data)
            if not isinstance(manifest, dict) or canonical_json(manifest) != data:
                raise Fault("it isn't canonical JSON (RFC 8785): it was changed")
            if manifest.get("format") != EXPORT_FORMAT:
                raise Fault(f"it isn't an export that is known here: expected {EXPORT_FORMAT}")
        keys = exporter_keys or [self._key(_EXPORTER_KEY)]
        with _within("manifest.note"):
            note = read_note(self._read("manifest.note"), keys)
            lines = note.text.split("\n")
            if len(lines) != 4 or lines[0] != EXPORT_FORMAT or lines[3]:
                raise Fault(f"it has three lines, {EXPORT_FORMAT}, the log's origin and the manifest's SHA-256")
            if lines[2] != b64encode(sha256(data).digest()).decode("ascii"):
                raise Fault(
                    "its SHA-256 isn't the one that was signed in manifest.note: it was changed", "manifest.json"
                )
            if lines[1] != manifest.get("origin"):
                raise Fault("it is about another log than the manifest")
        self.manifest = manifest
        self.found.exporter = ", ".join(map(str, note.signers))

    def _key(self, file: str) -> PublicKey:
        with _within(file):
            text = self._read(file).decode("utf-8", "replace")
            if not text.endswith("\n"):
                raise Fault("a key is one line; found another end")
            return key_from_vkey(text[:-1])

    def _check_files(self) -> None:
        listed: dict[str, dict[str, str]] = {}
        with _within("manifest.json"):
            for one in self.manifest["files"]:
                listed[one["path"]] = one
        for name in sorted(self._names):
            if name not in listed and name not in _UNSIGNED:
                raise Fault("it isn't in the manifest: somebody has put it there", name)
        for name, one in listed.items():
            data = self._read(name)
            if str(len(data)) != one["bytes"]:
                raise Fault(f"it has {len(data)} bytes, and {one['bytes']} in the manifest", name)
            if sha256(data).hexdigest() != one["sha256"]:
                raise Fault("its SHA-256 isn't the one in the manifest: it was changed", name)

    # The tree

    def _check_checkpoint(self, log_keys: list[PublicKey], trust: Trust | None) -> TreeSigned:
        with _within("policy.txt"):
            own = read_policy(self._read("policy.txt"))
        with _within("checkpoint"):
            note = read_note(self._read("checkpoint"), [*own.keys, *log_keys, *(trust.keys if trust else [])])
            signed = read_checkpoint(note.text)
            own.check(note)
            if trust is not None:
                trust.check(note)
            if log_keys and not any(key in note.signers for key in log_keys):
                raise Fault("it isn't signed by a key that was given: another log, or somebody else")
            if signed.origin != self.manifest["origin"]:
                raise Fault("it is of another log than the manifest")
        with _within("manifest.json"):
            tree = self.manifest["tree"]
            if tree != {"size": str(signed.size), "root": b64encode(signed.root).decode("ascii")}:
                raise Fault("its tree isn't the one of the checkpoint")
        found = self.found
        found.origin, found.size, found.root = signed.origin, signed.size, signed.root
        found.signers, found.witnessed = list(map(str, note.signers)), note.times
        return signed

    def _check_leaves(self, signed: TreeSigned) -> tuple[list[bytes], list[int], list[str]]:
        with _within("records.txt"):
            indexes, keys = _read_records(self._read("records.txt"), signed.size)
        with _within("leaves.bin"):
            leaves = list(_framed(self._read("leaves.bin"), ">H"))
            if len(leaves) != len(indexes):
                raise Fault(f"it has {len(leaves)} leaves, and records.txt names {len(indexes)}")
        with _within("manifest.json"):
            self._check_range(indexes)
            complete = len(indexes) == signed.size
        hashes = list(map(hash_of_leaf, leaves))
        tree = GrowingTree()
        if complete:
            for leaf in hashes:
                tree.add(leaf)
        else:
            tiles = self._tiles(signed.size)
            for number in range(signed.size):
                tree.add(hash_at(tiles, number))
            for index, leaf in zip(indexes, hashes, strict=True):
                if hash_at(tiles, index) != leaf:
                    raise Fault(f"leaf {index} isn't the one that is in the tree", "leaves.bin")
        if tree.root() != signed.root:
            raise Fault("the leaves lead to another root than the checkpoint's", "leaves.bin" if complete else "tile/0")
        self._check_headers(leaves, indexes)
        return leaves, indexes, keys

    def _check_range(self, indexes: list[int]) -> None:
        said = self.manifest["range"]
        first, end = int(said["first"]), int(said["end"])
        # The numbers rise, so as many as the range has, within it, are all of it.
        if self.manifest["complete"] and len(indexes) != end - first:
            raise Fault("it says that all leaves of its range are there, and they aren't")
        if indexes and not first <= indexes[0] <= indexes[-1] < end:
            raise Fault("there are leaves outside of its range")
        self.found.complete, self.found.first, self.found.end = bool(self.manifest["complete"]), first, end

    def _tiles(self, size: int) -> dict[int, bytes]:
        tiles: dict[int, bytes] = {}
        for number, name in enumerate(tile_names(size)):
            tiles[number] = self._read(name)
            if len(tiles[number]) != 32 * min(256, size - 256 * number):
                raise Fault("it has another number of hashes than the tree has leaves", name)
        return tiles

    def _check_headers(self, leaves: list[bytes], indexes: list[int]) -> None:
        with _within("leaves.bin"):
            for index, leaf in zip(indexes, leaves, strict=True):
                header = read_leaf_data(leaf)
                if DATA_CLASSES.get(header.data_class) != self.manifest["class"]:
                    raise Fault(f"leaf {index} is of another data class than the manifest says")
                if header.region != self.manifest["region"]:
                    raise Fault(f"leaf {index} is of region {header.region!r}: the manifest says another")

    # What was sealed

    def _check_entries(self, leaves: list[bytes], indexes: list[int], keys: list[str]) -> None:
        with _within("manifest.json"):
            place = {name: str(self.manifest["place"][name]) for name in _PLACE}
            if not place["patients_max"].isdecimal():
                raise Fault("for how many patients there are events isn't a number")
        with _within("bodies.bin"):
            bodies = list(_framed(self._read("bodies.bin"), ">I"))
            if len(bodies) != len(leaves):
                raise Fault(f"it has {len(bodies)} bodies, and leaves.bin has {len(leaves)} leaves")
        shown = _Shown(self._read("entries.ndjson"), self._read("audit.ndjson"), self._read("disclosures.csv"))
        for index, leaf, body, key in zip(indexes, leaves, bodies, keys, strict=True):
            self.found.records += 1
            if key in (WITHHELD, SHREDDED):
                if body:
                    raise Fault(f"the body of record {index} is there, and records.txt says {key}", "bodies.bin")
                self.found.withheld += key == WITHHELD
                self.found.shredded += key == SHREDDED
                entries = shown.of(index) if key == WITHHELD else []
            else:
                with _within("bodies.bin", f"record {index}: "):
                    entries = list(enumerate(open_record(leaf, body, exact_base64(key, "its record key"))))
                self.found.opened += 1
                shown.expect(index, entries)
            self._check_derived(index, entries, shown, place)
        shown.check_ended()

    def _check_derived(
        self, index: int, entries: list[tuple[int, bytes]], shown: _Shown, place: dict[str, str]
    ) -> None:
        for number, raw in entries:
            with _within("entries.ndjson", f"record {index}: "):
                entry = parse_json(raw)
                kind = str(entry["kind"])
                events = audit_events_of(entry, f"{index}-{number}", place)
                disclosures = disclosure_rows(entry, f"{index}-{number}")
            self.found.entries += 1
            self.found.kinds[kind] = self.found.kinds.get(kind, 0) + 1
            self.found.events += shown.expect_events(events)
            self.found.disclosures += shown.expect_disclosures(disclosures)

    def _check_counts(self) -> None:
        with _within("manifest.json"):
            counts = {name: str(count) for name, count in self.found.kinds.items()}
            if self.manifest["counts"] != counts:
                raise Fault("it counts other entries than there are")
            self.found.source = str(self.manifest["source"])
            if self.manifest["fhir"] != FHIR_VERSION:
                raise Fault(f"it is of another version of FHIR: expected {FHIR_VERSION}")

    def _read(self, name: str) -> bytes:
        if name not in self._names:
            raise Fault("it is missing", name)
        return self._read_file(name)


class _Shown:
    """The files that show entries, compared line by line with what they have to be."""

    def __init__(self, entries: bytes, events: bytes, disclosures: bytes) -> None:
        self._entries = _Lines("entries.ndjson", entries)
        self._events = _Lines("audit.ndjson", events)
        self._disclosures = _Lines("disclosures.csv", disclosures)
        self._disclosures.expect(csv_line(DISCLOSURE_COLUMNS).encode(), "the columns' names")

    def of(self, index: int) -> list[tuple[int, bytes]]:
        """The entries that are shown of a record that was withheld: the exporter's word."""
        found: list[tuple[int, bytes]] = []
        while (line := self._entries.peek()).startswith(b'{"leaf":"%d",' % index):
            with _within("entries.ndjson", f"line {self._entries.number + 1}: "):
                number = int(parse_json(line)["number"])
                raw = line.removeprefix(entry_line(index, number, b"")[:-2]).removesuffix(b"}\n")
                if entry_line(index, number, raw) != line or (found and found[-1][0] >= number):
                    raise Fault(f"it isn't an entry of record {index}")
            self._entries.expect(line, "")
            found.append((number, raw))
        return found

    def expect(self, index: int, entries: list[tuple[int, bytes]]) -> None:
        for number, raw in entries:
            self._entries.expect(entry_line(index, number, raw), f"entry {number} of record {index}")

    def expect_events(self, events: list[dict[str, Any]]) -> int:
        for event in events:
            self._events.expect(canonical_event(event) + b"\n", f"AuditEvent {event['id']}")
        return len(events)

    def expect_disclosures(self, rows: list[list[str]]) -> int:
        for row in rows:
            self._disclosures.expect(csv_line(row).encode(), f"disclosure {row[0]}")
        return len(rows)

    def check_ended(self) -> None:
        for lines in (self._entries, self._events, self._disclosures):
            lines.check_ended()


class _Lines:
    def __init__(self, file: str, data: bytes) -> None:
        self._file = file
        self._data = data
        self._at = 0
        self.number = 0

    def peek(self) -> bytes:
        end = self._data.find(b"\n", self._at)
        return self._data[self._at : end + 1] if end >= 0 else b""

    def expect(self, line: bytes, what: str) -> None:
        self.number += 1
        if not self._data.startswith(line, self._at):
            raise Fault(f"line {self.number} isn't {what} as the sealed record has it", self._file)
        self._at += len(line)

    def check_ended(self) -> None:
        if self._at != len(self._data):
            raise Fault(f"there is more behind line {self.number}: no sealed record has it", self._file)


class _within:
    """A context manager: what goes wrong inside is wrong with this file."""

    def __init__(self, file: str, place: str = "") -> None:
        self._file = file
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Fault):
            raise Fault(error.what if error.file else self._place + error.what, error.file or self._file) from None
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
            raise Fault(f"{self._place}something is missing, or isn't what it should be: {error}", self._file) from None


def entry_line(index: int, number: int, raw: bytes) -> bytes:
    """A line of entries.ndjson: an entry as it was sealed, and where."""
    return b'{"leaf":"%d","number":%d,"entry":' % (index, number) + raw + b"}\n"


def _read_records(data: bytes, size: int) -> tuple[list[int], list[str]]:
    indexes: list[int] = []
    keys: list[str] = []
    for line in data.decode("ascii").splitlines():
        number, _, key = line.partition(" ")
        index = int(number)
        if str(index) != number or not key or index >= size or (indexes and index <= indexes[-1]):
            raise Fault(f"line {len(indexes) + 1} doesn't read NUMBER KEY, with a number above the last one's")
        indexes.append(index)
        keys.append(key)
    return indexes, keys


def _framed(data: bytes, length: str) -> Iterator[bytes]:
    """What stands in a file behind its lengths."""
    size = struct.calcsize(length)
    at = 0
    while at < len(data):
        if at + size > len(data):
            raise Fault(f"it is cut short at byte {at}")
        (count,) = struct.unpack_from(length, data, at)
        at += size
        if at + count > len(data):
            raise Fault(f"it is cut short at byte {at}")
        yield data[at : at + count]
        at += count
