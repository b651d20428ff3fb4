"""What rows of erasures, holds and retention hold sealed: subjects, streams, reasons and legal grounds, as JSON.

Each is a record of a stream that nobody can write to. What names a subject is sealed under the subject's own key.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from vdb.crypto.keyring import Keyring
from vdb.crypto.record import decode_record, open_body
from vdb.errors import KeyUnavailable, RecordTampered
from vdb.types import U64_MAX, StreamId

HOLD_SEALS: Final = StreamId(U64_MAX - 24)
RELEASE_SEALS: Final = StreamId(U64_MAX - 25)
RETENTION_SEALS: Final = StreamId(U64_MAX - 26)
ERASURE_SEALS: Final = StreamId(U64_MAX - 27)
Text = TypeVar("Text")


class HoldText(msgspec.Struct, frozen=True):
    subject: str
    stream: str
    reason: str


class ReleaseText(msgspec.Struct, frozen=True):
    reason: str


class RetentionText(msgspec.Struct, frozen=True):
    stream: str


class ErasureText(msgspec.Struct, frozen=True):
    basis: str


def text_of(value: HoldText | ReleaseText | RetentionText | ErasureText) -> str:
    """What is sealed."""
    return msgspec.json.encode(value).decode()


def open_text(keyring: Keyring, sealed: bytes, stream: StreamId, kind: type[Text]) -> Text | None:
    """None: its key was destroyed."""
    record = decode_record(sealed)
    if record.header.stream != stream:
        raise RecordTampered(f"a sealed text of stream {stream} is one of stream {record.header.stream}")
    try:
        key = keyring.key(record.header.dek_id)
    except KeyUnavailable:
        return None
    return msgspec.json.decode(open_body(record.header_bytes, key, record.body), type=kind)
