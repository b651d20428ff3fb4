"""An export in one file: a zip archive that is written in one way alone, so that no byte of it says two things.

    of each file, in the order of the names:  its header, its name, its bytes packed (deflate)
    the directory: of each file, in the same order, the same again, and where its header stands
    the end, with a comment: "veritydb-export/v1 sha256 " and the SHA-256 (hex) of all bytes before the end

Rules
- Every header is the one that follows from its file's name, sizes and checksum: anything else is a fault, extra fields,
  times and flags among them. Nothing stands before, between or behind the parts; a name is there once.
- The comment holds what a reader of zip archives looks at and what it doesn't: the bits that deflate leaves unused.
- Who packs an export anew with another program changes nothing that is signed: unpacked, it verifies as a directory.
"""

from __future__ import annotations

import struct
import zlib
from hashlib import sha256
from pathlib import Path

from vdb.verifier.faults import Fault

ARCHIVE_COMMENT = b"veritydb-export/v1 sha256 "

_FILE_HEADER = struct.Struct("<4s5H3L2H")
_ENTRY_HEADER = struct.Struct("<4s6H3L5H2L")
_ARCHIVE_END = struct.Struct("<4s4H2LH")
_COMMENT_SIZE = len(ARCHIVE_COMMENT) + 64
_DEFLATED, _DAY, _VERSION, _MADE_BY, _ATTRIBUTES = 8, 0x21, 20, 0x0314, 0o100600 << 16


def file_header(name: bytes, checksum: int, packed: int, size: int) -> bytes:
    """What stands before a file's bytes, its name included."""
    fields = (_VERSION, 0, _DEFLATED, 0, _DAY, checksum, packed, size, len(name), 0)
    return _FILE_HEADER.pack(b"PK\3\4", *fields) + name


def directory_entry(name: bytes, checksum: int, packed: int, size: int, place: int) -> bytes:
    """What stands in the directory of a file whose header is at `place`."""
    fields = (_MADE_BY, _VERSION, 0, _DEFLATED, 0, _DAY, checksum, packed, size, len(name), 0, 0, 0, 0, _ATTRIBUTES)
    return _ENTRY_HEADER.pack(b"PK\1\2", *fields, place) + name


def archive_end(files: int, directory_size: int, directory_place: int, digest: str) -> bytes:
    """The end. `digest`: of all before it, hex."""
    comment = ARCHIVE_COMMENT + digest.encode("ascii")
    fields = (0, 0, files, files, directory_size, directory_place, len(comment))
    return _ARCHIVE_END.pack(b"PK\5\6", *fields) + comment


class Archive:
    """An archive that was found to be one. Fault, of the archive or of the file in it in which something is wrong."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._name = path.name
        self._files: dict[str, tuple[int, int, int, int]] = {}
        """By name: where its packed bytes begin and end, its size and its checksum."""
        end = len(self._data) - _ARCHIVE_END.size - _COMMENT_SIZE
        try:
            self._read_directory(end)
        except struct.error:
            raise self._fault("a part of it is cut short") from None
        if sha256(memoryview(self._data)[:end]).hexdigest() != self._data[end:][-64:].decode("ascii", "replace"):
            for name in self._files:
                self.read(name)
            raise self._fault("its SHA-256 isn't the one that stands at its end: it was changed")

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        begin, end, size, checksum = self._files[name]
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacking.decompress(self._data[begin:end], size + 1)
        except zlib.error as error:
            raise Fault(f"what is packed is damaged: {error}", name) from None
        if len(data) != size or not unpacking.eof or unpacking.unused_data:
            raise Fault("it has another size than the archive says", name)
        if zlib.crc32(data) != checksum:
            raise Fault("its checksum isn't the one in the archive: it was changed", name)
        return data

    def _read_directory(self, end: int) -> None:
        if end < 0 or not self._data[end + _ARCHIVE_END.size :].startswith(ARCHIVE_COMMENT):
            raise self._fault("its end isn't that of an export: something was cut off, or stands behind it")
        *_, files, size, place, _ = _ARCHIVE_END.unpack_from(self._data, end)
        told = self._data[-64:].decode("ascii", "replace")
        if not told.isascii() or place + size != end or archive_end(files, size, place, told) != self._data[end:]:
            raise self._fault("its end doesn't say where its directory is")
        at, header = place, 0
        for _ in range(files):
            at, header = self._read_entry(at, header)
        if (at, header) != (end, place):
            raise self._fault("something stands between its parts that belongs to no file")

    def _read_entry(self, at: int, header: int) -> tuple[int, int]:
        """The directory's entry there; where the next entry and the next header have to be."""
        found = _ENTRY_HEADER.unpack_from(self._data, at)
        checksum, packed, size, length = found[7:11]
        name = self._data[at + _ENTRY_HEADER.size : at + _ENTRY_HEADER.size + length]
        told = name.decode("ascii", "replace")
        if told in self._files or not told.isascii():
            raise self._fault(f"a file stands twice in it, or has no name that it may have: {told!r}")
        entry = directory_entry(name, checksum, packed, size, header)
        before = file_header(name, checksum, packed, size)
        if not self._data.startswith(entry, at):
            raise self._fault(f"its directory doesn't tell of {told!r} as an export's does")
        if not self._data.startswith(before, header):
            raise self._fault(f"what stands before the bytes of {told!r} isn't what its directory tells")
        begin = header + len(before)
        if begin + packed > len(self._data):
            raise self._fault(f"the bytes of {told!r} are cut short")
        self._files[told] = (begin, begin + packed, size, checksum)
        return at + len(entry), begin + packed

    def _fault(self, what: str) -> Fault:
        return Fault(
            f"{what} (unpack it yourself, and verify the directory, if another program has packed it)", self._name
        )
