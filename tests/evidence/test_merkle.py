"""Trees beside a plain recursive one, the RFC's known roots, and proofs that are bent in every way."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}  # fmt: skip


class Plain:
    """The tree as RFC 6962 defines it, from all its leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def root(self, first: int, end: int) -> bytes:
        if first == end:
            return sha256(b"").digest()
        if end - first == 1:
            return self.leaves[first]
        split = 1
        while split * 2 < end - first:
            split *= 2
        return node_hash(self.root(first, first + split), self.root(first + split, end))

    def hash_at(self, level: int, index: int) -> bytes:
        return self.root(index << level, (index + 1) << level)


def plain(size: int) -> Plain:
    return Plain([leaf_hash(size.to_bytes(2, "big")) for size in range(size)])


@pytest.mark.parametrize("size", ROOTS)
def test_known_roots(size: int) -> None:
    frontier = Frontier()
    for data in LEAVES[:size]:
        frontier = frontier.append(leaf_hash(data))
    assert frontier.root().hex() == ROOTS[size]
    assert Frontier.unpack(size, frontier.pack()) == frontier


def test_the_empty_tree() -> None:
    assert Frontier().root() == EMPTY_ROOT == tree_root(plain(0).hash_at, 0)


@pytest.mark.parametrize("size", range(1, 40))
def test_every_proof_of_small_trees_holds_and_holds_for_nothing_else(size: int) -> None:
    tree = plain(size)
    root = tree_root(tree.hash_at, size)
    assert root == tree.root(0, size)
    for index in range(size):
        path = inclusion_proof(tree.hash_at, index, size)
        leaf = tree.leaves[index]
        assert verify_inclusion(leaf, index, size, path, root)
        assert not verify_inclusion(leaf, index, size, (*path, root), root)
        assert not verify_inclusion(leaf, index, size, path[:-1], root) or not path
        assert not verify_inclusion(leaf, size, size, path, root)
        assert not verify_inclusion(node_hash(leaf, leaf), index, size, path, root)
        for other in range(size):
            if other != index:
                assert not verify_inclusion(leaf, other, size, path, root)
    for old in range(size + 1):
        path = consistency_proof(tree.hash_at, old, size)
        old_root = tree.root(0, old)
        assert verify_consistency(old, old_root, size, root, path)
        assert not verify_consistency(old, node_hash(old_root, root), size, root, path)
        assert not verify_consistency(old, old_root, size, root, (*path, root))
        if path:
            assert not verify_consistency(old, old_root, size, root, path[1:])
            assert not verify_consistency(old, old_root, size, node_hash(root, root), path)


@given(st.integers(1, 5000), st.data())
def test_proofs_of_large_trees(size: int, data: st.DataObject) -> None:
    tree, frontier = plain(min(size, 300)), Frontier()
    for leaf in tree.leaves:
        frontier = frontier.append(leaf)
    count = len(tree.leaves)
    index, old = data.draw(st.integers(0, count - 1)), data.draw(st.integers(1, count))
    assert verify_inclusion(
        tree.leaves[index], index, count, inclusion_proof(tree.hash_at, index, count), frontier.root()
    )
    path = consistency_proof(tree.hash_at, old, count)
    assert verify_consistency(old, tree.root(0, old), count, frontier.root(), path)


def test_hashes_of_another_size_are_refused() -> None:
    tree = plain(4)
    root, path = tree.root(0, 4), inclusion_proof(tree.hash_at, 1, 4)
    assert not verify_inclusion(tree.leaves[1][:31], 1, 4, path, root)
    assert not verify_inclusion(tree.leaves[1], 1, 4, (path[0] + b"\0", path[1]), root)
    assert not verify_inclusion(tree.leaves[1], 1, 4, path, b"")
    assert not verify_consistency(0, b"", 4, root, ())
    assert not verify_consistency(0, root, 4, root, ())
    assert not verify_consistency(4, b"", 4, b"", ())
    assert verify_consistency(0, EMPTY_ROOT, 4, root, ())
    assert not verify_consistency(0, EMPTY_ROOT, 4, root, path)
    assert not verify_consistency(5, root, 4, root, ())
