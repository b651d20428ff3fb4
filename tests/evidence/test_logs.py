"""Checkpoints, cosignatures, proofs, tiles and trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.crypto.signing import SigningKey
from vdb.errors import EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosign, cosigned_at, witness_key
from vdb.evidence.merkle import EMPTY_ROOT, Frontier, inclusion_proof, leaf_hash, node_hash
from vdb.evidence.note import Note, NoteSignature, VerifierKey, parse_note, sign_note
from vdb.evidence.proof import LogProof
from vdb.evidence.tiles import Tile, decode_entries, encode_entries, tiles_of
from vdb.evidence.trust import TrustPolicy

ORIGIN = "verity.clinic.example/eu-1/t-7f3a/audit"
LOG, OTHER = SigningKey(b"l" * 32), SigningKey(b"o" * 32)
WITNESSES = {name: SigningKey(name.encode() * 32) for name in "ABC"}
VKEYS = {name: witness_key(f"witness-{name}", key) for name, key in WITNESSES.items()}
LEAVES = [leaf_hash(bytes([number])) for number in range(5)]


def hash_at(level: int, index: int) -> bytes:
    if level == 0:
        return LEAVES[index]
    return node_hash(hash_at(level - 1, 2 * index), hash_at(level - 1, 2 * index + 1))


def checkpoint() -> Checkpoint:
    frontier = Frontier()
    for leaf in LEAVES:
        frontier = frontier.append(leaf)
    return Checkpoint(ORIGIN, frontier.size, frontier.root())


def signed(*witnesses: str, time: int = 1_700_000_000) -> Note:
    text = str(checkpoint())
    lines = sign_note(text, [(ORIGIN, LOG)]).signatures
    return Note(text, lines + tuple(cosign(text, VKEYS[name].name, WITNESSES[name], time) for name in witnesses))


# Checkpoints


def test_a_checkpoint_is_three_lines() -> None:
    assert Checkpoint.parse(str(checkpoint())) == checkpoint()
    assert str(Checkpoint("o", 0, EMPTY_ROOT)) == "o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("o\n1\n", "three lines"),
        (f"o\n1\n{'A' * 43}=\nmore\n", "three lines"),
        (f"\n1\n{'A' * 43}=\n", "a line that isn't empty"),
        (f"o\n01\n{'A' * 43}=\n", "without leading zeros"),
        (f"o\n-1\n{'A' * 43}=\n", "without leading zeros"),
        (f"o\n1\n{'A' * 42}B=\n", "canonical"),
        ("o\n1\nAAAA\n", "32 bytes: found 3"),
        (f"o\n0\n{'A' * 43}=\n", "the empty tree's root"),
    ],
)
def test_a_malformed_checkpoint_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(EvidenceInvalid, match=says):
        Checkpoint.parse(text)


# Cosignatures


def test_a_cosignature_carries_its_time() -> None:
    note = parse_note(str(signed("A")).encode())
    assert cosigned_at(note, VKEYS["A"]) == 1_700_000_000
    assert cosigned_at(note, VKEYS["B"]) is None
    assert VerifierKey.parse(str(VKEYS["A"])) == VKEYS["A"]


def test_a_cosignature_with_another_time_fails() -> None:
    note = signed("A")
    line = note.signatures[1]
    bent = NoteSignature(line.name, line.key_id, bytes(8) + line.signature[8:])
    with pytest.raises(EvidenceInvalid, match="doesn't fit the checkpoint"):
        cosigned_at(Note(note.text, (bent,)), VKEYS["A"])
    short = NoteSignature(line.name, line.key_id, line.signature[:-1])
    with pytest.raises(EvidenceInvalid, match="has 71 bytes: expected 72"):
        cosigned_at(Note(note.text, (short,)), VKEYS["A"])


# Proofs


def test_a_proof_travels_as_text() -> None:
    for index, leaf in enumerate(LEAVES):
        proof = LogProof(index, inclusion_proof(hash_at, index, 5), signed("A"), b"extra" * (index % 2))
        read = LogProof.parse(str(proof).encode())
        assert read == proof
        assert read.holds_for(leaf)
        assert not read.holds_for(LEAVES[index - 1])


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [
        ("tlog-proof@v1", "tlog-proof@v2", "a proof begins with"),
        ("index 2", "number 2", "expected a line 'index NUMBER'"),
        ("index 2", "index 02", "without leading zeros"),
        ("index 2\n", "index 2\nAAAA\n", "hashes of 32 bytes"),
        ("index 2\n", "index 2\nAAA\n", "canonical"),
        ("index 2", "extra !\nindex 2", "canonical"),
    ],
)
def test_a_malformed_proof_says_what_is_wrong(find: str, put: str, says: str) -> None:
    text = str(LogProof(2, inclusion_proof(hash_at, 2, 5), signed()))
    with pytest.raises(EvidenceInvalid, match=says):
        LogProof.parse(text.replace(find, put).encode())


# Tiles


@given(st.integers(0, 10**12), st.integers(-1, 63), st.integers(1, 256))
def test_paths_of_tiles(number: int, level: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert Tile.parse(tile.path) == tile


def test_known_paths_of_tiles() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(1, 7, 12).path == "tile/1/007.p/12"
    assert Tile(-1, 1000).path == "tile/entries/x001/000"


@pytest.mark.parametrize("path", ["tile/0/1", "tile/0/x000/001", "tile/0/001.p/256", "tile/00/001", "tile/x/001", ""])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(EvidenceInvalid, match="a tile's path"):
        Tile.parse(path)


def test_tiles_of_a_tree() -> None:
    paths = [tile.path for tile in tiles_of(70_000)]
    assert paths[-4:] == ["tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert list(tiles_of(0)) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries(entries: list[bytes]) -> None:
    data = encode_entries(entries)
    assert decode_entries(data) == entries
    if data:
        with pytest.raises(EvidenceInvalid, match="ends behind the file"):
            decode_entries(data[:-1] if entries[-1] else data + b"\0")


# Trust


def policy(quorum: str = "some", needed: str = "2") -> str:
    lines = [f"log {VerifierKey(ORIGIN, LOG.public)}", "# the clinics next door", ""]
    lines += [f"witness {name} {key}" for name, key in VKEYS.items()]
    return "\n".join([*lines, f"group some {needed} A B C", f"quorum {quorum}", ""])


def test_enough_witnesses_have_to_sign() -> None:
    trust = TrustPolicy.parse(policy())
    assert trust.check(signed("A", "C")) == checkpoint()
    with pytest.raises(EvidenceInvalid, match="too few witnesses signed the checkpoint: expected 'some'"):
        trust.check(signed("A"))
    assert TrustPolicy.parse(policy("none")).check(signed()) == checkpoint()
    assert TrustPolicy.parse(policy("B")).check(signed("B")) == checkpoint()
    assert TrustPolicy.parse(policy(needed="any")).check(signed("B")) == checkpoint()
    with pytest.raises(EvidenceInvalid, match="too few"):
        TrustPolicy.parse(policy(needed="all")).check(signed("A", "B"))


def test_the_log_itself_has_to_sign() -> None:
    text = str(checkpoint())
    with pytest.raises(EvidenceInvalid, match=f"expected a signature of {ORIGIN}"):
        TrustPolicy.parse(policy("none")).check(sign_note(text, [(ORIGIN, OTHER)]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("quorum none\n", "at least one key of a log"),
        (policy().replace("quorum some", ""), "ends with its quorum"),
        (policy("else"), "ends with its quorum"),
        (policy() + "quorum A\n", "line 9 of a policy: expected log"),
        (policy(needed="4"), "a group needs 1 to 3 of its members: found '4'"),
        (policy(needed="0"), "a group needs 1 to 3"),
        (policy().replace("A B C", "A B D"), "of the lines above"),
        (policy().replace("A B C", "A A"), "each once"),
        (policy().replace("witness B", "witness A"), "line 5 of a policy: the name 'A' stands for something else"),
        (policy().replace("witness A", "log"), "is of type 4: expected 1"),
    ],
)
def test_a_malformed_policy_names_the_line(text: str, says: str) -> None:
    with pytest.raises(EvidenceInvalid, match=says):
        TrustPolicy.parse(text)
