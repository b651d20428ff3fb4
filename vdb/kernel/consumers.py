"""Consumer groups: creating one, handing events out, and taking the answers. The rules are `consumer_rules`.

Rules
- The primary asks `check_create_consumer` before it seals the settings; a refused creation carries nothing sealed.
- What the primary says of the log is asserted where it can be: that the look began at the cursor or before, and names
  no position that the log hasn't reached. Apply can't open events, so whether one fits is the primary's word.
- An answer counts while the event is that member's in that attempt; any other is told as late and changes nothing.
- A deleted group leaves nothing; one that is created later under its name is another.
- Dead letters wait until they are delivered anew, from attempt 1, or dropped. As many are taken as find room among
  what a group keeps; the others stay.
"""

from __future__ import annotations

from bisect import insort
from itertools import pairwise
from typing import assert_never

from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.consumer_command import (
    MEMBER_ID_SIZE,
    ConsumerCommand,
    ConsumerFetch,
    ConsumerLeave,
    ConsumerSettle,
    ConsumerTerms,
    CreateConsumer,
    DeleteConsumer,
    SettleLetters,
    SettleOne,
    Verdict,
)
from vdb.kernel.consumer_rows import (
    FINGERPRINT_SIZE,
    ConsumerRow,
    DeadLetter,
    Entry,
    Work,
    unpack_consumer,
    unpack_letter,
    unpack_terms,
    unpack_work,
)
from vdb.kernel.consumer_rules import DELAY_US_MAX, KEPT_MAX, backoff_us, check_terms, choose, fail
from vdb.kernel.draft import Draft
from vdb.kernel.effect import WakeConsumer
from vdb.kernel.reply import (
    ConsumerCreated,
    ConsumerDeleted,
    ConsumerFetched,
    ConsumerLeft,
    ConsumerSettled,
    LettersSettled,
    Refusal,
    Reply,
)
from vdb.kernel.rows import LOOKUP_SIZE
from vdb.kernel.tables import CONSUMER_WORK, CONSUMERS, DEAD_LETTERS, consumer_key, letter_key, letter_of
from vdb.kernel.view import View
from vdb.limits import CONSUMERS_MAX
from vdb.marks import mark
from vdb.types import TenantId


def consumer(draft: Draft, command: ConsumerCommand) -> Reply:
    """Execute a command of a consumer group."""
    if isinstance(command, ConsumerFetch):
        return _fetch(draft, command)
    if isinstance(command, ConsumerSettle):
        return _settle(draft, command)
    if isinstance(command, ConsumerLeave):
        return _leave(draft, command)
    if isinstance(command, CreateConsumer):
        return _create(draft, command)
    if isinstance(command, DeleteConsumer):
        return _delete(draft, command)
    if isinstance(command, SettleLetters):
        return _settle_letters(draft, command)
    assert_never(command)


# Creating and deleting -------------------------------------------------------------------------------------------


def check_create_consumer(
    state: View, tenant: TenantId, lookup: bytes, terms: ConsumerTerms, fingerprint: bytes
) -> Refusal | ConsumerCreated:
    """What the creation of a consumer group would be answered."""
    if tenant == 0:
        return Refusal(RefusalCode.INVALID_ARGUMENT, "a tenant id starts at 1; found 0")
    for name, found, size in (("lookup", lookup, LOOKUP_SIZE), ("fingerprint", fingerprint, FINGERPRINT_SIZE)):
        if len(found) != size:
            return Refusal(RefusalCode.INVALID_ARGUMENT, f"a consumer's {name} has {size} bytes; found {len(found)}")
    refusal = check_terms(terms)
    if refusal is not None:
        return refusal
    row = state.rows[CONSUMERS].get(consumer_key(tenant, lookup))
    if row is not None:
        if unpack_consumer(row).fingerprint == fingerprint:
            return ConsumerCreated(created=False)
        return Refusal(
            RefusalCode.CONSUMER_EXISTS,
            f"tenant {tenant} has a consumer of this name in group {state.group}, with other settings",
        )
    if len(state.rows[CONSUMERS]) >= CONSUMERS_MAX:
        return Refusal(
            RefusalCode.NOT_AVAILABLE, f"group {state.group} holds {CONSUMERS_MAX} consumers, and no more: delete some"
        )
    return ConsumerCreated(created=True)


