"""Pinned heads: a node that goes back behind what was seen is found out, whichever key it signs with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vdb.client.evidence_line import TreeHead
from vdb.client.pinning import pinned_head
from vdb.crypto.signing import SigningKey
from vdb.errors import ConfigError, EvidenceInvalid, InvalidArgument
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier, consistency_proof, leaf_hash
from vdb.evidence.note import VerifierKey, sign_note
from vdb.world.pinned import PinDirectory

ORIGIN = "veritydb/00/us-east-1/t-1/audit"


class Log:
    """A node that shows a history, as long as it says."""

    def __init__(self, size: int, history: str = "true", key: bytes = b"a", origin: str = ORIGIN) -> None:
        self.size = size
        self.history = history
        self.key = SigningKey(key * 32)
        self.origin = origin

    def root(self, level: int, index: int) -> bytes:
        found = Frontier()
        for number in range(index << level, (index + 1) << level):
            found = found.append(leaf_hash(f"{self.history} {number}".encode()))
        return found.root()

    def head(self) -> TreeHead:
        found = Frontier()
        for number in range(self.size):
            found = found.append(leaf_hash(f"{self.history} {number}".encode()))
        text = str(Checkpoint(self.origin, self.size, found.root()))
        return TreeHead(
            note=sign_note(text, [(self.origin, self.key)]), verifier=VerifierKey(self.origin, self.key.public)
        )

    async def consistency(self, size: int) -> tuple[TreeHead, tuple[bytes, ...]]:
        if size > self.size:
            raise InvalidArgument(f"has {self.size} leaves")
        return self.head(), consistency_proof(self.root, size, self.size)


async def follow(pins: Any, log: Log) -> int:
    return (await pinned_head(pins, log.head(), log.consistency)).checkpoint.size


async def test_a_log_that_grows_is_followed_across_processes_and_primaries(tmp_path: Path) -> None:
    for size, key in ((0, b"a"), (3, b"a"), (3, b"b"), (8, b"b"), (13, b"a")):
        assert await follow(PinDirectory(tmp_path / "pins"), Log(size, key=key)) == size


async def test_a_rollback_is_refused_and_the_pin_stays(tmp_path: Path) -> None:
    pins = PinDirectory(tmp_path)
    await follow(pins, Log(8))
    before = pins.load(ORIGIN)
    with pytest.raises(EvidenceInvalid, match="had 8 leaves when it was last seen, and they aren't there any more"):
        await follow(pins, Log(7))
    for size in (8, 9, 20):
        with pytest.raises(EvidenceInvalid, match="doesn't begin with the one of 8 leaves that was known"):
            await follow(pins, Log(size, "false"))
    assert pins.load(ORIGIN) == before
    assert await follow(pins, Log(9)) == 9


async def test_logs_do_not_meet(tmp_path: Path) -> None:
    pins = PinDirectory(tmp_path)
    await follow(pins, Log(8))
    assert await follow(pins, Log(2, "other", origin="other")) == 2


async def test_a_head_has_to_be_signed_by_whom_it_says(tmp_path: Path) -> None:
    log = Log(3)
    other = TreeHead(note=log.head().note, verifier=VerifierKey(ORIGIN, SigningKey(b"x" * 32).public))
    with pytest.raises(EvidenceInvalid, match="isn't signed by the node that shows it"):
        await pinned_head(PinDirectory(tmp_path), other, log.consistency)


async def test_what_stands_in_the_directory_has_to_be_a_head_of_the_log(tmp_path: Path) -> None:
    pins = PinDirectory(tmp_path)
    pins.store(ORIGIN, str(Log(3, origin="other").head().note).encode())
    with pytest.raises(EvidenceInvalid, match=r"what is pinned for .* is a head of 'other'"):
        await follow(pins, Log(3))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be read"):
        PinDirectory(tmp_path / "file").load(ORIGIN)
    with pytest.raises(ConfigError, match="can't be pinned in"):
        PinDirectory(tmp_path / "file").store(ORIGIN, b"")
