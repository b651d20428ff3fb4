"""Consumer groups in the kernel: every command on a state, told by what is handed out next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel import consumers
from vdb.kernel.apply import apply_committed, apply_request
from vdb.kernel.command import OpenSession, Origin, Request
from vdb.kernel.consumer_command import (
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
from vdb.kernel.consumer_rules import HELD_MAX, KEPT_MAX, backoff_us
from vdb.kernel.consumers import check_create_consumer
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
    SessionOpened,
)
from vdb.kernel.state import State
from vdb.types import GroupId, TenantId

TENANT = TenantId(1)
LOOKUP = b"L" * 32
SECOND = 1_000_000
TERMS = ConsumerTerms(
    ack_us=30 * SECOND,
    in_flight_max=100,
    member_in_flight_max=0,
    ordered_by=0,
    max_deliver=3,
    backoff_us=SECOND,
    backoff_max_us=60 * SECOND,
)
ANNA, BEN = b"anna" * 4, b"ben." * 4
REGION = GroupId("eu-west-1")


class Group:
    """One consumer group over a log of events: position to key."""

    def __init__(self, terms: ConsumerTerms = TERMS, keys: Sequence[int] = (0,) * 20, start: int = 0) -> None:
        self.state = evolve(State.empty(REGION, 4), next_position=len(keys))
        self.keys = keys
        self.now = SECOND
        created = CreateConsumer(
            tenant=TENANT, lookup=LOOKUP, terms=terms, start=start, fingerprint=b"F" * 32, sealed=b"sealed"
        )
        assert self.apply(created) == ConsumerCreated(created=True)

    def apply(self, command: ConsumerCommand) -> Reply:
        self.now = max(self.now, self.state.last_timestamp) + 1
        self.state, self.effects, reply = apply_committed(self.state, command, self.now)
        return reply

    def fetch(self, member: bytes = ANNA, count_max: int = 10) -> list[tuple[int, int]]:
        """What is handed out, of all that there is: (position, attempt)."""
        cursor = self.state.work(TENANT, LOOKUP).cursor
        candidates = tuple((position, self.keys[position]) for position in range(cursor, len(self.keys)))
        command = ConsumerFetch(
            tenant=TENANT,
            lookup=LOOKUP,
            member=member,
            count_max=count_max,
            scanned_from=cursor,
            scanned_to=len(self.keys),
            candidates=candidates,
        )
        reply = self.apply(command)
        assert isinstance(reply, ConsumerFetched)
        return list(reply.deliveries)

    def settle(self, *settlements: SettleOne, member: bytes = ANNA) -> tuple[int, ...]:
        """What comes too late."""
        reply = self.apply(ConsumerSettle(tenant=TENANT, lookup=LOOKUP, member=member, settlements=settlements))
        assert isinstance(reply, ConsumerSettled)
        return reply.late

    def leave(self, member: bytes = ANNA) -> Reply:
        return self.apply(ConsumerLeave(tenant=TENANT, lookup=LOOKUP, member=member))

    def letters(self) -> list[int]:
        found = self.state.dead_letters(TENANT, LOOKUP)
        assert self.state.work(TENANT, LOOKUP).letters == len(found)
        return found

    def settle_letters(self, *positions: int, drop: bool) -> Reply:
        return self.apply(SettleLetters(tenant=TENANT, lookup=LOOKUP, positions=positions, drop=drop))


def ack(position: int, attempt: int = 1) -> SettleOne:
    return SettleOne(position, attempt, Verdict.ACK)


def nak(position: int, attempt: int = 1, delay: int = -1) -> SettleOne:
    return SettleOne(position, attempt, Verdict.NAK, delay)


def test_events_are_handed_out_once_in_order_among_members() -> None:
    group = Group()
    assert group.fetch(ANNA, 3) == [(0, 1), (1, 1), (2, 1)]
    assert group.fetch(BEN, 2) == [(3, 1), (4, 1)]
    assert group.state.work(TENANT, LOOKUP).cursor == 5


def test_what_was_acked_is_gone_and_counted() -> None:
    group = Group()
    group.fetch(ANNA, 20)
    assert group.settle(*[ack(position) for position in range(20)]) == ()
    group.now += 40 * SECOND
    assert group.fetch() == []
    work = group.state.work(TENANT, LOOKUP)
    assert (work.acked, work.delivered, work.entries) == (20, 20, ())


def test_an_answer_wakes_who_waits_for_the_group() -> None:
    group = Group()
    group.fetch(ANNA, 1)
    group.settle(ack(0))
    assert group.effects == (WakeConsumer(TENANT, LOOKUP),)


def test_it_begins_where_it_was_told_to() -> None:
    assert Group(start=17).fetch() == [(17, 1), (18, 1), (19, 1)]


def test_a_passed_deadline_gives_the_event_to_whoever_fetches_next() -> None:
    group = Group()
    group.fetch(ANNA, 1)
    group.now += TERMS.ack_us - 2
    assert group.fetch(BEN, 1) == [(1, 1)]
    group.now += 2
    assert group.fetch(BEN, 1) == [(0, 2)]
    assert group.settle(ack(0), member=ANNA) == (0,)
    assert group.settle(ack(0, 2), member=BEN) == ()


def test_an_answer_counts_until_the_event_is_taken_back() -> None:
    group = Group()
    group.fetch(ANNA, 1)
    group.now += 2 * TERMS.ack_us
    assert group.settle(ack(0)) == ()


def test_an_answer_of_another_member_or_attempt_or_event_is_late() -> None:
    group = Group()
    group.fetch(ANNA, 1)
    assert group.settle(ack(0), member=BEN) == (0,)
    assert group.settle(ack(0, 2)) == (0,)
    assert group.settle(ack(7)) == (7,)
    assert group.settle(ack(0), ack(0)) == (0,)


def test_what_nobody_has_looked_at_is_delivered_again_under_the_same_attempt() -> None:
    group = Group(evolve(TERMS, max_deliver=2))
    for _ in range(5):
        assert group.fetch(ANNA, 1) == [(0, 1)]
        assert group.settle(SettleOne(0, 1, Verdict.UNTRIED)) == ()
    assert group.fetch(BEN, 1) == [(0, 1)]
    assert group.settle(SettleOne(0, 1, Verdict.UNTRIED)) == (0,)
    group.settle(nak(0, delay=0), member=BEN)
    assert group.fetch(ANNA, 1) == [(0, 2)]
    assert group.settle(SettleOne(0, 2, Verdict.UNTRIED)) == ()
    assert group.letters() == []
    assert group.fetch(ANNA, 1) == [(0, 2)]
    group.settle(nak(0, 2))
    assert group.letters() == [0]


def test_a_nak_waits_as_long_as_it_says() -> None:
    group = Group()
    group.fetch(ANNA, 20)
    group.settle(nak(5, delay=10 * SECOND))
    group.now += 9 * SECOND
    assert group.fetch() == []
    group.now += SECOND
    assert group.fetch() == [(5, 2)]


def test_a_nak_without_a_delay_waits_for_the_back_off() -> None:
    group = Group()
    group.fetch(ANNA, 20)
    group.settle(nak(5))
    pause = backoff_us(TERMS, LOOKUP, 5, 1)
    assert SECOND // 2 <= pause <= SECOND
    group.now += pause - 2
    assert group.fetch() == []
    group.now += 2
    assert group.fetch() == [(5, 2)]


def test_the_back_off_doubles_up_to_its_bound() -> None:
    for attempt in range(1, 100):
        whole = min(TERMS.backoff_max_us, SECOND * 2 ** (attempt - 1))
        assert whole // 2 <= backoff_us(TERMS, LOOKUP, 7, attempt) <= whole


def test_an_extension_moves_the_deadline() -> None:
    group = Group()
    group.fetch(ANNA, 2)
    group.settle(SettleOne(0, 1, Verdict.EXTEND, 60 * SECOND), SettleOne(1, 1, Verdict.EXTEND, 0))
    group.now += 59 * SECOND
    assert group.fetch(BEN, 1) == [(1, 2)]
    group.now += SECOND
    assert group.fetch(BEN, 1) == [(0, 2)]


@pytest.mark.parametrize("ends", ["nak", "deadline", "leave"])
def test_an_event_is_given_up_after_its_last_delivery(ends: str) -> None:
    group = Group(keys=(0,))
    for attempt in range(1, 4):
        assert group.fetch() == [(0, attempt)]
        assert group.letters() == []
        if ends == "nak":
            group.settle(nak(0, attempt, delay=0))
        elif ends == "leave":
            group.leave()
        else:
            group.now += TERMS.ack_us
    assert group.fetch() == []
    assert group.letters() == [0]
    letter = group.state.dead_letter(TENANT, LOOKUP, 0)
    assert (letter.attempts, letter.sealed_reason) == (3, b"")


def test_without_a_bound_nothing_is_given_up() -> None:
    group = Group(evolve(TERMS, max_deliver=0), keys=(0,))
    for attempt in range(1, 30):
        assert group.fetch() == [(0, attempt)]
        group.settle(nak(0, attempt, delay=0))


def test_a_terminated_event_is_a_dead_letter_with_its_reason() -> None:
    group = Group()
    group.fetch(ANNA, 2)
    assert group.settle(SettleOne(1, 1, Verdict.TERM, 0, b"sealed reason")) == ()
    assert group.letters() == [1]
    letter = group.state.dead_letter(TENANT, LOOKUP, 1)
    assert (letter.attempts, letter.time, letter.sealed_reason) == (1, group.now, b"sealed reason")


def test_a_member_that_leaves_gives_its_deliveries_back() -> None:
    group = Group()
    group.fetch(ANNA, 2)
    group.fetch(BEN, 1)
    assert group.leave(ANNA) == ConsumerLeft(2)
    assert group.fetch(BEN, 3) == [(0, 2), (1, 2), (3, 1)]
    assert group.leave(ANNA) == ConsumerLeft(0)


def test_at_most_so_many_are_out() -> None:
    group = Group(evolve(TERMS, in_flight_max=3))
    assert len(group.fetch(ANNA, 10)) == 3
    assert group.fetch(BEN) == []
    group.settle(ack(1))
    assert group.fetch(BEN) == [(3, 1)]


def test_at_most_so_many_are_out_with_one_member() -> None:
    group = Group(evolve(TERMS, member_in_flight_max=2))
    assert len(group.fetch(ANNA)) == 2
    assert group.fetch(ANNA) == []
    assert group.fetch(BEN) == [(2, 1), (3, 1)]


def test_an_ordered_group_hands_one_event_of_a_key_out_at_a_time() -> None:
    group = Group(evolve(TERMS, ordered_by=1), keys=(1, 1, 2, 1, 2, 3))
    assert group.fetch() == [(0, 1), (2, 1), (5, 1)]
    assert group.fetch(BEN) == []
    group.settle(ack(0))
    assert group.fetch(BEN) == [(1, 1)]
    group.settle(ack(1), member=BEN)
    group.settle(ack(2))
    assert group.fetch(BEN) == [(3, 1), (4, 1)]


def test_what_waits_for_another_try_holds_the_later_ones_of_its_key_back() -> None:
    group = Group(evolve(TERMS, ordered_by=1), keys=(1, 1))
    group.fetch()
    group.settle(nak(0, delay=10 * SECOND))
    assert group.fetch() == []
    group.now += 10 * SECOND
    assert group.fetch() == [(0, 2)]


def test_a_dead_letter_lets_the_later_ones_of_its_key_go_on() -> None:
    group = Group(evolve(TERMS, ordered_by=1), keys=(1, 1))
    group.fetch()
    group.settle(SettleOne(0, 1, Verdict.TERM))
    assert group.fetch() == [(1, 1)]


def test_a_letter_that_is_delivered_anew_waits_for_the_one_of_its_key_that_is_out() -> None:
    group = Group(evolve(TERMS, ordered_by=1), keys=(1, 1, 1))
    group.fetch()
    group.settle(SettleOne(0, 1, Verdict.TERM))
    assert group.fetch() == [(1, 1)]
    assert group.settle_letters(0, drop=False) == LettersSettled(1)
    assert group.fetch() == []
    group.settle(ack(1))
    assert group.fetch() == [(0, 1)]
    group.settle(ack(0))
    assert group.fetch() == [(2, 1)]


def test_the_cursor_stands_still_when_too_much_is_kept() -> None:
    keys = (1,) * (HELD_MAX + 50)
    group = Group(evolve(TERMS, ordered_by=1, in_flight_max=10), keys=keys)
    assert group.fetch() == [(0, 1)]
    assert group.state.work(TENANT, LOOKUP).cursor == HELD_MAX + 1
    for position in range(len(keys)):
        assert group.settle(ack(position)) == ()
        assert group.fetch() == ([(position + 1, 1)] if position + 1 < len(keys) else [])


def test_dead_letters_are_dropped_or_delivered_anew() -> None:
    group = Group()
    group.fetch(ANNA, 20)
    group.settle(*[SettleOne(position, 1, Verdict.TERM) for position in range(4)])
    assert group.settle_letters(0, 1, 9, drop=True) == LettersSettled(2)
    assert group.settle_letters(2, drop=False) == LettersSettled(1)
    assert group.letters() == [3]
    assert group.fetch() == [(2, 1)]
    assert group.settle_letters(17, drop=True) == LettersSettled(0)


def test_as_many_letters_are_delivered_anew_as_find_room() -> None:
    group = Group(evolve(TERMS, in_flight_max=1), keys=(0,) * (KEPT_MAX + 5))
    for position in range(KEPT_MAX + 5):
        assert group.fetch(count_max=1) == [(position, 1)]
        group.settle(SettleOne(position, 1, Verdict.TERM))
    assert group.settle_letters(*range(KEPT_MAX + 5), drop=False) == LettersSettled(KEPT_MAX + 1)
    assert group.letters() == list(range(KEPT_MAX + 1, KEPT_MAX + 5))


def test_the_same_group_may_be_created_again() -> None:
    group = Group()
    again = CreateConsumer(tenant=TENANT, lookup=LOOKUP, terms=TERMS, start=0, fingerprint=b"F" * 32, sealed=b"")
    group.fetch(ANNA, 3)
    assert group.apply(again) == ConsumerCreated(created=False)
    assert group.fetch(ANNA, 1) == [(3, 1)]
    other = group.apply(evolve(again, fingerprint=b"G" * 32))
    assert isinstance(other, Refusal)
    assert other.code is RefusalCode.CONSUMER_EXISTS
    assert "with other settings" in other.message


def test_a_deleted_group_leaves_nothing() -> None:
    group = Group()
    before = State.empty(REGION, 4)
    group.fetch()
    group.settle(SettleOne(0, 1, Verdict.TERM))
    assert group.apply(DeleteConsumer(tenant=TENANT, lookup=LOOKUP)) == ConsumerDeleted(deleted=True)
    assert group.state.rows == before.rows
    assert group.apply(DeleteConsumer(tenant=TENANT, lookup=LOOKUP)) == ConsumerDeleted(deleted=False)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ConsumerFetch(
            tenant=TENANT, lookup=b"?" * 32, member=ANNA, count_max=1, scanned_from=0, scanned_to=0, candidates=()
        ),
        lambda: ConsumerSettle(tenant=TENANT, lookup=b"?" * 32, member=ANNA, settlements=()),
        lambda: ConsumerLeave(tenant=TENANT, lookup=b"?" * 32, member=ANNA),
        lambda: SettleLetters(tenant=TENANT, lookup=b"?" * 32, positions=(), drop=True),
    ],
)
def test_a_group_that_isnt_there_is_refused(build: Callable[[], ConsumerCommand]) -> None:
    reply = Group().apply(build())
    assert reply == Refusal(RefusalCode.UNKNOWN_CONSUMER, "tenant 1 has no consumer of this name in group eu-west-1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ack_us": 1}, "a consumer's ack_us lies between 1000 and 604800000000; found 1"),
        ({"in_flight_max": 0}, "a consumer's in_flight_max lies between 1 and 10000; found 0"),
        ({"member_in_flight_max": 10_001}, "member_in_flight_max lies between 0 and 10000"),
        ({"ordered_by": 3}, "ordered_by lies between 0 and 2; found 3"),
        ({"max_deliver": 65_536}, "max_deliver lies between 0 and 65535"),
        ({"backoff_max_us": SECOND - 1}, "backoff_us lies between 0 and 999999; found 1000000"),
    ],
)
def test_terms_out_of_bounds_are_refused(change: dict[str, int], message: str) -> None:
    refusal = check_create_consumer(State.empty(REGION, 4), TENANT, LOOKUP, evolve(TERMS, **change), b"F" * 32)
    assert isinstance(refusal, Refusal)
    assert message in refusal.message


def test_a_look_that_began_behind_the_cursor_is_a_broken_invariant() -> None:
    group = Group()
    command = ConsumerFetch(
        tenant=TENANT, lookup=LOOKUP, member=ANNA, count_max=1, scanned_from=1, scanned_to=2, candidates=()
    )
    with pytest.raises(AssertionError, match="looked from position 1 on, the consumer is at 0"):
        group.apply(command)


@pytest.mark.parametrize(
    ("tenant", "lookup", "fingerprint", "message"),
    [
        (0, LOOKUP, b"F" * 32, "a tenant id starts at 1; found 0"),
        (1, b"short", b"F" * 32, "a consumer's lookup has 32 bytes; found 5"),
        (1, LOOKUP, b"short", "a consumer's fingerprint has 32 bytes; found 5"),
    ],
)
def test_a_creation_of_another_shape_is_refused(tenant: int, lookup: bytes, fingerprint: bytes, message: str) -> None:
    refusal = check_create_consumer(State.empty(REGION, 4), TenantId(tenant), lookup, TERMS, fingerprint)
    assert refusal == Refusal(RefusalCode.INVALID_ARGUMENT, message)


def test_a_group_of_nodes_holds_so_many_consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "CONSUMERS_MAX", 1)
    group = Group()
    more = CreateConsumer(tenant=TENANT, lookup=b"M" * 32, terms=TERMS, start=0, fingerprint=b"F" * 32, sealed=b"")
    reply = group.apply(more)
    assert reply == Refusal(RefusalCode.NOT_AVAILABLE, "group eu-west-1 holds 1 consumers, and no more: delete some")
    assert group.state.consumers(TENANT) == [LOOKUP]


@pytest.mark.parametrize(
    "command",
    [
        ConsumerFetch(
            tenant=TENANT, lookup=LOOKUP, member=b"abc", count_max=1, scanned_from=0, scanned_to=0, candidates=()
        ),
        ConsumerSettle(tenant=TENANT, lookup=LOOKUP, member=b"abc", settlements=()),
        ConsumerLeave(tenant=TENANT, lookup=LOOKUP, member=b"abc"),
    ],
)
def test_a_member_without_an_id_is_refused(command: ConsumerCommand) -> None:
    assert Group().apply(command) == Refusal(RefusalCode.INVALID_ARGUMENT, "a member's id has 16 bytes; found 3")


def test_what_the_primary_predicted_of_a_creation_is_asserted() -> None:
    group = Group()
    again = CreateConsumer(tenant=TENANT, lookup=LOOKUP, terms=TERMS, start=0, fingerprint=b"F" * 32, sealed=b"s")
    with pytest.raises(AssertionError, match="sealed the settings of a consumer that isn't created"):
        group.apply(again)
    with pytest.raises(AssertionError, match="predicted that a consumer isn't created which is"):
        group.apply(evolve(again, lookup=b"M" * 32, sealed=b""))
    with pytest.raises(AssertionError, match="starts at most at the log's end"):
        group.apply(evolve(again, lookup=b"M" * 32, start=21))


def test_a_look_beyond_the_log_is_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="looked beyond the log's end"):
        Group().apply(
            ConsumerFetch(
                tenant=TENANT, lookup=LOOKUP, member=ANNA, count_max=1, scanned_from=0, scanned_to=21, candidates=()
            )
        )


def test_a_fetch_that_finds_nothing_changes_no_row() -> None:
    group = Group()
    group.fetch(ANNA, 20)
    before = group.state.rows
    assert group.fetch(BEN) == []
    assert group.state.rows == before


def test_a_session_gets_the_first_answer_again() -> None:
    group = Group()
    group.fetch(ANNA, 1)
    group.state, _, opened = apply_request(group.state, Request(Origin(b"c" * 16), OpenSession()), group.now + 1)
    assert isinstance(opened, SessionOpened)
    settle = ConsumerSettle(tenant=TENANT, lookup=LOOKUP, member=ANNA, settlements=(ack(0),))
    request = Request(Origin(b"c" * 16, opened.session, 1), settle)
    for later in (2, 3):
        group.state, _, reply = apply_request(group.state, request, group.now + later)
        assert reply == ConsumerSettled(())