def _create(draft: Draft, command: CreateConsumer) -> Reply:
    tenant, lookup = command.tenant, command.lookup
    answer = check_create_consumer(draft, tenant, lookup, command.terms, command.fingerprint)
    if isinstance(answer, Refusal) or not answer.created:
        assert not command.sealed, "the primary sealed the settings of a consumer that isn't created"
        return answer
    assert command.sealed, "the primary predicted that a consumer isn't created which is"
    assert command.start <= draft.next_position, "a consumer starts at most at the log's end"
    key = consumer_key(tenant, lookup)
    row = ConsumerRow(
        terms=command.terms,
        created_at=draft.last_timestamp,
        fingerprint=command.fingerprint,
        sealed=command.sealed,
    )
    draft.put(CONSUMERS, key, row.pack())
    draft.put(CONSUMER_WORK, key, Work(cursor=command.start).pack())
    return answer


def _delete(draft: Draft, command: DeleteConsumer) -> Reply:
    key = consumer_key(command.tenant, command.lookup)
    if key not in draft.rows[CONSUMERS]:
        return ConsumerDeleted(deleted=False)
    letters = [row for row in draft.settled(DEAD_LETTERS) if row.startswith(key)]
    for letter in sorted(letters):
        draft.remove(DEAD_LETTERS, letter)
    draft.remove(CONSUMERS, key)
    draft.remove(CONSUMER_WORK, key)
    draft.effects.append(WakeConsumer(command.tenant, command.lookup))
    return ConsumerDeleted(deleted=True)


# Handing out -----------------------------------------------------------------------------------------------------


def _fetch(draft: Draft, command: ConsumerFetch) -> Reply:
    key = consumer_key(command.tenant, command.lookup)
    row = draft.rows[CONSUMERS].get(key)
    if row is None:
        return unknown_consumer(draft, command.tenant)
    if len(command.member) != MEMBER_ID_SIZE:
        return _wrong_member(command.member)
    work = unpack_work(draft.rows[CONSUMER_WORK][key])
    assert command.scanned_from <= work.cursor, (
        f"the primary looked from position {command.scanned_from} on, the consumer is at {work.cursor}"
    )
    assert command.scanned_to <= draft.next_position, "the primary looked beyond the log's end"
    terms, now = unpack_terms(row), draft.last_timestamp
    after, letters, deliveries = choose(
        terms, work, now, command.member, command.count_max, command.scanned_to, command.candidates
    )
    _bury(draft, key, letters)
    if after != work:
        draft.put(CONSUMER_WORK, key, after.pack())
    return ConsumerFetched(now + terms.ack_us, deliveries)


def _bury(draft: Draft, key: bytes, letters: tuple[DeadLetter, ...] | list[DeadLetter]) -> None:
    for letter in letters:
        mark("consumer.dead_letter")
        draft.put(DEAD_LETTERS, letter_key(key, letter.position), letter.pack())


# Answers ---------------------------------------------------------------------------------------------------------


def _settle(draft: Draft, command: ConsumerSettle) -> Reply:
    key = consumer_key(command.tenant, command.lookup)
    row = draft.rows[CONSUMERS].get(key)
    if row is None:
        return unknown_consumer(draft, command.tenant)
    if len(command.member) != MEMBER_ID_SIZE:
        return _wrong_member(command.member)
    work, terms, now = unpack_work(draft.rows[CONSUMER_WORK][key]), unpack_terms(row), draft.last_timestamp
    entries = {entry[0]: entry for entry in work.entries}
    letters: list[DeadLetter] = []
    late: list[int] = []
    acked = work.acked
    for one in command.settlements:
        entry = entries.get(one.position)
        if entry is None or entry[3] != command.member or entry[2] != one.attempt:
            mark("consumer.late")
            late.append(one.position)
            continue
        after = _answer(terms, command.lookup, entry, one, now)
        if after is None:
            acked += 1
        elif isinstance(after, DeadLetter):
            letters.append(after)
        else:
            entries[one.position] = after
            continue
        del entries[one.position]
    _bury(draft, key, letters)
    after_all = evolve(work, acked=acked, letters=work.letters + len(letters), entries=tuple(entries.values()))
    draft.put(CONSUMER_WORK, key, after_all.pack())
    draft.effects.append(WakeConsumer(command.tenant, command.lookup))
    return ConsumerSettled(tuple(late))


