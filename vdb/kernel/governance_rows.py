"""Rows of POLICY, GRANTS, CONSENTS and ATTESTATIONS as values, and their packed form.

Layouts (big-endian; a text is its length u32 and UTF-8):

    PolicyRow       serial u64, applied_at u64, version text, by text, text (the rest)
    GrantRow        until u64, reviewed_at u64, principal text, reviewer text, sealed text, sealed_review text,
                    subject (the rest: 0 or 32 bytes); tenant and grant are the row's key
    ConsentRow      number of items u8, for each until u64, given_at u64, purpose text; sealed (the rest)
    AttestationRow  attested_at u64, by text, sealed (the rest)
"""

from __future__ import annotations

import struct

from attrs import evolve, field, frozen

_U32 = struct.Struct(">I")
_TWO = struct.Struct(">QQ")
_U64 = struct.Struct(">Q")
_COUNT = struct.Struct(">B")


@frozen(kw_only=True)
class PolicyRow:
    """The policy that holds in a group. Times are microseconds UTC."""

    serial: int
    """From 1, made by the global group."""
    version: str
    by: str
    applied_at: int
    """In this group."""
    text: str = field(repr=False)

    def pack(self) -> bytes:
        head = _TWO.pack(self.serial, self.applied_at)
        return head + _pack(self.version.encode()) + _pack(self.by.encode()) + self.text.encode()


def unpack_policy(row: bytes) -> PolicyRow:
    serial, applied_at = _TWO.unpack_from(row)
    version, at = _unpack(row, _TWO.size)
    by, at = _unpack(row, at)
    return PolicyRow(
        serial=serial, version=version.decode(), by=by.decode(), applied_at=applied_at, text=row[at:].decode()
    )


@frozen(kw_only=True)
class GrantRow:
    """A glass that was broken. It allows something while `until` lies ahead; it stays for the review after that."""

    grant: int
    """When it was broken: microseconds UTC, and its number in the group."""
    principal: str
    subject: bytes = field(repr=False)
    """Lookup; empty: everybody's data."""
    until: int
    """Microseconds UTC. A review before that ends it."""
    sealed: bytes = field(repr=False)
    reviewed_at: int = 0
    """0: not yet."""
    reviewer: str = ""
    sealed_review: bytes = field(default=b"", repr=False)

    @property
    def is_reviewed(self) -> bool:
        return self.reviewed_at > 0

    def reviewed(self, reviewer: str, sealed: bytes, time: int) -> GrantRow:
        return evolve(self, until=min(self.until, time), reviewed_at=time, reviewer=reviewer, sealed_review=sealed)

    def pack(self) -> bytes:
        texts = (self.principal.encode(), self.reviewer.encode(), self.sealed, self.sealed_review)
        return _TWO.pack(self.until, self.reviewed_at) + b"".join(map(_pack, texts)) + self.subject


def unpack_grant(grant: int, row: bytes) -> GrantRow:
    until, reviewed_at = _TWO.unpack_from(row)
    principal, at = _unpack(row, _TWO.size)
    reviewer, at = _unpack(row, at)
    sealed, at = _unpack(row, at)
    sealed_review, at = _unpack(row, at)
    return GrantRow(
        grant=grant,
        principal=principal.decode(),
        subject=row[at:],
        until=until,
        sealed=sealed,
        reviewed_at=reviewed_at,
        reviewer=reviewer.decode(),
        sealed_review=sealed_review,
    )


def is_reviewed(row: bytes) -> bool:
    """Of a grant's packed row."""
    return bool(_TWO.unpack_from(row)[1])


@frozen
class ConsentItem:
    purpose: str
    until: int
    """Microseconds UTC; 0: until it is withdrawn."""
    given_at: int


@frozen(kw_only=True)
class ConsentRow:
    """What a subject consents to. Its items differ in their purposes."""

    items: tuple[ConsentItem, ...]
    sealed: bytes = field(repr=False)
    """The subject's name."""

    def pack(self) -> bytes:
        items = [_TWO.pack(item.until, item.given_at) + _pack(item.purpose.encode()) for item in self.items]
        return _COUNT.pack(len(items)) + b"".join(items) + self.sealed


def unpack_consent(row: bytes) -> ConsentRow:
    items: list[ConsentItem] = []
    at = _COUNT.size
    for _ in range(row[0]):
        until, given_at = _TWO.unpack_from(row, at)
        purpose, at = _unpack(row, at + _TWO.size)
        items.append(ConsentItem(purpose.decode(), until, given_at))
    return ConsentRow(items=tuple(items), sealed=row[at:])


@frozen(kw_only=True)
class AttestationRow:
    attested_at: int
    """Microseconds UTC."""
    by: str
    sealed: bytes = field(repr=False)

    def pack(self) -> bytes:
        return _U64.pack(self.attested_at) + _pack(self.by.encode()) + self.sealed


def unpack_attestation(row: bytes) -> AttestationRow:
    (attested_at,) = _U64.unpack_from(row)
    by, at = _unpack(row, _U64.size)
    return AttestationRow(attested_at=attested_at, by=by.decode(), sealed=row[at:])


def _pack(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


def _unpack(row: bytes, at: int) -> tuple[bytes, int]:
    """The text at this place, and where it ends."""
    start = at + _U32.size
    end = start + _U32.unpack_from(row, at)[0]
    return row[start:end], end
