"""The certificate of an erasure: what was destroyed, by whom it was acknowledged, and what is left, signed by a node.

    {"certificate": {...}, "note": "a signed note over the SHA-256 of the certificate", "key": "the signer's vkey"}

The note's body is `veritydb-erasure/v1`, the log's origin, and the base64 SHA-256 of the certificate's canonical JSON
(keys sorted, no spaces). Each acknowledgement is kept as its node signed it. No person is named, a subject is a token.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from vdb.crypto.signing import SigningKey, verify_signature
from vdb.errors import EvidenceInvalid
from vdb.evidence.note import VerifierKey, parse_note, sign_note
from vdb.kernel.erasure_rows import Ack, Erasure

FORMAT = "veritydb-erasure/v1"


def certificate_of(
    erasure: Erasure,
    acks: Sequence[Ack],
    *,
    cluster: bytes,
    group: str,
    removed: Sequence[int],
) -> dict[str, Any]:
    """`removed`: nodes that held the keys and were taken out of the group before they had acknowledged."""
    return {
        "format": FORMAT,
        "cluster": cluster.hex(),
        "group": group,
        "tenant": str(erasure.tenant),
        "erasure": str(erasure.erasure),
        "subject-token": erasure.token.hex(),
        "basis": erasure.basis,
        "by": erasure.by,
        "time": str(erasure.time),
        "completed": str(erasure.completed),
        "keys": [{"id": key.dek_id.hex(), "wrapped-sha256": key.digest.hex()} for key in erasure.keys],
        "acknowledgements": [
            {
                "node": ack.node,
                "time": str(ack.time),
                "statement": ack.statement.decode(),
                "signature": ack.signature.hex(),
            }
            for ack in acks
        ],
        "removed-without-acknowledgement": list(removed),
        "remains": {
            "records": "sealed, with leaves and proofs, and nobody can open them",
            "audit-log": "retained",
            "backups": "a copy of the key store that was taken before opens them until it is destroyed",
        },
    }


def sign_certificate(certificate: Mapping[str, Any], origin: str, key: SigningKey) -> str:
    """JSON: the certificate, and the signed note over it."""
    body = f"{FORMAT}\n{origin}\n{b64encode(sha256(canonical(certificate)).digest()).decode()}\n"
    note = sign_note(body, [(origin, key)])
    signed = {"certificate": dict(certificate), "note": str(note), "key": str(VerifierKey(origin, key.public))}
    return json.dumps(signed, sort_keys=True)


def verify_certificate(text: str, verifier: VerifierKey) -> dict[str, Any]:
    """The certificate, if this key has signed it and each acknowledgement holds. EvidenceInvalid says what doesn't."""
    try:
        whole = json.loads(text)
        certificate, note_text = whole["certificate"], whole["note"]
        acks = [(ack, json.loads(ack["statement"])) for ack in certificate["acknowledgements"]]
        note = parse_note(note_text.encode())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceInvalid("this isn't the certificate of an erasure") from error
    if not note.verified_by([verifier]):
        raise EvidenceInvalid("the certificate isn't signed by the key that was given")
    digest = b64encode(sha256(canonical(certificate)).digest()).decode()
    if note.text != f"{FORMAT}\n{verifier.name}\n{digest}\n":
        raise EvidenceInvalid("the certificate was changed after it was signed")
    for ack, said in acks:
        _check_ack(certificate, ack, said)
    found: dict[str, Any] = certificate
    return found


def _check_ack(certificate: Mapping[str, Any], ack: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    who = f"the acknowledgement of node {ack['node']}"
    public, signature = bytes.fromhex(said["key"]), bytes.fromhex(ack["signature"])
    if not verify_signature(public, ack["statement"].encode(), signature):
        raise EvidenceInvalid(f"{who} isn't signed by the key that it names")
    for name in ("cluster", "group", "tenant", "erasure"):
        if said[name] != certificate[name]:
            raise EvidenceInvalid(f"{who} is of another erasure: its {name} differs")
    if said["keys"] != [key["id"] for key in certificate["keys"]] or said["opens"]:
        raise EvidenceInvalid(f"{who} isn't about the keys that were destroyed")


def canonical(value: Mapping[str, Any]) -> bytes:
    """The bytes that are signed. There are no numbers beyond 2^53 in it, and no fractions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