def _answer(terms: ConsumerTerms, lookup: bytes, entry: Entry, one: SettleOne, now: int) -> Entry | DeadLetter | None:
    """What an answer makes of its event; None: it is done."""
    position, _, attempt, member, key = entry
    if one.verdict is Verdict.ACK:
        return None
    if one.verdict is Verdict.NAK:
        pause = min(one.amount, DELAY_US_MAX) if one.amount >= 0 else backoff_us(terms, lookup, position, attempt)
        return fail(terms, entry, now, due=now + pause)
    if one.verdict is Verdict.EXTEND:
        longer = min(max(one.amount, 0), DELAY_US_MAX) or terms.ack_us
        return position, now + longer, attempt, member, key
    if one.verdict is Verdict.UNTRIED:
        return position, now, attempt - 1, b"", key
    return DeadLetter(position=position, attempts=attempt, time=now, key=key, sealed_reason=one.sealed_reason)


def _leave(draft: Draft, command: ConsumerLeave) -> Reply:
    key = consumer_key(command.tenant, command.lookup)
    row = draft.rows[CONSUMERS].get(key)
    if row is None:
        return unknown_consumer(draft, command.tenant)
    if len(command.member) != MEMBER_ID_SIZE:
        return _wrong_member(command.member)
    work, terms, now = unpack_work(draft.rows[CONSUMER_WORK][key]), unpack_terms(row), draft.last_timestamp
    entries: list[Entry] = []
    letters: list[DeadLetter] = []
    returned = 0
    for entry in work.entries:
        if entry[3] == command.member:
            returned += 1
            failed = fail(terms, entry, now, due=now)
            if isinstance(failed, DeadLetter):
                letters.append(failed)
                continue
            entries.append(failed)
        else:
            entries.append(entry)
    if returned:
        _bury(draft, key, letters)
        after = evolve(work, letters=work.letters + len(letters), entries=tuple(entries))
        draft.put(CONSUMER_WORK, key, after.pack())
        draft.effects.append(WakeConsumer(command.tenant, command.lookup))
    return ConsumerLeft(returned)


# Dead letters ----------------------------------------------------------------------------------------------------


def letters_to_settle(
    state: View, tenant: TenantId, lookup: bytes, positions: tuple[int, ...], *, drop: bool
) -> Refusal | tuple[int, ...]:
    """Which of these positions are dead letters that would be dropped, or find room to be delivered anew."""
    key = consumer_key(tenant, lookup)
    if key not in state.rows[CONSUMERS]:
        return unknown_consumer(state, tenant)
    letters = state.rows[DEAD_LETTERS]
    found = tuple([position for position in positions if letter_key(key, position) in letters])
    if drop:
        return found
    terms, work = unpack_terms(state.rows[CONSUMERS][key]), unpack_work(state.rows[CONSUMER_WORK][key])
    room = max(0, terms.in_flight_max + KEPT_MAX - len(work.entries))
    if len(found) > room:
        mark("consumer.replay_full")
    return found[:room]


def _settle_letters(draft: Draft, command: SettleLetters) -> Reply:
    positions = command.positions
    assert all(one < other for one, other in pairwise(positions)), "positions rise"
    found = letters_to_settle(draft, command.tenant, command.lookup, positions, drop=command.drop)
    if isinstance(found, Refusal):
        return found
    key = consumer_key(command.tenant, command.lookup)
    work = unpack_work(draft.rows[CONSUMER_WORK][key])
    entries = list(work.entries)
    for position in found:
        row = letter_key(key, position)
        letter = unpack_letter(letter_of(row), draft.rows[DEAD_LETTERS][row])
        draft.remove(DEAD_LETTERS, row)
        if not command.drop:
            insort(entries, (position, 0, 0, b"", letter.key))
    if found:
        draft.put(CONSUMER_WORK, key, evolve(work, letters=work.letters - len(found), entries=tuple(entries)).pack())
        draft.effects.append(WakeConsumer(command.tenant, command.lookup))
    return LettersSettled(len(found))


# Refusals --------------------------------------------------------------------------------------------------------


def unknown_consumer(state: View, tenant: TenantId) -> Refusal:
    return Refusal(RefusalCode.UNKNOWN_CONSUMER, f"tenant {tenant} has no consumer of this name in group {state.group}")


def _wrong_member(member: bytes) -> Refusal:
    return Refusal(RefusalCode.INVALID_ARGUMENT, f"a member's id has {MEMBER_ID_SIZE} bytes; found {len(member)}")
