"""Merkle trees (RFC 6962 section 2.1, the same as RFC 9162 section 2.1) over SHA-256: the root of given leaves.

    empty root = SHA256("")        leaf = SHA256(0x00 || data)        node = SHA256(0x01 || left || right)

Rules
- A tree is grown leaf by leaf; its right edge is all that is kept, so a tree of any size needs a few hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256


def hash_of_leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


class GrowingTree:
    """The right edge of a tree."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """One more leaf, given as its hash."""
        size = self.size
        while size & 1:
            leaf = _hash_of_node(self._edge.pop(), leaf)
            size >>= 1
        self._edge.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self._edge:
            return sha256(b"").digest()
        root = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            root = _hash_of_node(left, root)
        return root


def hash_at(tiles: dict[int, bytes], index: int) -> bytes:
    """The hash of a leaf from tiles of 256 hashes, by their numbers."""
    at = index % 256 * 32
    return tiles[index // 256][at : at + 32]


def tile_names(size: int) -> Iterator[str]:
    """Files of the lowest level of a tree's tiles (C2SP tlog-tiles), in order: 256 hashes each, the last one fewer."""
    for number in range(-(-size // 256)):
        digits = f"{number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "tile/0/" + "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        width = min(256, size - 256 * number)
        yield name if width == 256 else f"{name}.p/{width}"


def _hash_of_node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
