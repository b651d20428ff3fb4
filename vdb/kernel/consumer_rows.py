"""Rows of consumer groups as values, and their packed form.

Layouts (big-endian):

    ConsumerRow   ack_us u64, in_flight_max u32, member_in_flight_max u32, ordered_by u8, max_deliver u32,
                  backoff_us u64, backoff_max_us u64, created_at u64, fingerprint 32, sealed (the rest)
    Work          cursor u64, acked u64, delivered u64, letters u64, number of members u16, members 16 each, then for
                  each entry position u64, due u64, attempt u32, member u16 (its number above, NOBODY: none), key u64
    DeadLetter    attempts u32, time u64, key u64, sealed_reason (the rest)

What never changes stands apart from the work, which each fetch and each answer writes anew. The work is bounded by the
group's in_flight_max, so writing it whole costs less than a row for each delivery would.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from attrs import field, frozen

from vdb.kernel.consumer_command import MEMBER_ID_SIZE, ConsumerTerms
from vdb.values import fast_frozen

FINGERPRINT_SIZE = 32
NOBODY = 0xFFFF
CACHED_WORKS = 32
"""Unpacked rows that are kept: one is asked for several times before the next takes its place."""
_CONSUMER = struct.Struct(">QIIBIQQQ32s")
_WORK = struct.Struct(">QQQQH")
_ENTRY = struct.Struct(">QQIHQ")
_LETTER = struct.Struct(">IQQ")

Entry = tuple[int, int, int, bytes, int]
"""Position, due, attempt, member, key: an event that was handed out or kept, and isn't settled.

With a member it is out since `attempt`, until `due` (microseconds UTC). With none (b"") it waits: it may be delivered
from `due` on, and was delivered `attempt` times. A tuple, since a group has up to thousands."""


@frozen(kw_only=True)
class ConsumerRow:
    terms: ConsumerTerms
    created_at: int
    """Microseconds UTC."""
    fingerprint: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    def pack(self) -> bytes:
        terms = self.terms
        head = _CONSUMER.pack(
            terms.ack_us,
            terms.in_flight_max,
            terms.member_in_flight_max,
            terms.ordered_by,
            terms.max_deliver,
            terms.backoff_us,
            terms.backoff_max_us,
            self.created_at,
            self.fingerprint,
        )
        return head + self.sealed


def unpack_consumer(row: bytes) -> ConsumerRow:
    terms, created_at, fingerprint = _unpack_head(row)
    return ConsumerRow(terms=terms, created_at=created_at, fingerprint=fingerprint, sealed=row[_CONSUMER.size :])


def unpack_terms(row: bytes) -> ConsumerTerms:
    return _unpack_head(row)[0]


def _unpack_head(row: bytes) -> tuple[ConsumerTerms, int, bytes]:
    ack, in_flight, member, ordered_by, deliver, backoff, backoff_max, created_at, fingerprint = _CONSUMER.unpack_from(
        row
    )
    terms = ConsumerTerms(
        ack_us=ack,
        in_flight_max=in_flight,
        member_in_flight_max=member,
        ordered_by=ordered_by,
        max_deliver=deliver,
        backoff_us=backoff,
        backoff_max_us=backoff_max,
    )
    return terms, created_at, fingerprint


@fast_frozen(kw_only=True)
class Work:
    """Where a consumer group stands."""

    cursor: int
    """Everything before this position was handed out, kept, or didn't fit."""
    acked: int = 0
    delivered: int = 0
    """Deliveries made, repeated ones included."""
    letters: int = 0
    """Dead letters that there are."""
    entries: tuple[Entry, ...] = ()
    """In the order of their positions, each below the cursor."""

    def pack(self) -> bytes:
        members = dict.fromkeys([entry[3] for entry in self.entries])
        members.pop(b"", None)
        numbers = {member: number for number, member in enumerate(members)} | {b"": NOBODY}
        pack = _ENTRY.pack
        packed = [
            pack(position, due, attempt, numbers[member], key) for position, due, attempt, member, key in self.entries
        ]
        head = _WORK.pack(self.cursor, self.acked, self.delivered, self.letters, len(members))
        return b"".join((head, *members, *packed))


@lru_cache(maxsize=CACHED_WORKS)
def unpack_work(row: bytes) -> Work:
    cursor, acked, delivered, letters, count = _WORK.unpack_from(row)
    end = _WORK.size + count * MEMBER_ID_SIZE
    members = {
        number: row[at : at + MEMBER_ID_SIZE] for number, at in enumerate(range(_WORK.size, end, MEMBER_ID_SIZE))
    }
    members[NOBODY] = b""
    entries = tuple(
        [
            (position, due, attempt, members[number], key)
            for position, due, attempt, number, key in _ENTRY.iter_unpack(memoryview(row)[end:])
        ]
    )
    return Work(cursor=cursor, acked=acked, delivered=delivered, letters=letters, entries=entries)


def cursor_of(row: bytes) -> int:
    """The cursor in a packed `Work`."""
    return int(_WORK.unpack_from(row)[0])


@frozen(kw_only=True)
class DeadLetter:
    """An event that was given up. `position` is in the row's key."""

    position: int
    attempts: int
    time: int
    """Microseconds UTC."""
    key: int
    sealed_reason: bytes = field(default=b"", repr=False)

    def pack(self) -> bytes:
        return _LETTER.pack(self.attempts, self.time, self.key) + self.sealed_reason


def unpack_letter(position: int, row: bytes) -> DeadLetter:
    attempts, time, key = _LETTER.unpack_from(row)
    return DeadLetter(position=position, attempts=attempts, time=time, key=key, sealed_reason=row[_LETTER.size :])
