"""Signed notes beside the reference implementation's own example, and everything that makes a note wrong."""

from __future__ import annotations

from base64 import b64decode

import pytest

from vdb.crypto.signing import SigningKey, verify_signature
from vdb.errors import EvidenceInvalid
from vdb.evidence.note import SIGNATURES_MAX, VerifierKey, parse_note, sign_note

# The example of golang.org/x/mod/sumdb/note.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
KEY = SigningKey(b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:])
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE = TEXT + "\n" + LINE


def test_the_reference_example() -> None:
    verifier = VerifierKey.parse(VKEY)
    assert str(verifier) == VKEY == str(VerifierKey("PeterNeumann", KEY.public))
    assert str(sign_note(TEXT, [("PeterNeumann", KEY)])) == NOTE
    note = parse_note(NOTE.encode())
    assert (note.text, str(note)) == (TEXT, NOTE)
    assert note.verified_by([verifier]) == (verifier,)


def test_no_cut_of_a_key_is_a_key() -> None:
    for first in range(len(VKEY)):
        for end in range(first + 1, len(VKEY) + 1):
            if (first, end) != (0, len(VKEY)):
                with pytest.raises(EvidenceInvalid):
                    VerifierKey.parse(VKEY[first:end])


def test_every_changed_byte_of_text_or_signature_is_noticed() -> None:
    verifier, data = VerifierKey.parse(VKEY), NOTE.encode()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            found = parse_note(changed).verified_by([verifier])
        except EvidenceInvalid:
            continue
        assert found == (), f"byte {at} changed, and the note still counts"


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    verifier = VerifierKey.parse(VKEY)
    other = SigningKey(bytes(32))
    note = sign_note(TEXT, [("another", other), ("PeterNeumann", KEY)])
    assert parse_note(str(note).encode()).verified_by([verifier]) == (verifier,)
    assert note.verified_by([VerifierKey("stranger", other.public)]) == ()


@pytest.mark.parametrize(
    ("note", "says"),
    [
        (TEXT, "has an empty line before its signatures"),
        (NOTE[:-1], "ends with a newline"),
        (TEXT + "\n", "ends with a newline"),
        (TEXT.replace("\n", "\r\n") + "\n" + LINE, "no control characters"),
        (TEXT + "\n" + LINE.replace("\N{EM DASH}", "-"), "expected|reads"),
        (TEXT + "\n" + LINE.replace(" x08", "  x08"), "reads"),
        (TEXT + "\n" + LINE.replace("nAM=", "nAM"), "canonical"),
        (TEXT + "\n" + LINE.replace("nAM=", "nAN="), "canonical"),
        (TEXT + "\n\N{EM DASH} PeterNeumann x08gow==\n", "is empty"),
        (TEXT + "\n" + LINE * (SIGNATURES_MAX + 1), "at most 100"),
    ],
)
def test_a_malformed_note_says_what_is_wrong(note: str, says: str) -> None:
    with pytest.raises(EvidenceInvalid, match=says):
        parse_note(note.encode())


def test_a_note_is_utf8() -> None:
    with pytest.raises(EvidenceInvalid, match="byte 2 isn't"):
        parse_note(b"ab\xff\n\n")


def test_two_signatures_of_one_key_count_for_none() -> None:
    note = parse_note((TEXT + "\n" + LINE * 2).encode())
    with pytest.raises(EvidenceInvalid, match="two signatures of 'PeterNeumann'"):
        note.verified_by([VerifierKey.parse(VKEY)])


def test_a_known_key_whose_signature_fails_makes_the_note_wrong() -> None:
    note = parse_note((TEXT.replace("answer", "reply") + "\n" + LINE).encode())
    with pytest.raises(EvidenceInvalid, match="the signature of 'PeterNeumann' doesn't fit the note"):
        note.verified_by([VerifierKey.parse(VKEY)])


def test_the_text_may_hold_empty_lines() -> None:
    text = "one\n\ntwo\n"
    note = parse_note(str(sign_note(text, [("PeterNeumann", KEY)])).encode())
    assert note.text == text


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\N{NO-BREAK SPACE}b"])
def test_names_of_keys(name: str) -> None:
    with pytest.raises(EvidenceInvalid, match="no space and no"):
        VerifierKey(name, KEY.public)


def test_no_key_shows_itself() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert repr(KEY.seed) not in repr(KEY)


def test_what_is_no_signature_verifies_nothing() -> None:
    assert not verify_signature(KEY.public, b"", b"")
    assert not verify_signature(b"", b"", bytes(64))
    assert not verify_signature(bytes([255]) * 32, b"", bytes(64))
