"""Cosignatures (C2SP tlog-cosignature, version 1): a witness saw this checkpoint at a time, and none against it.

signed      "cosignature/v1\\n" "time <seconds since 1970>\\n" <the checkpoint's text>
in a note   key id (type 0x04) || time u64, big-endian || Ed25519 signature
"""

from __future__ import annotations

import struct

from vdb.crypto.signing import SIGNATURE_SIZE, SigningKey, verify_signature
from vdb.errors import EvidenceInvalid
from vdb.evidence.note import COSIGNATURE_V1, Note, NoteSignature, VerifierKey

_TIME = struct.Struct(">Q")


def witness_key(name: str, key: SigningKey) -> VerifierKey:
    """The key under which a witness's cosignatures are looked for."""
    return VerifierKey(name, key.public, COSIGNATURE_V1)


def cosign(text: str, name: str, key: SigningKey, seconds: int) -> NoteSignature:
    """A witness's line for a checkpoint's text. `seconds`: since 1970, UTC."""
    signature = _TIME.pack(seconds) + key.sign(_signed(text, seconds))
    return NoteSignature(name, witness_key(name, key).key_id, signature)


def cosigned_at(note: Note, key: VerifierKey) -> int | None:
    """When this witness signed, in seconds since 1970; None if it didn't. EvidenceInvalid if its signature fails."""
    assert key.type == COSIGNATURE_V1
    found = note.of(key)
    if found is None:
        return None
    if len(found.signature) != _TIME.size + SIGNATURE_SIZE:
        raise EvidenceInvalid(
            f"the cosignature of {key.name!r} has {len(found.signature)} bytes: expected {_TIME.size + SIGNATURE_SIZE}"
        )
    (seconds,) = _TIME.unpack_from(found.signature)
    if not verify_signature(key.public, _signed(note.text, seconds), found.signature[_TIME.size :]):
        raise EvidenceInvalid(f"the cosignature of {key.name!r} doesn't fit the checkpoint")
    return int(seconds)


def _signed(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
