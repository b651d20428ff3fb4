"""Signed notes (C2SP signed-note): a text, an empty line, and a line for each signature.

    <text, ends with a newline>
    <empty line>
    \N{EM DASH} <name> <base64(key id, 4 bytes || signature)>

    key id   SHA256(name || 0x0A || type || public key)[:4]
    vkey     name+hex(key id)+base64(type || public key)            how a verifier's key is handed around

Rules
- The signature of an Ed25519 key (type 0x01) is over the text, its last newline included.
- The note is split at the last empty line; texts are UTF-8 without control characters but newlines.
- Signatures of unknown keys are passed over; one of a known key that fails makes the whole note wrong, as does a second
  one of the same key. So does base64 that isn't canonical, and anything else that is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

from attrs import frozen

from vdb.crypto.signing import PUBLIC_KEY_SIZE, SigningKey, verify_signature
from vdb.errors import EvidenceInvalid
from vdb.evidence import base64

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
KEY_ID_SIZE = 4
SIGNATURES_MAX = 100
NOTE_BYTES_MAX = 1_000_000

_NAME = re.compile(r"[^\s+]+")
_HEX_ID = re.compile(r"[0-9a-f]{8}")
_DASH = "\N{EM DASH} "


@frozen
class VerifierKey:
    """Whose signatures are looked for: a name, and a public key of 32 bytes under a type of signature."""

    name: str
    public: bytes
    type: int = ED25519

    def __attrs_post_init__(self) -> None:
        if not is_key_name(self.name):
            raise EvidenceInvalid(f"a key's name has no space and no '+': found {self.name!r}")
        if len(self.public) != PUBLIC_KEY_SIZE:
            raise EvidenceInvalid(f"a public key has {PUBLIC_KEY_SIZE} bytes: found {len(self.public)}")

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:KEY_ID_SIZE]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.encode(bytes([self.type]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """From a vkey. EvidenceInvalid says what is wrong with it."""
        name, plus, rest = text.partition("+")
        hex_id, second_plus, encoded = rest.partition("+")
        data = base64.decode(encoded) if plus and second_plus else None
        if data is None or not _HEX_ID.fullmatch(hex_id):
            raise EvidenceInvalid("a verifier's key reads NAME+8 HEX DIGITS+BASE64: found something else")
        if not data or data[0] not in (ED25519, COSIGNATURE_V1):
            raise EvidenceInvalid(f"the key of {name!r} is of an unknown type: expected Ed25519 (1) or a witness's (4)")
        key = cls(name, data[1:], data[0])
        if key.key_id.hex() != hex_id:
            raise EvidenceInvalid(
                f"the key of {name!r} doesn't fit its id: expected {key.key_id.hex()}, found {hex_id}"
            )
        return key


def is_key_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and name.isprintable()


@frozen
class NoteSignature:
    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.encode(self.key_id + self.signature)}\n"


@frozen
class Note:
    """A note as it was read, its signatures not looked at yet."""

    text: str
    """Ends with a newline."""
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    def of(self, key: VerifierKey) -> NoteSignature | None:
        """The signature of this key, as it stands there; EvidenceInvalid if there are two."""
        found = [one for one in self.signatures if (one.name, one.key_id) == (key.name, key.key_id)]
        if len(found) > 1:
            raise EvidenceInvalid(f"the note holds two signatures of {key.name!r}: expected one")
        return found[0] if found else None

    def verified_by(self, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Those of these Ed25519 keys that signed; EvidenceInvalid where one of them has a signature that fails."""
        verified: list[VerifierKey] = []
        for key in keys:
            assert key.type == ED25519, "a witness's signature covers a time as well (`vdb.evidence.cosignature`)"
            signature = self.of(key)
            if signature is None:
                continue
            if not verify_signature(key.public, self.text.encode(), signature.signature):
                raise EvidenceInvalid(f"the signature of {key.name!r} doesn't fit the note")
            verified.append(key)
        return tuple(verified)


def sign_note(text: str, signers: Sequence[tuple[str, SigningKey]]) -> Note:
    """The text with a signature of each of these (name, key)."""
    _check_text(text)
    signatures = []
    for name, key in signers:
        verifier = VerifierKey(name, key.public)
        signatures.append(NoteSignature(name, verifier.key_id, key.sign(text.encode())))
    return Note(text, tuple(signatures))


def parse_note(data: bytes) -> Note:
    """Read a note. EvidenceInvalid says what is wrong with it; no signature is verified yet."""
    if len(data) > NOTE_BYTES_MAX:
        raise EvidenceInvalid(f"a note has at most {NOTE_BYTES_MAX} bytes: found {len(data)}")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceInvalid(f"a note is UTF-8: byte {error.start} isn't") from None
    split = content.rfind("\n\n")
    if split < 0:
        raise EvidenceInvalid("a note has an empty line before its signatures: found none")
    text, lines = content[: split + 1], content[split + 2 :]
    _check_text(text)
    if not lines.endswith("\n"):
        raise EvidenceInvalid("a note ends with a newline behind its last signature: found none")
    signatures = tuple(_parse_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > SIGNATURES_MAX:
        raise EvidenceInvalid(f"a note has at most {SIGNATURES_MAX} signatures: found {len(signatures)}")
    return Note(text, signatures)


def _parse_signature(line: str) -> NoteSignature:
    words = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(words) != 2 or not is_key_name(words[0]):
        raise EvidenceInvalid(f"a signature reads '{_DASH}NAME BASE64': found another line")
    data = base64.decode(words[1])
    if data is None:
        raise EvidenceInvalid(f"the signature of {words[0]!r} isn't base64 in its canonical form")
    if len(data) <= KEY_ID_SIZE:
        raise EvidenceInvalid(f"the signature of {words[0]!r} is empty")
    return NoteSignature(words[0], data[:KEY_ID_SIZE], data[KEY_ID_SIZE:])


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise EvidenceInvalid("a note's text ends with a newline: found none")
    if any(ord(character) < 0x20 and character != "\n" for character in text):
        raise EvidenceInvalid("a note's text has no control characters but newlines: found one")
