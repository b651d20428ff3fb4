"""Somebody with a key of the log shows a witness other histories than the one it knows.

- W6: a head that was rolled back or forked is refused, and what the witness knows stays what it was. One that goes on
  from there is cosigned, since nobody can know better; then the log's own nodes are refused, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from vdb.crypto.signing import SigningKey
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier, consistency_proof, leaf_hash
from vdb.evidence.note import sign_note
from vdb.evidence.witness import AddCheckpoint

_FORGED = leaf_hash(b"this has never been committed")


@frozen
class Forger:
    """`leaves` are those of a log's tree as a witness knows it: one at least."""

    origin: str
    leaves: Sequence[bytes]
    key: SigningKey

    def refused(self) -> list[tuple[str, AddCheckpoint]]:
        """What no witness may cosign, by what it is."""
        size, known = len(self.leaves), list(self.leaves)
        forked = [*known[:-1], _FORGED]
        longer = [*forked, _FORGED]
        return [
            ("a tree rolled back", self._asked(known[:-1], size)),
            ("a tree rolled back and begun anew", self._asked(known[:-1], size - 1)),
            ("another tree of the same size", self._asked(forked, size)),
            ("a longer tree with another history", self._asked(longer, size)),
            ("a longer tree with another history, from an older one", self._asked(longer, size - 1)),
            ("another tree from nothing", self._asked(longer, 0)),
            ("a tree that isn't signed", AddCheckpoint(size, self._path(known, size), sign_note(
                str(self._tree(known)), [(self.origin, SigningKey(b"nobody's".ljust(32)))]))),
        ]  # fmt: skip

    def continued(self) -> AddCheckpoint:
        """The tree that is known, and one leaf that the log doesn't have."""
        return self._asked([*self.leaves, _FORGED], len(self.leaves))

    def _asked(self, leaves: Sequence[bytes], old: int) -> AddCheckpoint:
        note = sign_note(str(self._tree(leaves)), [(self.origin, self.key)])
        return AddCheckpoint(old, self._path(leaves, old), note)

    def _tree(self, leaves: Sequence[bytes]) -> Checkpoint:
        return Checkpoint(self.origin, len(leaves), _frontier(leaves).root())

    def _path(self, leaves: Sequence[bytes], old: int) -> tuple[bytes, ...]:
        if not 0 < old < len(leaves):
            return ()
        return consistency_proof(
            lambda level, index: _frontier(leaves[index << level : (index + 1) << level]).root(), old, len(leaves)
        )


def _frontier(leaves: Sequence[bytes]) -> Frontier:
    found = Frontier()
    for leaf in leaves:
        found = found.append(leaf)
    return found
