"""Evidence of a real node: heads that continue each other, proofs that hold without it, and histories that don't."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pytest

import vdb
from vdb.cli.main import run
from vdb.crypto.signing import SigningKey
from vdb.errors import EvidenceInvalid, InvalidArgument, UnknownStream
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import leaf_hash
from vdb.evidence.note import VerifierKey, sign_note
from vdb.evidence.proof import LogProof
from vdb.storage.segment import FRAME_OVERHEAD, HEADER_SIZE
from vdb.types import TenantId, audit_log_of


def fill(database: vdb.EmbeddedDatabase, count: int) -> None:
    database.create_stream("notes", if_not_exists=True)
    for number in range(count):
        database.publish("notes", b"event %d" % number, subject=f"patient-{number % 3}")


def test_every_record_can_be_proven() -> None:
    with vdb.open(":memory:") as database:
        fill(database, 20)
        database.create_stream("providers", "non-phi", "global")
        database.publish("providers", [b"one", b"two", b"three"])
        head = database.tree_head()
        for offset in range(20):
            found = database.prove("notes", offset)
            assert found.proof.checkpoint == head.checkpoint
            assert found.proof.note.verified_by([head.verifier])
            assert found.proof.holds_for(leaf_hash(found.proof.extra))
        proofs = [database.prove("providers", offset).proof for offset in range(3)]
        assert len({proof.index for proof in proofs}) == 1, "three events of one record"
        assert proofs[0].checkpoint.origin.endswith("/global/t-1/data")


def test_heads_continue_each_other(tmp_path: Path) -> None:
    key = vdb.RootKeys(bytes(range(32)))
    with vdb.open(tmp_path / "data", key) as database:
        fill(database, 300)
        first = database.tree_head()
        again = database.follow_tree(first.note, [first.verifier])
        assert again.note == first.note, "nothing was written in between"
        fill(database, 1)
    with vdb.open(tmp_path / "data", key) as database:
        head = database.follow_tree(first.note, [first.verifier])
        assert (head.verifier, head.checkpoint.size) == (first.verifier, first.checkpoint.size + 1)
        assert database.follow_tree(None, [first.verifier]).checkpoint == head.checkpoint


def test_another_history_is_noticed() -> None:
    with vdb.open(":memory:") as database:
        fill(database, 10)
        head = database.tree_head()
        checkpoint, keys = head.checkpoint, [head.verifier]

        def known(size: int, root: bytes, origin: str = checkpoint.origin) -> vdb.evidence.note.Note:
            return sign_note(str(Checkpoint(origin, size, root)), [])

        with pytest.raises(EvidenceInvalid, match="doesn't begin with the one of 5 leaves"):
            database.follow_tree(known(5, bytes(32)), keys)
        with pytest.raises(EvidenceInvalid, match=r"12 leaves that was known isn't there any more: .* has 11 leaves"):
            database.follow_tree(known(12, bytes(32)), keys)
        with pytest.raises(EvidenceInvalid, match="another log's: expected 'other'"):
            database.follow_tree(known(11, checkpoint.root, "other"), keys)
        stranger = VerifierKey(checkpoint.origin, SigningKey(bytes(32)).public)
        with pytest.raises(EvidenceInvalid, match="isn't signed by a key that is trusted"):
            database.follow_tree(head.note, [stranger])


def test_what_isnt_there_cant_be_proven() -> None:
    with vdb.open(":memory:") as database:
        fill(database, 2)
        with pytest.raises(InvalidArgument, match="has 2 events: expected the offset of one, found 2"):
            database.prove("notes", 2)
        with pytest.raises(UnknownStream):
            database.prove("letters", 0)
        with pytest.raises(InvalidArgument, match="no group 'mars': expected one of"):
            database.tree_head("mars")


def test_a_file_verifies_without_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "note.tlog-proof"
    with vdb.open(":memory:") as database:
        fill(database, 9)
        found = database.prove("notes", 4)
    file.write_text(str(found.proof))
    words = ["audit", "verify", "--proof", str(file), "--key", str(found.verifier)]
    assert run(words) == 0
    assert "it holds: record 5 of 10" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["holds"], told["offset"], told["data_class"], told["tenant"]) == (True, 4, "phi", 1)

    trust = tmp_path / "trust"
    trust.write_text(f"log {found.verifier}\nquorum none\n")
    assert run(["audit", "verify", "--proof", str(file), "--trust", str(trust)]) == 0
    capsys.readouterr()
    data = file.read_bytes()
    for at in range(len(data)):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert run(words) == 1, f"byte {at} was changed, and the proof still holds"
        assert "it doesn't hold: " in capsys.readouterr().out


def test_whose_signature_counts_has_to_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "verify", "--proof", str(tmp_path / "none")]) == 2
    assert "whose signature counts?" in capsys.readouterr().err


def test_a_proof_for_another_record_doesnt_hold() -> None:
    with vdb.open(":memory:") as database:
        fill(database, 9)
        one, other = database.prove("notes", 1).proof, database.prove("notes", 2).proof
    assert not LogProof(one.index, one.path, one.note, other.extra).holds_for(leaf_hash(other.extra))


# What is stored


def tamper(data: Path, frame: int, log: int = 1) -> int:
    """Change a byte of a stored record, and its frame's checksum along, as who knows the format would. Its place."""
    (segment,) = data.glob(f"groups/ap-southeast-2/log/t_{log}/*.seg")
    content = bytearray(segment.read_bytes())
    start = HEADER_SIZE
    for _ in range(frame):
        start += FRAME_OVERHEAD + int.from_bytes(content[start + 8 : start + 12], "big")
    end = start + FRAME_OVERHEAD + int.from_bytes(content[start + 8 : start + 12], "big")
    content[end - 5] ^= 1
    content[end - 4 : end] = zlib.crc32(content[start : end - 4]).to_bytes(4, "big")
    segment.write_bytes(content)
    return start


