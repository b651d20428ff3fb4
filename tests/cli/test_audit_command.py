"""`vdb audit` against a real node, and what it gives verified without it."""

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


def test_who_saw_a_chart(vdb_at: Any) -> None:
    assert vdb_at("stream", "create", "--stream", "charts").code == 0
    assert vdb_at("publish", "--stream", "charts", "--payload", "one", "--subject", "patient-77").code == 0
    assert vdb_at("publish", "--stream", "charts", "--payload", "two", "--subject", "patient-78").code == 0
    assert vdb_at("read", "--stream", "charts").code == 0
    found = vdb_at("audit", "search", "--subject", "patient-77", "--json").objects
    about = [(one["kind"], one["object"]) for one in found if one.get("object") == "charts"]
    assert about == [("write", "charts"), ("read", "charts")]
    seen = next(one for one in found if one["kind"] == "read")
    assert "patient-77" in seen["subjects"], "the log has a token: the search says whose it is"
    assert [one[:6] for one in seen["subjects"] if one != "patient-77"] == ["token:"]
    searched = vdb_at("audit", "search", "--kind", "audit", "--json").objects
    assert ["patient-77"] in [one["subjects"] for one in searched]
    told = vdb_at("audit", "search", "--subject", "patient-78", "--kind", "write").out.splitlines()
    assert told[0].split("\t") == ["time", "who", "did", "what", "whose", "how many", "outcome", "why"]
    assert ["write", "charts", "patient-78", "1"] in [line.split("\t")[2:6] for line in told[1:]]
    assert vdb_at("audit", "search", "--until", "2020-01-01", "--json").objects == []


def test_what_cant_be_searched_is_said(vdb_at: Any) -> None:
    ran = vdb_at("audit", "search", "--kind", "looking")
    assert (ran.code, "--kind: expected one of read, query," in ran.err) == (2, True)
    ran = vdb_at("audit", "search", "--since", "yesterday")
    assert (ran.code, "--since: expected a day or a time such as 2026-11-01T08:00" in ran.err) == (2, True)


def test_entries_are_shown_record_by_record(vdb_at: Any) -> None:
    assert vdb_at("stream", "create", "--stream", "shown").code == 0
    all_of_them = vdb_at("audit", "entries", "--limit", "100000", "--json").objects
    assert [one["record"] for one in all_of_them] == sorted(one["record"] for one in all_of_them)
    ran = vdb_at("audit", "entries", "--first", "0", "--limit", "1")
    assert len(ran.out.splitlines()) == 2
    assert "records more: --first 1" in ran.err
    head = vdb_at("audit", "head", "--family", "audit", "--json").object
    assert head["origin"].endswith("/t-1/audit")
    assert head["size"] > len({one["record"] for one in all_of_them})
