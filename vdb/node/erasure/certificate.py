"""The certificate of an erasure: what was destroyed, by whom it was acknowledged, and what is left, signed by a node.

    {"certificate": {...}, "note": "a signed note over the SHA-256 of the certificate", "key": "the signer's vkey"}

The certificate says whose data (a token), why, which keys, which holds there were, what each node has done and seen,
and what remains: leaves of the tree of data by number, sealed bytes until their segments are pruned, copies of the key
store until the root key is destroyed under which they were made. That may change, so a later certificate of an erasure
can say more than an earlier one; both verify.

The note's body is `veritydb-erasure/v1`, the log's origin, and the base64 SHA-256 of the certificate's canonical JSON
(keys sorted, no spaces). Each acknowledgement is kept as its node signed it. No person is named, a subject is a token.
"""

from __future__ import annotations

import json
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from vdb.crypto.signing import SigningKey, verify_signature
from vdb.errors import EvidenceInvalid
from vdb.evidence.note import VerifierKey, parse_note, sign_note
from vdb.kernel.erasure_rows import Ack, Erasure, Hold
from vdb.kernel.pruning import PrunedRow
from vdb.kernel.rows import Rotation

FORMAT = "veritydb-erasure/v1"
HOLDS_MAX = 100
"""That are told of by number."""
HORIZON_IN_USE = (
    "a copy of the key store from before opens with the root key that is still in use: rotate it, and destroy the one "
    "before, to end that"
)
HORIZON_RETIRED = (
    "a copy of the key store from before opens with a root key alone that isn't in use any more: with none, once that "
    "is destroyed"
)


def certificate_of(
    erasure: Erasure,
    acks: Sequence[Ack],
    *,
    cluster: bytes,
    group: str,
    basis: str,
    removed: Sequence[int],
    holds: Sequence[Hold] = (),
    pruned: Sequence[PrunedRow] = (),
    root_key: bytes = b"",
    rotation: Rotation | None = None,
) -> dict[str, Any]:
    """`removed`: nodes that held the keys and were taken out of the group before they had acknowledged. `holds` and
    `pruned`: the tenant's. `root_key`: what wraps the tenant's key now; `rotation`: by which it came to do so."""
    said = [json.loads(ack.statement) for ack in acks]
    remains = next((one["remains"] for one in said if one.get("remains")), None)
    return {
        "format": FORMAT,
        "cluster": cluster.hex(),
        "group": group,
        "tenant": str(erasure.tenant),
        "erasure": str(erasure.erasure),
        "subject-token": erasure.token.hex(),
        "basis": basis,
        "by": erasure.by,
        "time": str(erasure.time),
        "op": str(op_of(acks)),
        "completed": str(erasure.completed),
        "holds": _holds(erasure, holds),
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
            "leaves": [] if remains is None else remains["leaves"],
            "leaf-ranges-left-out": "" if remains is None else remains["ranges-left-out"],
            "pruned": _pruned(remains, pruned),
            "audit-log": "retained: its entries go on naming the subject, as they show who had access",
            "backups": _backups([one["root-key"] for one in said if one.get("root-key")], root_key, rotation),
        },
    }


def op_of(acks: Sequence[Ack]) -> int:
    """The first checkpoint without the keys that a node has told of; 0: none has."""
    return min((int(json.loads(ack.statement).get("checkpoint-op", 0)) for ack in acks), default=0)


def _holds(erasure: Erasure, holds: Sequence[Hold]) -> dict[str, Any]:
    """Those that had been placed by then, and that didn't stand against it: released ones, and those of other data."""
    placed = [hold for hold in holds if hold.placed < erasure.time]
    elsewhere = [hold for hold in placed if not hold.released or hold.released > erasure.time]
    return {
        "checked": str(len(placed)),
        "in-force-on-other-data": [str(hold.hold) for hold in elsewhere[:HOLDS_MAX]],
    }


def _pruned(remains: Mapping[str, Any] | None, pruned: Sequence[PrunedRow]) -> dict[str, str]:
    """Whether sealed bytes are left, and when the last of them went."""
    if remains is None or not pruned:
        return {"sealed-bytes": "kept", "time": ""}
    rows = {row.pruned.segment: row for row in pruned}
    times = [_pruned_at(int(first), int(last), rows) for first, last in remains["positions"]]
    if None in times or int(remains["ranges-left-out"]):
        return {"sealed-bytes": "pruned in part" if any(times) else "kept", "time": ""}
    return {"sealed-bytes": "pruned", "time": str(max((time for time in times if time is not None), default=0))}


def _pruned_at(first: int, last: int, rows: Mapping[int, PrunedRow]) -> int | None:
    """When the segments with the records between these positions were; None: not all of them were.

    `rows`: by segment, in their order, which is that of positions.
    """
    ends = [_segment_at(position, rows) for position in (first, last)]
    if ends[0] is None or ends[1] is None:
        return None
    between = [rows.get(number) for number in range(ends[0], ends[1] + 1)]
    times = [row.time for row in between if row is not None]
    return max(times) if len(times) == len(between) else None


def _segment_at(position: int, rows: Mapping[int, PrunedRow]) -> int | None:
    """The pruned segment that had this position."""
    segments = list(rows)
    at = bisect_right(segments, position, key=lambda segment: rows[segment].pruned.first_position) - 1
    return segments[at] if at >= 0 and position < rows[segments[at]].pruned.next_position else None


def _backups(under: Sequence[str], root_key: bytes, rotation: Rotation | None) -> dict[str, Any]:
    """A copy of a key store from before the erasure holds the keys, wrapped under the root key of then."""
    wrapped = sorted(dict.fromkeys(under))
    retired = bool(wrapped) and root_key.hex() not in wrapped
    return {
        "wrapped-under": wrapped,
        "now-under": root_key.hex(),
        "retired": str(rotation.changed_at) if retired and rotation is not None else "",
        "horizon": HORIZON_RETIRED if retired else HORIZON_IN_USE,
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
    if int((said.get("remains") or {}).get("opened", 0)):
        raise EvidenceInvalid(f"{who} says that records could be opened")


def canonical(value: Mapping[str, Any]) -> bytes:
    """The bytes that are signed. There are no numbers beyond 2^53 in it, and no fractions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