def test_an_audit_reads_opens_and_hashes_everything(tmp_path: Path) -> None:
    key = vdb.RootKeys(bytes(range(32)))
    with vdb.open(tmp_path / "data", key) as database:
        fill(database, 30)
        head = database.tree_head()
        fill(database, 30)
        audit = database.audit_log("ap-southeast-2", 1, head.checkpoint)
        assert (audit.records, audit.events, audit.unopened, audit.findings) == (61, 61, 0, ())
        assert audit.root == database.tree_head().checkpoint.root
        assert database.audited_logs() == [("ap-southeast-2", 1, "data"), ("ap-southeast-2", 1, "audit")]
        assert database.origin("ap-southeast-2", 1) == head.checkpoint.origin
        (finding,) = database.audit_log("ap-southeast-2", 1, Checkpoint("x", 31, bytes(32))).findings
        assert finding.what == "the first 31 records aren't those of the tree that was kept"
        (finding,) = database.audit_log("ap-southeast-2", 1, Checkpoint("x", 99, bytes(32))).findings
        assert finding.what == "expected at least 99 records, of the tree that was kept: found fewer"


def test_a_record_that_was_changed_with_its_checksum_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "root.key"
    key_file.write_text(base64.b64encode(bytes(range(32))).decode())
    key_file.chmod(0o600)
    data, since = tmp_path / "data", tmp_path / "last.note"
    with vdb.open(data, key_file) as database:
        fill(database, 250)
        head = database.tree_head()
        since.write_text(str(head.note))
        fill(database, 1)
    words = ["audit", "log", "--data-dir", str(data), "--key-file", str(key_file)]
    kept = ["--since", str(since), "--key", str(head.verifier)]
    assert run([*words, *kept]) == 0
    assert "252 records, 252 events" in capsys.readouterr().out
    start = tamper(data, 100)
    assert run([*words, *kept, "--json"]) == 1
    found, told = map(json.loads, capsys.readouterr().out.splitlines())
    assert (told["family"], told["findings"]) == ("audit", [])
    record, known, tree = found["findings"]
    assert record["place"] == f"groups/ap-southeast-2/log/t_1/000001.seg: byte {start}"
    assert "offset 99: " in record["what"]
    assert known["what"] == "the first 251 records aren't those of the tree that was kept"
    assert tree["what"] == "the tree of what is stored isn't the tree of what was committed"


def test_an_entry_of_the_audit_log_that_was_changed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDB_ROOT_KEY", base64.b64encode(bytes(range(32))).decode())
    data, since = tmp_path / "data", tmp_path / "last.note"
    with vdb.open(data) as database:
        fill(database, 250)
        head = database.tree_head(family="audit")
        assert head.checkpoint.origin.endswith("/t-1/audit")
        since.write_text(str(head.note))
        again = database.follow_tree(head.note, [head.verifier], family="audit")
        assert again.checkpoint == head.checkpoint
    log = audit_log_of(TenantId(1))
    start = tamper(data, 100, log)
    words = ["audit", "verify", "--data-dir", str(data), "--since", str(since), "--key", str(head.verifier)]
    assert run([*words, "--json"]) == 1
    sound, found = map(json.loads, capsys.readouterr().out.splitlines())
    assert (sound["family"], sound["findings"]) == ("data", [])
    record, known, tree = found["findings"]
    assert record["place"] == f"groups/ap-southeast-2/log/t_{log}/000001.seg: byte {start}"
    assert record["what"].startswith("entry 100: ")
    assert "aren't those of the tree that was kept" in known["what"]
    assert "isn't the tree of what was committed" in tree["what"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--since", "SINCE"], "--since and --key belong together"),
        (["--since", "SINCE", "--key", "KEY"], "--since names a log that this node doesn't have: elsewhere"),
    ],
)
def test_a_head_that_was_kept_counts_by_its_signature(
    tmp_path: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDB_ROOT_KEY", base64.b64encode(bytes(range(32))).decode())
    with vdb.open(tmp_path / "data") as database:
        fill(database, 1)
    signer, since = SigningKey(bytes(32)), tmp_path / "last.note"
    since.write_text(str(sign_note(str(Checkpoint("elsewhere", 1, bytes(32))), [("elsewhere", signer)])))
    put = {"SINCE": str(since), "KEY": str(VerifierKey("elsewhere", signer.public))}
    assert run(["audit", "log", "--data-dir", str(tmp_path / "data"), *(put.get(word, word) for word in more)]) == 2
    assert says in capsys.readouterr().err
