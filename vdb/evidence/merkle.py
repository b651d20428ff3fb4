"""Merkle trees (RFC 6962 section 2.1, the same tree as RFC 9162 section 2.1) over SHA-256.

    empty root = SHA256("")        leaf = SHA256(0x00 || data)        node = SHA256(0x01 || left || right)

A tree of n > 1 leaves is split at the largest power of two below n.

Rules
- A hash has 32 bytes. A proof that holds anything else is wrong, whatever it says.
- Verification is total: it answers True or False, and raises for nothing.
- At size 0 an inclusion proof is always wrong; a consistency proof from size 0 is the empty one, and from the empty
  root (C2SP tlog-witness).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from attrs import frozen

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

HashAt = Callable[[int, int], bytes]
"""(level, index) to the hash of the whole subtree of 2**level leaves with this number at its level."""


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


@frozen
class Frontier:
    """The right edge of a tree: all that is needed to append to it, and its root. It grows with log2 of the leaves.

    `hashes` are the roots of the whole subtrees that the leaves make up, the largest first: one for each bit of `size`.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __attrs_post_init__(self) -> None:
        assert len(self.hashes) == self.size.bit_count(), "a frontier has a hash for each bit of its size"

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf, given as its hash."""
        hashes, carry, size = list(self.hashes), leaf, self.size
        while size & 1:
            carry = node_hash(hashes.pop(), carry)
            size >>= 1
        hashes.append(carry)
        return Frontier(self.size + 1, tuple(hashes))

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def pack(self) -> bytes:
        """The hashes alone, one behind the other; the size belongs beside them."""
        return b"".join(self.hashes)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Frontier:
        assert len(packed) == HASH_SIZE * size.bit_count(), "a frontier has a hash for each bit of its size"
        return cls(size, tuple(packed[at : at + HASH_SIZE] for at in range(0, len(packed), HASH_SIZE)))


def grow(hashes: bytes, size: int, leaf: bytes) -> bytes:
    """The packed hashes of a frontier of this size (`Frontier.pack`), with one more leaf.

    The same as `Frontier.append`, for whoever has bytes and wants bytes: each record of the log comes through here.
    """
    end = len(hashes)
    while size & 1:
        start = end - HASH_SIZE
        leaf = sha256(b"\x01" + hashes[start:end] + leaf).digest()
        end = start
        size >>= 1
    return hashes[:end] + leaf


def range_root(hash_at: HashAt, first: int, end: int) -> bytes:
    """The root over the leaves [first, end) of a tree: a subtree as RFC 6962 splits it, so `first` is aligned."""
    size = end - first
    assert size >= 1
    level = size.bit_length() - 1
    if size == 1 << level:
        assert first % size == 0, "a whole subtree begins at a multiple of its size"
        return hash_at(level, first >> level)
    split = 1 << level
    return node_hash(range_root(hash_at, first, first + split), range_root(hash_at, first + split, end))


def tree_root(hash_at: HashAt, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return EMPTY_ROOT if size == 0 else range_root(hash_at, 0, size)


def inclusion_proof(hash_at: HashAt, index: int, size: int) -> tuple[bytes, ...]:
    """The path from a leaf to the root of the first `size` leaves, from below (RFC 6962 section 2.1.1)."""
    assert 0 <= index < size
    path: list[bytes] = []
    first, end = 0, size
    while end - first > 1:
        split = first + (1 << ((end - first - 1).bit_length() - 1))
        if index < split:
            path.append(range_root(hash_at, split, end))
            end = split
        else:
            path.append(range_root(hash_at, first, split))
            first = split
    return tuple(reversed(path))


def consistency_proof(hash_at: HashAt, old: int, new: int) -> tuple[bytes, ...]:
    """That the tree of `new` leaves begins with the tree of `old` (RFC 6962 section 2.1.2)."""
    assert 0 <= old <= new
    if old in (0, new):
        return ()
    path: list[bytes] = []
    first, end, whole = 0, new, True
    while end != old:
        split = first + (1 << ((end - first - 1).bit_length() - 1))
        if old <= split:
            path.append(range_root(hash_at, split, end))
            end = split
        else:
            path.append(range_root(hash_at, first, split))
            first, whole = split, False
    if not whole:
        path.append(range_root(hash_at, first, end))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf with this hash has this index in the tree of this size and root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes((leaf, root, *path)):
        return False
    number, last, found = index, size - 1, leaf
    for one in path:
        if last == 0:
            return False
        if number & 1 or number == last:
            found = node_hash(one, found)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            found = node_hash(found, one)
        number, last = number >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree of `new` leaves begins with the tree of `old` (RFC 9162 section 2.1.4.2)."""
    if not 0 <= old <= new or not _are_hashes((old_root, new_root, *path)):
        return False
    if old == 0:
        return not path and old_root == EMPTY_ROOT and (new > 0 or new_root == EMPTY_ROOT)
    if old == new:
        return not path and old_root == new_root
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not path or not hashes:
        return False
    number, last = old - 1, new - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    found_old = found_new = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            found_old, found_new = node_hash(one, found_old), node_hash(one, found_new)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            found_new = node_hash(found_new, one)
        number, last = number >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root


def _are_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_SIZE for value in values)
