"""One entry of an audit log.

An entry is JSON, so that whoever is given it reads it without VerityDB: keys in the order of the fields below, those
that say nothing left out. It is sealed in a record of the tenant's audit log; several entries share a record.

Rules
- An entry is PHI: it says that somebody receives care.
- `subjects` names whose data it is about. `["*"]`: nobody in particular, so it counts for everybody in a search.
- What was denied or refused is an entry like what was done.
- The time is the op's, to the microsecond, and rises from entry to entry of a log.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from vdb.errors import DamagedData

ALL_SUBJECTS = ("*",)


class Kind(Enum):
    """What happened."""

    READ = "read"
    """Events of a stream or of the log, followed ones and deliveries of a consumer, too."""
    QUERY = "query"
    """Rows of a projection or a database, also as they were."""
    WRITE = "write"
    """Events, or rows by SQL."""
    CREATE = "create"
    DENY = "deny"
    EXPORT = "export"
    """Data that leave the database for good: a disclosure."""
    POLICY = "policy"
    CONSENT = "consent"
    BREAK_GLASS = "break-glass"
    REVIEW = "review"
    """Somebody has looked at grants, or at the audit log itself."""
    KEY = "key"
    ERASE = "erase"
    HOLD = "hold"
    RETENTION = "retention"
    AUDIT = "audit"
    """Somebody has read the audit log."""
    ADMIN = "admin"
    """Members, projections, consumers, schemas."""
    SIGN_IN = "sign-in"
    APPLICATION = "application"
    """What a program has recorded of its own."""


class Outcome(Enum):
    OK = "ok"
    DENIED = "denied"
    """By the policy."""
    REFUSED = "refused"
    """By a rule of the data: a condition that didn't hold, a stream that isn't there."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="kebab"):
    time: int = 0
    """Microseconds UTC of the op; put in when it is prepared (`timed`)."""
    kind: Kind
    action: str
    """The word that the policy was asked with (`vdb.policy.words.Action`)."""
    outcome: Outcome = Outcome.OK
    code: str = ""
    """Why it was refused: a `RefusalCode`."""
    actor: str = ""
    """The principal."""
    credential: str = ""
    """How it was proven: "mtls", "oidc", "development", "embedded", "node"."""
    mfa: bool = False
    client: str = ""
    """Where the connection comes from, or the program that asks."""
    on_behalf_of: str = ""
    """The person whom the program that asks has named (`vdb.context(actor=...)`)."""
    door: str = ""
    """The method that was called."""
    purpose: str = ""
    reason: str = ""
    grant: int = 0
    """The broken glass by which it was allowed."""
    rule: str = ""
    policy: str = ""
    """The policy's version."""
    data_class: str = ""
    object: str = ""
    """Stream, projection, database, consumer."""
    tables: tuple[str, ...] = ()
    fingerprint: str = ""
    """SHA-256 of the statement, hex."""
    statement: str = ""
    subjects: tuple[str, ...] = ()
    first: int | None = None
    """Offset of the first event, or position for a read of the log."""
    count: int = 0
    """Events, or rows."""
    digest: str = ""
    """SHA-256 of what was answered, hex."""
    view: int | None = None
    position: str = ""
    """What the answer was read from, as `group:number`."""
    request: str = ""
    """Client id, session and number, as `hex:session:number`."""
    node: str = ""
    detail: dict[str, str] = {}
    """What else there is to say: of a disclosure its recipient and basis, of a policy its serial."""


_ENCODER = msgspec.json.Encoder(order=None)
_TIME = b'{"time":'
_DECODER = msgspec.json.Decoder(AuditEntry)


def encode_entry(entry: AuditEntry) -> bytes:
    return _ENCODER.encode(entry)


def timed(encoded: bytes, time: int) -> bytes:
    """An encoded entry that has no time yet, with this one."""
    assert not encoded.startswith(_TIME), "the entry has its time already"
    return b"%b%d,%b" % (_TIME, time, encoded[1:])


def decode_entry(data: bytes) -> AuditEntry:
    """DamagedData: what is sealed in an audit log was written by `encode_entry`."""
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError:
        # What it says may hold a value of the entry.
        raise DamagedData("an entry of the audit log can't be read") from None
