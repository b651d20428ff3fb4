"""The bytes of a checkpoint, under `<directory>/checkpoints/`: a manifest and the data files that it names. Big-endian.

`checkpoint-<op>` (the manifest; op as 16 hexadecimal digits; its SHA-256 is the checkpoint's id):

    0    magic "VDBCHECK"  8, format version 2, families 2, group 32, op 8
    52   for each family: name 8 (padded with zeros), next_slot u16, files u16, runs u16, zeros 2; then
         files, in the order of their ops: op u64, size u64, SHA-256 32
         runs: slots u16, op u64 - the next that many slots have their base in the file of that op; they add up to SLOTS

`state-<op>` and `keys-<op>` (data files of the families):

    0    magic "VDBTABLE"  8, format version 2, zeros 2, family 8, group 32, op 8, zeros 4
    64   sections, back to back:
         kind u8 (1 delta, 2 base), zero u8, first_slot u16, last_slot u16, zeros u16, rows u32, length u32,
         crc32 u32 over the bytes before it and the block, then the block: `length` bytes (vdb.wire.snapshot)

A row's slot is the CRC-32 of its key, started with its table's number, modulo SLOTS. A base section holds all rows of
one table in its slots; a delta section the rows that changed.

A crash may leave data files and manifests that the superblock doesn't name: whole, torn or empty. They are
removed when the named checkpoint was loaded, or overwritten. Files that the named manifest lists were synced before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from zlib import crc32

from attrs import field, frozen

from vdb.errors import DamagedData, ForeignData, NewerFormat, OlderFormat, WireError
from vdb.wire.snapshot import RowBlock, decode_rows

SLOTS = 1024
FORMAT_VERSION = 2
"""From 2 on a tenant's row has the frontier of its Merkle tree. It can't be made from a row of version 1."""
MANIFEST_MAGIC = b"VDBCHECK"
DATA_MAGIC = b"VDBTABLE"
DATA_HEADER_SIZE = 64

_MANIFEST = struct.Struct(">8sHH32sQ")
_FAMILY = struct.Struct(">8sHHH2x")
_FILE = struct.Struct(">QQ32s")
_RUN = struct.Struct(">HQ")
_DATA = struct.Struct(">8sHH8s32sQ4x")
_SECTION = struct.Struct(">BxHH2xII")
_CRC = struct.Struct(">I")
SECTION_OVERHEAD = _SECTION.size + _CRC.size
assert _DATA.size == DATA_HEADER_SIZE


class Kind(IntEnum):
    DELTA = 1
    BASE = 2


@frozen(kw_only=True)
class Section:
    """Where a block lies in its data file. `rows` counts what it sets."""

    kind: Kind
    first_slot: int
    last_slot: int
    rows: int
    offset: int
    """Of the section's first byte in the file."""
    size: int
    """Bytes, with the section's own header."""


@frozen(kw_only=True)
class DataFile:
    op: int
    size: int
    digest: bytes = field(repr=False)


@frozen(kw_only=True)
class FamilyManifest:
    """What a manifest says of one family. `bases[s]` is the op of the file with slot s's base; 0: it has none."""

    name: str
    next_slot: int
    files: tuple[DataFile, ...]
    bases: tuple[int, ...] = field(repr=False)


@frozen(kw_only=True)
class Manifest:
    op: int
    families: tuple[FamilyManifest, ...]


def manifest_name(op: int) -> str:
    return f"checkpoint-{op:016x}"


def data_name(family: str, op: int) -> str:
    return f"{family}-{op:016x}"


def slot_for_row(table: int, key: bytes) -> int:
    return crc32(key, table) % SLOTS


def encode_manifest(manifest: Manifest, group_hash: bytes) -> bytes:
    parts = [_MANIFEST.pack(MANIFEST_MAGIC, FORMAT_VERSION, len(manifest.families), group_hash, manifest.op)]
    for family in manifest.families:
        runs = list(_runs(family.bases))
        parts.append(_FAMILY.pack(family.name.encode(), family.next_slot, len(family.files), len(runs)))
        parts.extend(_FILE.pack(entry.op, entry.size, entry.digest) for entry in family.files)
        parts.extend(_RUN.pack(count, op) for count, op in runs)
    return b"".join(parts)


