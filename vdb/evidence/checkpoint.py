"""Checkpoints (C2SP tlog-checkpoint): what a log signs of its tree, as the text of a signed note.

    <origin>
    <number of leaves>
    <base64 of the root>

One log has one origin: (cluster, tenant, region, family). The origin names no clinic and no patient. No further lines
are written; those of others are refused, since nobody here would know what they promise.
"""

from __future__ import annotations

import re

from attrs import frozen

from vdb.errors import EvidenceInvalid
from vdb.evidence import base64
from vdb.evidence.merkle import EMPTY_ROOT, HASH_SIZE

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@frozen
class Checkpoint:
    """A tree that somebody stands for."""

    origin: str
    size: int
    root: bytes

    def __attrs_post_init__(self) -> None:
        if not self.origin or "\n" in self.origin:
            raise EvidenceInvalid("a checkpoint's origin is a line that isn't empty")
        if len(self.root) != HASH_SIZE:
            raise EvidenceInvalid(f"a checkpoint's root has {HASH_SIZE} bytes: found {len(self.root)}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise EvidenceInvalid("a checkpoint of an empty tree has the empty tree's root: found another")

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """From a note's text. EvidenceInvalid says what is wrong with it."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise EvidenceInvalid(f"a checkpoint has three lines, origin, size and root: found {len(lines) - 1}")
        size = parse_number(lines[1], "a checkpoint's size")
        root = base64.decode(lines[2])
        if root is None:
            raise EvidenceInvalid("a checkpoint's root isn't base64 in its canonical form")
        return cls(lines[0], size, root)


def parse_number(text: str, what: str) -> int:
    """A decimal number without signs or leading zeros. EvidenceInvalid."""
    if not _NUMBER.fullmatch(text):
        raise EvidenceInvalid(f"{what} is a decimal number without leading zeros: found something else")
    return int(text)
