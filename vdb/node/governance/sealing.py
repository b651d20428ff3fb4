"""What rows of governance hold sealed: subjects and reasons, verdicts, what an expert says.

Each is JSON in a record of a stream that nobody can write to. Its header names the row that it belongs to, so that one
that was moved to another row is seen. What names a subject is sealed under the subject's own key: erasing the subject
erases it here, too.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from vdb.crypto.keyring import Keyring
from vdb.crypto.record import decode_record, open_body
from vdb.errors import KeyUnavailable, RecordTampered, SubjectErased
from vdb.kernel.governance_rows import AttestationRow, ConsentRow, GrantRow
from vdb.types import U64_MAX, StreamId

GRANT_SEALS: Final = StreamId(U64_MAX - 16)
REVIEW_SEALS: Final = StreamId(U64_MAX - 17)
CONSENT_SEALS: Final = StreamId(U64_MAX - 18)
ATTESTATION_SEALS: Final = StreamId(U64_MAX - 19)
Text = TypeVar("Text")


class GrantText(msgspec.Struct, frozen=True):
    subject: str
    """Empty: everybody's data."""
    reason: str


class ReviewText(msgspec.Struct, frozen=True):
    verdict: str
    remark: str


class ConsentText(msgspec.Struct, frozen=True):
    subject: str


class AttestationText(msgspec.Struct, frozen=True):
    expert: str
    statement: str
    document: str
    """SHA-256 of what the expert signed, hex; empty: there is none."""


SealedText = GrantText | ReviewText | ConsentText | AttestationText


def text_of(value: SealedText) -> str:
    """What is sealed."""
    return msgspec.json.encode(value).decode()


def open_grant(keyring: Keyring, row: GrantRow) -> GrantText | None:
    """None: the subject was erased."""
    return _open(keyring, row.sealed, GRANT_SEALS, row.grant, GrantText)


def open_review(keyring: Keyring, row: GrantRow) -> ReviewText | None:
    """None: the subject was erased. The row is reviewed."""
    return _open(keyring, row.sealed_review, REVIEW_SEALS, row.grant, ReviewText)


def open_consent(keyring: Keyring, row: ConsentRow) -> ConsentText | None:
    """None: the subject was erased."""
    return _open(keyring, row.sealed, CONSENT_SEALS, None, ConsentText)


def open_attestation(keyring: Keyring, stream: StreamId, row: AttestationRow) -> AttestationText | None:
    return _open(keyring, row.sealed, ATTESTATION_SEALS, stream, AttestationText)


def _open(keyring: Keyring, sealed: bytes, stream: StreamId, offset: int | None, kind: type[Text]) -> Text | None:
    record = decode_record(sealed)
    header = record.header
    if header.stream != stream or offset not in (None, header.offset):
        raise RecordTampered(
            f"a sealed text of row {stream}/{offset} is that of row {header.stream}/{header.offset}: it was moved"
        )
    try:
        key = keyring.key(header.dek_id)
    except (KeyUnavailable, SubjectErased):
        return None
    return msgspec.json.decode(open_body(record.header_bytes, key, record.body), type=kind)
