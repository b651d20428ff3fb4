"""Which events a consumer group hands out, and what becomes of those that come back.

Rules
- An event that fits is *kept* (an entry of the group's work) from the moment it is handed out until it is settled: by
  an ack, or as a dead letter. The cursor passes an event only when it was kept, or doesn't fit.
- Every delivery counts, whatever ends it: the first is attempt 1, and none has an attempt above `max_deliver`. The one
  exception is a delivery that its member says nobody has looked at: it is made again under the same attempt.
- A delivery fails by a nak, when its deadline passes, or when its member leaves. Where it was the last one that it may
  have, the event becomes a dead letter at once; else it waits: for the nak's delay, and otherwise for nothing.
- A passed deadline is noticed by the next fetch, of whatever member: until then the member may still answer.
- What waits and is due goes out before what is new, and both in the order of their positions.
- In an ordered group the events of a key go out one after the other: what was kept, and isn't settled, holds back the
  later ones of its key, whether it is out or waits. A new event whose key is held back is kept, and waits.
- At most `in_flight_max` are out, and KEPT_MAX more are kept, of which at most HELD_MAX that were never delivered are
  held back by their keys: then the cursor stands still until some are settled.

All of it is a function of the rows and the op's time, so that it can be asked before it is done (`choose`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from vdb.errors import RefusalCode
from vdb.kernel.consumer_command import Candidate, ConsumerTerms
from vdb.kernel.consumer_rows import DeadLetter, Entry, Work
from vdb.kernel.reply import Delivery, Refusal
from vdb.limits import CONSUMER_DELAY_SECONDS_MAX, CONSUMER_IN_FLIGHT_MAX
from vdb.types import U64_MAX, StreamId

SEALS = StreamId(U64_MAX - 1)
"""The stream that sealed settings and reasons name in their headers: none, so that they can't pass for anything else.
Settings have offset 0, reasons their event's position + 1."""

KEPT_MAX = 1000
HELD_MAX = 250
DELAY_US_MAX = CONSUMER_DELAY_SECONDS_MAX * 1_000_000
"""Of a deadline, a nak's delay, an extension and a back-off."""
ACK_US_MIN = 1_000
MAX_DELIVER_MAX = 0xFFFF
_JITTER_STEPS = 1 << 16


class Choice(NamedTuple):
    """What a fetch does."""

    work: Work
    letters: tuple[DeadLetter, ...]
    deliveries: tuple[Delivery, ...]


def check_terms(terms: ConsumerTerms) -> Refusal | None:
    """Why a group can't have these terms."""
    for name, value, low, high in (
        ("ack_us", terms.ack_us, ACK_US_MIN, DELAY_US_MAX),
        ("in_flight_max", terms.in_flight_max, 1, CONSUMER_IN_FLIGHT_MAX),
        ("member_in_flight_max", terms.member_in_flight_max, 0, CONSUMER_IN_FLIGHT_MAX),
        ("ordered_by", terms.ordered_by, 0, 2),
        ("max_deliver", terms.max_deliver, 0, MAX_DELIVER_MAX),
        ("backoff_max_us", terms.backoff_max_us, 0, DELAY_US_MAX),
        ("backoff_us", terms.backoff_us, 0, terms.backoff_max_us),
    ):
        if not low <= value <= high:
            return Refusal(
                RefusalCode.INVALID_ARGUMENT, f"a consumer's {name} lies between {low} and {high}; found {value}"
            )
    return None


def choose(
    terms: ConsumerTerms,
    work: Work,
    now: int,
    member: bytes,
    count_max: int,
    scanned_to: int,
    candidates: Sequence[Candidate],
) -> Choice:
    """Hand up to `count_max` events out to a member, at this time."""
    kept, letters = _take_back(terms, work.entries, now)
    out = [entry for entry in kept if entry[3]]
    room = min(count_max, terms.in_flight_max - len(out))
    if terms.member_in_flight_max:
        room = min(room, terms.member_in_flight_max - sum([entry[3] == member for entry in out]))
    deadline = now + terms.ack_us
    ordered = bool(terms.ordered_by)
    entries: list[Entry] = []
    deliveries: list[Delivery] = []
    held = {entry[4]: None for entry in out} if ordered else {}
    """Keys of which something is out, and of which something that comes before is kept."""
    for index, entry in enumerate(kept):
        if room <= 0:
            entries += kept[index:]
            break
        position, due, attempt, holder, key = entry
        if not holder and due <= now and key not in held:
            entries.append((position, deadline, attempt + 1, member, key))
            deliveries.append((position, attempt + 1))
            room -= 1
        else:
            entries.append(entry)
        if ordered:
            held[key] = None
    cursor = work.cursor
    kept_max = terms.in_flight_max + KEPT_MAX
    held_back = sum([not entry[3] and not entry[2] for entry in entries]) if ordered and room > 0 else 0
    for position, key in candidates:
        if position < cursor:
            continue
        if room <= 0 or len(entries) >= kept_max:
            cursor = position
            break
        if key in held:
            if held_back >= HELD_MAX:
                cursor = position
                break
            held_back += 1
            entries.append((position, 0, 0, b"", key))
            continue
        deliveries.append((position, 1))
        entries.append((position, deadline, 1, member, key))
        room -= 1
        if ordered:
            held[key] = None
    else:
        cursor = max(cursor, scanned_to)
    after = Work(
        cursor=cursor,
        acked=work.acked,
        delivered=work.delivered + len(deliveries),
        letters=work.letters + len(letters),
        entries=tuple(entries),
    )
    return Choice(after, tuple(letters), tuple(deliveries))


def _take_back(terms: ConsumerTerms, entries: Sequence[Entry], now: int) -> tuple[list[Entry], list[DeadLetter]]:
    """The entries once those whose deadline has passed wait, or are given up."""
    kept: list[Entry] = []
    letters: list[DeadLetter] = []
    if not any(entry[3] and entry[1] <= now for entry in entries):
        return list(entries), letters
    for entry in entries:
        if entry[3] and entry[1] <= now:
            failed = fail(terms, entry, now, due=entry[1])
            if isinstance(failed, DeadLetter):
                letters.append(failed)
                continue
            entry = failed
        kept.append(entry)
    return kept, letters


def fail(terms: ConsumerTerms, entry: Entry, now: int, *, due: int) -> Entry | DeadLetter:
    """A delivery failed: the event waits until `due`, or is given up."""
    position, _, attempt, _, key = entry
    if terms.max_deliver and attempt >= terms.max_deliver:
        return DeadLetter(position=position, attempts=attempt, time=now, key=key)
    return position, due, attempt, b"", key


def backoff_us(terms: ConsumerTerms, lookup: bytes, position: int, attempt: int) -> int:
    """The pause after an event's failed delivery: doubled with each, and between half of that and the whole.

    The jitter parts events that failed together. It follows from the event alone, so all replicas know it.
    """
    pause = min(terms.backoff_max_us, terms.backoff_us << min(attempt - 1, 62))
    seed = sha256(lookup + position.to_bytes(8, "big") + attempt.to_bytes(4, "big")).digest()
    return pause - pause * int.from_bytes(seed[:2], "big") // (2 * _JITTER_STEPS)


def next_due(work: Work, now: int) -> int | None:
    """When something of what is kept falls due after this time, as far as no answer comes before; None: never."""
    return min([entry[1] for entry in work.entries if entry[1] > now], default=None)
