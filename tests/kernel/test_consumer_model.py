"""Consumer groups against a plain model: a list of events, each with what has become of it."""

from __future__ import annotations

import pytest
from attrs import define, evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vdb.kernel import consumer_rules, consumers
from vdb.kernel.apply import apply_committed
from vdb.kernel.consumer_command import (
    ConsumerCommand,
    ConsumerFetch,
    ConsumerLeave,
    ConsumerSettle,
    ConsumerTerms,
    CreateConsumer,
    SettleLetters,
    SettleOne,
    Verdict,
)
from vdb.kernel.consumer_rules import backoff_us
from vdb.kernel.reply import ConsumerFetched, ConsumerLeft, ConsumerSettled, LettersSettled, Reply
from vdb.kernel.state import State
from vdb.types import GroupId, TenantId

TENANT = TenantId(1)
LOOKUP = b"L" * 32
MEMBERS = (b"anna" * 4, b"ben." * 4, b"eve." * 4)
KEPT_MAX = 3
HELD_MAX = 2
REGION = GroupId("eu-west-1")


@pytest.fixture(autouse=True)
def few_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_rules, "HELD_MAX", HELD_MAX)
    monkeypatch.setattr(consumer_rules, "KEPT_MAX", KEPT_MAX)
    monkeypatch.setattr(consumers, "KEPT_MAX", KEPT_MAX)


@define
class Event:
    """What has become of an event: new, out, waiting, acked or dead."""

    position: int
    key: int
    status: str = "new"
    member: bytes = b""
    attempt: int = 0
    due: int = 0

    @property
    def is_kept(self) -> bool:
        return self.status in ("out", "waiting")


class Model:
    """Each rule as it reads, with no thought of cost."""

    def __init__(self, terms: ConsumerTerms) -> None:
        self.terms = terms
        self.events: list[Event] = []
        self.cursor = 0

    def fail(self, event: Event, due: int) -> None:
        event.member = b""
        last = self.terms.max_deliver and event.attempt >= self.terms.max_deliver
        event.status, event.due = ("dead", 0) if last else ("waiting", due)

    def may_go_out(self, event: Event) -> bool:
        if not self.terms.ordered_by:
            return True
        others = [one for one in self.events if one is not event and one.is_kept and one.key == event.key]
        return not any(one.status == "out" or one.position < event.position for one in others)

    def room(self, member: bytes) -> bool:
        out = [event for event in self.events if event.status == "out"]
        mine = [event for event in out if event.member == member]
        most = self.terms.member_in_flight_max or len(self.events)
        return len(out) < self.terms.in_flight_max and len(mine) < most

    def fetch(self, member: bytes, count_max: int, scanned_to: int, now: int) -> list[tuple[int, int]]:
        for event in self.events:
            if event.status == "out" and event.due <= now:
                self.fail(event, event.due)
        deliveries: list[tuple[int, int]] = []

        def deliver(event: Event) -> None:
            event.status, event.member, event.attempt = "out", member, event.attempt + 1
            event.due = now + self.terms.ack_us
            deliveries.append((event.position, event.attempt))

        for event in self.events:
            ready = event.status == "waiting" and event.due <= now and self.may_go_out(event)
            if ready and len(deliveries) < count_max and self.room(member):
                deliver(event)
        for event in self.events[self.cursor : scanned_to]:
            kept = sum(one.is_kept for one in self.events)
            if len(deliveries) >= count_max or not self.room(member) or kept >= self.terms.in_flight_max + KEPT_MAX:
                return deliveries
            if self.may_go_out(event):
                deliver(event)
            elif sum(one.status == "waiting" and not one.attempt for one in self.events) >= HELD_MAX:
                return deliveries
            else:
                event.status = "waiting"
            self.cursor += 1
        return deliveries