def _runs(bases: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    start = 0
    for slot in range(1, len(bases) + 1):
        if slot == len(bases) or bases[slot] != bases[start]:
            yield slot - start, bases[start]
            start = slot


def decode_manifest(path: str, data: bytes, group_hash: bytes) -> Manifest:
    """The manifest in these bytes, whose digest the caller has checked."""
    _magic, _version, count, _group, op = _MANIFEST.unpack_from(data)
    check_start(path, data, MANIFEST_MAGIC, group_hash, group_at=12)
    at, families = _MANIFEST.size, []
    for _family in range(count):
        name, next_slot, file_count, run_count = _FAMILY.unpack_from(data, at)
        at += _FAMILY.size
        files = []
        for _file in range(file_count):
            file_op, size, digest = _FILE.unpack_from(data, at)
            files.append(DataFile(op=file_op, size=size, digest=digest))
            at += _FILE.size
        bases: list[int] = []
        for _run in range(run_count):
            slots, base = _RUN.unpack_from(data, at)
            bases += [base] * slots
            at += _RUN.size
        assert len(bases) == SLOTS
        label = name.rstrip(b"\0").decode()
        families.append(FamilyManifest(name=label, next_slot=next_slot, files=tuple(files), bases=tuple(bases)))
    assert at == len(data)
    return Manifest(op=op, families=tuple(families))


def encode_data_header(family: str, op: int, group_hash: bytes) -> bytes:
    return _DATA.pack(DATA_MAGIC, FORMAT_VERSION, 0, family.encode(), group_hash, op)


def check_start(path: str, data: bytes, magic: bytes, group_hash: bytes, *, group_at: int) -> None:
    """Refuse a file by its first bytes: ForeignData or NewerFormat."""
    found, version = data[:8], int.from_bytes(data[8:10], "big")
    if found != magic:
        raise ForeignData(f"{path}: expected a file of a VerityDB checkpoint starting with {magic!r}, found {found!r}")
    if version > FORMAT_VERSION:
        raise NewerFormat(f"{path} has format version {version}; this program reads versions up to {FORMAT_VERSION}")
    if version < FORMAT_VERSION:
        raise OlderFormat(
            f"{path} has format version {version}; this program reads {FORMAT_VERSION}: export the data with the "
            "version of VerityDB that wrote it, and import them"
        )
    if data[group_at : group_at + 32] != group_hash:
        raise ForeignData(f"{path}: expected a checkpoint of group {group_hash.hex()[:16]}, found another group's")


def check_data_header(path: str, data: bytes, family: str, op: int, group_hash: bytes) -> None:
    check_start(path, data, DATA_MAGIC, group_hash, group_at=20)
    if data[:DATA_HEADER_SIZE] != encode_data_header(family, op, group_hash):
        raise DamagedData(f"{path}: byte 0: the header isn't that of family {family!r} at op {op}")


def encode_section(kind: Kind, first_slot: int, last_slot: int, rows: int, block: bytes) -> bytes:
    head = _SECTION.pack(kind, first_slot, last_slot, rows, len(block))
    return b"".join((head, _CRC.pack(crc32(block, crc32(head))), block))


def read_section_head(path: str, data: bytes, at: int, file_at: int) -> Section:
    """The section whose first SECTION_OVERHEAD bytes lie at `data[at:]`, at byte `file_at` of the file."""
    if at + SECTION_OVERHEAD > len(data):
        raise damaged_section(path, file_at)
    kind, first_slot, last_slot, rows, length = _SECTION.unpack_from(data, at)
    if kind not in (Kind.DELTA, Kind.BASE) or not first_slot <= last_slot < SLOTS:
        raise damaged_section(path, file_at)
    return Section(
        kind=Kind(kind),
        first_slot=first_slot,
        last_slot=last_slot,
        rows=rows,
        offset=file_at,
        size=SECTION_OVERHEAD + length,
    )


def decode_section(path: str, data: bytes, section: Section) -> RowBlock:
    """The block of a section, from the section's bytes; DamagedData names file and byte."""
    if len(data) != section.size:
        raise damaged_section(path, section.offset)
    (crc,) = _CRC.unpack_from(data, _SECTION.size)
    block = memoryview(data)[SECTION_OVERHEAD:]
    if crc32(block, crc32(memoryview(data)[: _SECTION.size])) != crc:
        raise damaged_section(path, section.offset)
    try:
        return decode_rows(block)
    except WireError as error:
        raise damaged_section(path, section.offset) from error


def damaged_section(path: str, at: int) -> DamagedData:
    return DamagedData(f"{path}: byte {at}: a block of the checkpoint is damaged")
