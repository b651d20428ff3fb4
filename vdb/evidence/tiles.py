"""Where a tree's hashes lie in files (C2SP tlog-tiles): 256 hashes of one level in a tile.

    tile/<level>/<number>            a full tile: 8,192 bytes
    tile/<level>/<number>.p/<width>  the last one of a level, with as many hashes as it has
    tile/entries/<number>            the leaves' data, each behind its length (u16, big-endian)

Level n of tiles holds the roots of subtrees of 256**n leaves. Numbers stand in groups of three digits, all but the last
with an x before them: 1234067 is x001/x234/067.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from attrs import frozen

from vdb.errors import EvidenceInvalid

TILE_WIDTH = 256
ENTRY_SIZE_MAX = 65_535
"""Bytes of a leaf's data."""

_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LENGTH = struct.Struct(">H")


@frozen
class Tile:
    """Hashes [256 * number, 256 * number + width) of a level; level -1 stands for the entries."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level < 0 else str(self.level)
        return f"tile/{level}/{number}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")

    @classmethod
    def parse(cls, path: str) -> Tile:
        """EvidenceInvalid for what isn't a tile's path."""
        found = _PATH.fullmatch(path)
        width = int(found[3]) if found and found[3] else TILE_WIDTH
        if not found or (found[3] and width >= TILE_WIDTH):
            raise EvidenceInvalid(f"a tile's path reads tile/LEVEL/NUMBER, or with .p/WIDTH: found {path!r}")
        number = int(found[2].replace("x", "").replace("/", ""))
        tile = cls(-1 if found[1] == "entries" else int(found[1]), number, width)
        if tile.path != path:
            raise EvidenceInvalid(f"a tile's path has one form: expected {tile.path!r}, found {path!r}")
        return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of hashes of a tree of this size, level by level, partial ones last in each."""
    level, count = 0, size
    while count:
        for number in range(count // TILE_WIDTH):
            yield Tile(level, number)
        if count % TILE_WIDTH:
            yield Tile(level, count // TILE_WIDTH, count % TILE_WIDTH)
        level, count = level + 1, count // TILE_WIDTH


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Leaves' data, each behind its length."""
    parts: list[bytes] = []
    for entry in entries:
        assert len(entry) <= ENTRY_SIZE_MAX, f"a leaf's data has at most {ENTRY_SIZE_MAX} bytes: found {len(entry)}"
        parts += (_LENGTH.pack(len(entry)), entry)
    return b"".join(parts)


def decode_entries(data: bytes) -> list[bytes]:
    """The leaves' data. EvidenceInvalid if the last one is cut."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, at)[0]
        if end > len(data):
            raise EvidenceInvalid(f"entry {len(entries)} ends behind the file: expected {end} bytes, found {len(data)}")
        entries.append(data[at + _LENGTH.size : end])
        at = end
    return entries