class ConsumerMachine(RuleBasedStateMachine):
    @initialize(
        in_flight=st.integers(1, 6),
        member=st.integers(0, 3),
        ordered=st.integers(0, 2),
        deliver=st.integers(0, 3),
    )
    def begin(self, in_flight: int, member: int, ordered: int, deliver: int) -> None:
        terms = ConsumerTerms(
            ack_us=1000,
            in_flight_max=in_flight,
            member_in_flight_max=member,
            ordered_by=ordered,
            max_deliver=deliver,
            backoff_us=200,
            backoff_max_us=500,
        )
        self.model = Model(terms)
        self.now = 10_000
        self.state = State.empty(REGION, 4)
        self.acked = self.delivered = 0
        self.apply(
            CreateConsumer(tenant=TENANT, lookup=LOOKUP, terms=terms, start=0, fingerprint=b"F" * 32, sealed=b"s")
        )

    def apply(self, command: ConsumerCommand) -> Reply:
        self.now += 1
        self.state, _, reply = apply_committed(self.state, command, self.now)
        return reply

    @rule(keys=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def append(self, keys: list[int]) -> None:
        first = len(self.model.events)
        ordered = bool(self.model.terms.ordered_by)
        self.model.events += [Event(first + index, key if ordered else 0) for index, key in enumerate(keys)]
        self.state = evolve(self.state, next_position=len(self.model.events))

    @rule(member=st.sampled_from(MEMBERS), count_max=st.integers(1, 6), behind=st.integers(0, 3))
    def fetch(self, member: bytes, count_max: int, behind: int) -> None:
        model = self.model
        scanned_to = max(model.cursor, len(model.events) - behind)
        candidates = tuple((event.position, event.key) for event in model.events[model.cursor : scanned_to])
        reply = self.apply(
            ConsumerFetch(
                tenant=TENANT,
                lookup=LOOKUP,
                member=member,
                count_max=count_max,
                scanned_from=model.cursor,
                scanned_to=scanned_to,
                candidates=candidates,
            )
        )
        expected = model.fetch(member, count_max, scanned_to, self.now)
        assert isinstance(reply, ConsumerFetched)
        assert list(reply.deliveries) == expected
        assert reply.deadline == self.now + model.terms.ack_us
        self.delivered += len(expected)

    @rule(
        member=st.sampled_from(MEMBERS),
        picks=st.lists(
            st.tuples(st.integers(0, 30), st.sampled_from(Verdict), st.sampled_from((-1, 0, 100, 2000))), max_size=4
        ),
        stale=st.booleans(),
    )
    def settle(self, member: bytes, picks: list[tuple[int, Verdict, int]], stale: bool) -> None:
        model = self.model
        if not model.events:
            return
        asked = [(model.events[pick % len(model.events)], verdict, amount) for pick, verdict, amount in picks]
        settlements = tuple(
            SettleOne(event.position, max(0, event.attempt - stale), verdict, amount)
            for event, verdict, amount in asked
        )
        reply = self.apply(ConsumerSettle(tenant=TENANT, lookup=LOOKUP, member=member, settlements=settlements))
        late = []
        for (event, verdict, amount), one in zip(asked, settlements, strict=True):
            if event.status != "out" or event.member != member or event.attempt != one.attempt:
                late.append(event.position)
            else:
                self.answer(event, verdict, amount)
        assert reply == ConsumerSettled(tuple(late))

    def answer(self, event: Event, verdict: Verdict, amount: int) -> None:
        terms = self.model.terms
        if verdict is Verdict.ACK:
            event.status = "acked"
            self.acked += 1
        elif verdict is Verdict.NAK:
            pause = amount if amount >= 0 else backoff_us(terms, LOOKUP, event.position, event.attempt)
            self.model.fail(event, self.now + pause)
        elif verdict is Verdict.EXTEND:
            event.due = self.now + (amount if amount > 0 else terms.ack_us)
        elif verdict is Verdict.UNTRIED:
            event.status, event.member, event.due = "waiting", b"", self.now
            event.attempt -= 1
        else:
            event.status = "dead"

    @rule(member=st.sampled_from(MEMBERS))
    def leave(self, member: bytes) -> None:
        given = [event for event in self.model.events if event.status == "out" and event.member == member]
        reply = self.apply(ConsumerLeave(tenant=TENANT, lookup=LOOKUP, member=member))
        for event in given:
            self.model.fail(event, self.now)
        assert reply == ConsumerLeft(len(given))

    @precondition(lambda self: any(event.status == "dead" for event in self.model.events))
    @rule(drop=st.booleans(), every=st.integers(1, 2))
    def settle_letters(self, drop: bool, every: int) -> None:
        model = self.model
        dead = [event for event in model.events if event.status == "dead"][::every]
        room = model.terms.in_flight_max + KEPT_MAX - sum(event.is_kept for event in model.events)
        chosen = dead if drop else dead[: max(0, room)]
        positions = tuple(event.position for event in dead)
        reply = self.apply(SettleLetters(tenant=TENANT, lookup=LOOKUP, positions=positions, drop=drop))
        assert reply == LettersSettled(len(chosen))
        for event in chosen:
            event.status, event.attempt, event.due = ("dropped" if drop else "waiting"), 0, 0

    @rule(pause=st.sampled_from((50, 300, 1500)))
    def wait(self, pause: int) -> None:
        self.now += pause

    @rule()
    def restart(self) -> None:
        """A checkpoint, and the state that is read back from it."""
        rows = [(table, key, value) for table, found in self.state.tables().items() for key, value in found.items()]
        again = State.from_rows(REGION, 4, rows)
        assert again.digest() == self.state.digest()
        self.state = again

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "model"):
            return
        work, events = self.state.work(TENANT, LOOKUP), self.model.events
        assert work.cursor == self.model.cursor
        assert [entry[0] for entry in work.entries] == [event.position for event in events if event.is_kept]
        assert self.state.dead_letters(TENANT, LOOKUP) == [one.position for one in events if one.status == "dead"]
        assert work.letters == sum(event.status == "dead" for event in events)
        assert (work.acked, work.delivered) == (self.acked, self.delivered)
        assert all(event.status == "new" for event in events[work.cursor :])
        assert not any(event.status == "new" for event in events[: work.cursor])

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "model"):
            return
        terms = self.model.terms
        out = [entry for entry in self.state.work(TENANT, LOOKUP).entries if entry[3]]
        assert len(out) <= terms.in_flight_max
        assert not terms.max_deliver or all(entry[2] <= terms.max_deliver for entry in out)
        if terms.ordered_by:
            keys = [entry[4] for entry in out]
            assert len(dict.fromkeys(keys)) == len(keys)
        if terms.member_in_flight_max:
            for member in MEMBERS:
                assert sum(entry[3] == member for entry in out) <= terms.member_in_flight_max


ConsumerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestConsumerMachine = ConsumerMachine.TestCase
