"""A directory as an archive that `vdb.verifier.archive` reads: the same files give the same bytes."""

from __future__ import annotations

import zlib
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from vdb.errors import ConfigError
from vdb.verifier.archive import archive_end, directory_entry, file_header

_CHUNK = 1024 * 1024
_SIZE_MAX = 2**32 - 1


@frozen
class _Packed:
    name: bytes
    checksum: int
    packed: int
    size: int
    place: int


def pack(directory: Path, archive: Path) -> None:
    """Write all files of the directory into a new archive, its owner's alone to read. ConfigError: too much for one."""
    archive.touch(mode=0o600, exist_ok=False)
    with archive.open("r+b") as out:
        files = [
            _pack_file(out, file, file.relative_to(directory).as_posix())
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        ]
        place = out.tell()
        for one in files:
            out.write(directory_entry(one.name, one.checksum, one.packed, one.size, one.place))
        size = out.tell() - place
        if place + size > _SIZE_MAX or len(files) > 0xFFFF:
            raise ConfigError("--out: this is too much for an archive: give the name of a directory")
        digest = sha256()
        out.seek(0)
        while chunk := out.read(_CHUNK):
            digest.update(chunk)
        out.write(archive_end(len(files), size, place, digest.hexdigest()))


def _pack_file(out: BinaryIO, file: Path, name: str) -> _Packed:
    encoded, place = name.encode("ascii"), out.tell()
    out.write(file_header(encoded, 0, 0, 0))
    begin, checksum, size = out.tell(), 0, 0
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            checksum, size = zlib.crc32(chunk, checksum), size + len(chunk)
            out.write(packing.compress(chunk))
    out.write(packing.flush())
    end = out.tell()
    if max(size, end) > _SIZE_MAX:
        raise ConfigError("--out: this is too much for an archive: give the name of a directory")
    out.seek(place)
    out.write(file_header(encoded, checksum, end - begin, size))
    out.seek(end)
    return _Packed(encoded, checksum, end - begin, size, place)
