"""`vdb audit head` and `prove` against a real node, and what they give verified without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vdb.crypto.signing import SigningKey
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import parse_note, sign_note


def test_heads_are_kept_and_continued(vdb_at: Any, tmp_path: Path) -> None:
    assert vdb_at("stream", "create", "--stream", "audited").code == 0
    assert vdb_at("publish", "--stream", "audited", "--payload", "one").code == 0
    first, following = tmp_path / "first.note", tmp_path / "following.note"
    told = vdb_at("audit", "head", "--out", str(first), "--json").object
    assert (told["continues"], told["note"]) == (False, first.read_text())
    assert vdb_at("publish", "--stream", "audited", "--payload", "two").code == 0
    kept = ["audit", "head", "--key", told["key"], "--since"]
    again = vdb_at(*kept, str(first), "--out", str(following), "--json").object
    assert (again["continues"], again["size"], again["origin"]) == (True, told["size"] + 1, told["origin"])
    assert vdb_at(*kept, str(following)).code == 0

    other = tmp_path / "other.note"
    other.write_text(
        str(sign_note(str(Checkpoint(told["origin"], told["size"], bytes(32))), [("x", SigningKey(b"x" * 32))]))
    )
    ran = vdb_at(*kept, str(other))
    assert ran.code == 1
    assert "what was there was changed" in ran.err


def test_a_proof_is_fetched_and_verified_without_the_node(vdb_at: Any, run_here: Any, tmp_path: Path) -> None:
    assert vdb_at("stream", "create", "--stream", "proven").code == 0
    assert vdb_at("publish", "--stream", "proven", "--payload", "one").code == 0
    file = tmp_path / "one.tlog-proof"
    told = vdb_at("audit", "prove", "--stream", "proven", "--offset", "0", "--out", str(file), "--json").object
    assert told["proof"] == file.read_text()
    verified = run_here("audit", "verify", "--proof", str(file), "--key", told["key"], "--json").object
    assert (verified["holds"], verified["index"], verified["offset"]) == (True, told["index"], 0)
    assert parse_note(file.read_bytes().split(b"\n\n", 1)[1]).signatures
    ran = vdb_at("audit", "prove", "--stream", "proven", "--offset", "1")
    assert ran.code != 0
    assert "has 1 events: expected the offset of one, found 1" in ran.err
