"""A proof in one file (C2SP tlog-proof, version 1): that a leaf is in a tree, and who stands for the tree.

c2sp.org/tlog-proof@v1
extra <base64>                  may be missing
index <the leaf's number>
<base64 of a hash>              the path, from the leaf to the root
<empty line>
<the checkpoint, a signed note>
"""

from __future__ import annotations

from attrs import frozen

from vdb.errors import EvidenceInvalid
from vdb.evidence import base64
from vdb.evidence.checkpoint import Checkpoint, parse_number
from vdb.evidence.merkle import HASH_SIZE, verify_inclusion
from vdb.evidence.note import Note, parse_note

_FIRST = "c2sp.org/tlog-proof@v1"
PATH_MAX = 63


@frozen
class LogProof:
    """That the leaf with number `index` is in the tree of the checkpoint that the note holds."""

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes = b""

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note.text)

    def holds_for(self, leaf: bytes) -> bool:
        """Whether the leaf with this hash is the one. Whose the checkpoint is, `vdb.evidence.trust` says."""
        checkpoint = self.checkpoint
        return verify_inclusion(leaf, self.index, checkpoint.size, self.path, checkpoint.root)

    def __str__(self) -> str:
        extra = [f"extra {base64.encode(self.extra)}"] if self.extra else []
        lines = [_FIRST, *extra, f"index {self.index}", *map(base64.encode, self.path), ""]
        return "\n".join(lines) + f"\n{self.note}"

    @classmethod
    def parse(cls, data: bytes) -> LogProof:
        """EvidenceInvalid says what is wrong with it."""
        head, empty, rest = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            lines = []
        if not empty or not lines or lines[0] != _FIRST:
            raise EvidenceInvalid(f"a proof begins with {_FIRST!r} and has an empty line before its checkpoint")
        at, extra = 1, b""
        if len(lines) > at and lines[at].startswith("extra "):
            extra = _decoded(lines[at].removeprefix("extra "), "a proof's extra data")
            at += 1
        if len(lines) <= at or not lines[at].startswith("index "):
            raise EvidenceInvalid("a proof names the leaf's number: expected a line 'index NUMBER'")
        index = parse_number(lines[at].removeprefix("index "), "a leaf's number")
        path = tuple(_decoded(line, "a hash of a proof") for line in lines[at + 1 :])
        if len(path) > PATH_MAX or any(len(one) != HASH_SIZE for one in path):
            raise EvidenceInvalid(f"a proof has at most {PATH_MAX} hashes of {HASH_SIZE} bytes: found something else")
        return cls(index, path, parse_note(rest), extra)


def _decoded(text: str, what: str) -> bytes:
    data = base64.decode(text)
    if data is None:
        raise EvidenceInvalid(f"{what} isn't base64 in its canonical form")
    return data
