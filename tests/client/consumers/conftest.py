"""Consumer groups for the fake node, and a clock that jumps to where something happens: no test waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field, frozen

import vdb
from vdb.client.client import Client
from vdb.consumers import (
    ConsumerInfo,
    ConsumerSettings,
    DeadLetterInfo,
    Delivered,
    MemberInfo,
    Settlement,
    Verdict,
)
from vdb.errors import ConsumerExists, TooLarge, UnknownConsumer
from vdb.events import encode_event
from vdb.rpc.server import IncomingCall
from vdb.selection import EventRecord
from vdb.types import DataClass, GroupId, Position
from vdb.wire import consumer_api
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_envelope

GROUP = GroupId("ap-southeast-2")
TICK = 0.01


@vdb.event("consumer-test-booked")
@frozen(kw_only=True)
class Booked:
    patient: str


@define
class Out:
    """A delivery that isn't settled."""

    member: bytes
    attempt: int
    due: float


@define
class FakeGroup:
    """One consumer group: a plain model of what the interface promises, without order by key."""

    settings: ConsumerSettings
    cursor: int = 0
    out: dict[int, Out] = field(factory=dict)
    waiting: dict[int, tuple[int, float]] = field(factory=dict)
    """By position: attempts made, and when it is due."""
    letters: dict[int, DeadLetterInfo] = field(factory=dict)
    acked: list[int] = field(factory=list)
    delivered: int = 0
    left: int = 0


class FakeConsumers:
    """Answers the calls of consumers for a `FakeNode`. Positions count the events from 0; all are of one stream."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.groups: dict[str, FakeGroup] = {}
        self.events: list[tuple[bytes, int]] = []
        """Payloads and schema ids."""
        self.settled: list[list[Settlement]] = []
        """What came in each call."""
        self.fetched: list[int] = []
        """How many deliveries were asked for in each call."""
        self.deeds: list[tuple[list[int], bool, str, str]] = []
        self.refusals: list[Exception] = []
        """What the next calls of members are refused with."""
        self.settlements_max = 1000
        self.asked_again = 0
        self.lose_fetches = 0
        """So many fetches that found something are answered by cutting the connection."""
        for name in (
            "consumerCreate",
            "consumerFetch",
            "consumerSettle",
            "consumerLeave",
            "consumerList",
            "consumerDelete",
            "deadLetters",
            "deadLettersSettle",
            "read",
        ):
            setattr(node, f"on_{name}", partial(self._answer, getattr(self, name)))

    def share(self, other: FakeConsumers) -> None:
        """Know what another one knows."""
        self.groups, self.events, self.settled = other.groups, other.events, other.settled

    def _answer(self, handler: Callable[[IncomingCall], None], call: IncomingCall, params: Any) -> None:
        del params
        handler(call)

    def add(self, *patients: str) -> None:
        """Append events of the registered type."""
        for patient in patients:
            payload = encode_event(Booked(patient=patient), event_id=b"%016d" % len(self.events), time=7)
            self.events.append((payload, ENVELOPE_SCHEMA))

    def add_unknown(self, type_name: str) -> None:
        self.add_body(type_name, 1, b"{}")

    def add_body(self, type_name: str, version: int, body: bytes) -> None:
        envelope = EventEnvelope(event_id=b"u" * 16, type=type_name, version=version, time=7, body=body)
        self.events.append((encode_envelope(envelope), ENVELOPE_SCHEMA))

    def add_opaque(self, payload: bytes) -> None:
        self.events.append((payload, 0))

    def record(self, position: int) -> EventRecord:
        payload, schema_id = self.events[position]
        return EventRecord(
            stream="visits",
            offset=position,
            position=Position(GROUP, position),
            time=1000 + position,
            payload=payload,
            event_id=None,
            schema_id=schema_id,
            data_class=DataClass.PHI,
        )

    # -- the calls

    def consumerCreate(self, call: IncomingCall) -> None:
        name, settings = call.params.consumer, consumer_api.settings_from(call.params.settings)

        def execute() -> Callable[[Any], None]:
            found = self.groups.get(name)
            if found is not None and found.settings != settings:
                raise ConsumerExists(f"tenant 1 has a consumer '{name}' already, with other settings")
            self.groups.setdefault(name, FakeGroup(settings))
            return lambda results: setattr(results, "created", found is None)

        self.node._write(call, call.params.origin, execute)

    def consumerFetch(self, call: IncomingCall) -> None:
        params = call.params
        name, member, most, wait = params.consumer, bytes(params.member), params.max, params.waitMicros / 1e6
        held = list(params.held) if params.again else None
        self.fetched.append(most)

        async def run() -> None:
            if self.refusals:
                call.fail(self.refusals.pop(0))
                return
            found: list[Delivered] = []
            if held is not None:
                found = self._missed(self._group(name), member, held, most)
            with trio.move_on_after(wait):
                while not found:
                    found = self._deliver(self._group(name), member, most)
                    if not found:
                        await trio.sleep(TICK)
            if not found:
                found = self._deliver(self._group(name), member, most)
            if found and self.lose_fetches:
                self.lose_fetches -= 1
                self.node.cut()
                return
            call.respond(lambda results: consumer_api.deliveries_into(results, found))

        call.start_soon(run)

    def _group(self, name: str) -> FakeGroup:
        found = self.groups.get(name)
        if found is None:
            raise UnknownConsumer(f"tenant 1 has no consumer '{name}' in group {GROUP}")
        return found

    def _deliver(self, group: FakeGroup, member: bytes, most: int) -> list[Delivered]:
        now, settings = trio.current_time(), group.settings
        for position, out in list(group.out.items()):
            if out.due <= now:
                del group.out[position]
                self._again(group, position, out.attempt, 0.0, "")
        chosen: list[tuple[int, int]] = []
        for position, (attempt, due) in sorted(group.waiting.items()):
            if due <= now and len(chosen) < most:
                del group.waiting[position]
                chosen.append((position, attempt + 1))
        while group.cursor < len(self.events) and len(chosen) < most:
            if len(group.out) + len(chosen) >= settings.in_flight_max:
                break
            chosen.append((group.cursor, 1))
            group.cursor += 1
        due = now + settings.ack_us / 1e6
        for position, attempt in chosen:
            group.out[position] = Out(member, attempt, due)
        group.delivered += len(chosen)
        return [
            Delivered(event=self.record(position), attempt=attempt, deadline=int(due * 1e6))
            for position, attempt in chosen
        ]

    def _missed(self, group: FakeGroup, member: bytes, held: list[int], most: int) -> list[Delivered]:
        self.asked_again += 1
        mine = [position for position, out in group.out.items() if out.member == member and position not in held]
        return [
            Delivered(
                event=self.record(position),
                attempt=group.out[position].attempt,
                deadline=int(group.out[position].due * 1e6),
            )
            for position in mine[:most]
        ]

    def _again(self, group: FakeGroup, position: int, attempt: int, delay: float, reason: str) -> None:
        if reason or (group.settings.max_deliver and attempt >= group.settings.max_deliver):
            group.letters[position] = DeadLetterInfo(
                position=position, stream="visits", offset=position, attempts=attempt, time=9, reason=reason
            )
        else:
            group.waiting[position] = (attempt, trio.current_time() + delay)

    def consumerSettle(self, call: IncomingCall) -> None:
        name, member = call.params.consumer, bytes(call.params.member)
        settlements = consumer_api.settlements_from(call.params)

        def execute() -> Callable[[Any], None]:
            if self.refusals:
                raise self.refusals.pop(0)
            if len(settlements) > self.settlements_max:
                raise TooLarge("the request is too large")
            self.settled.append(settlements)
            group, late = self._group(name), []
            for settlement in settlements:
                out = group.out.get(settlement.position)
                if out is None or (out.member, out.attempt) != (member, settlement.attempt):
                    late.append(settlement.position)
                else:
                    self._settle(group, settlement, out)
            return lambda results: setattr(results, "late", late)

        self.node._write(call, call.params.origin, execute)

    def _settle(self, group: FakeGroup, settlement: Settlement, out: Out) -> None:
        position = settlement.position
        if settlement.verdict is Verdict.EXTEND:
            out.due = trio.current_time() + (settlement.delay_us or group.settings.ack_us) / 1e6
            return
        del group.out[position]
        if settlement.verdict is Verdict.ACK:
            group.acked.append(position)
        elif settlement.verdict is Verdict.TERM:
            self._again(group, position, out.attempt, 0.0, settlement.reason)
        elif settlement.verdict is Verdict.UNTRIED:
            self._again(group, position, out.attempt - 1, 0.0, "")
        else:
            delay_us = group.settings.backoff_us if settlement.delay_us < 0 else settlement.delay_us
            self._again(group, position, out.attempt, delay_us / 1e6, "")

    def consumerLeave(self, call: IncomingCall) -> None:
        name, member = call.params.consumer, bytes(call.params.member)

        def execute() -> Callable[[Any], None]:
            group = self._group(name)
            group.left += 1
            mine = [position for position, out in group.out.items() if out.member == member]
            for position in mine:
                self._again(group, position, group.out.pop(position).attempt, 0.0, "")
            return lambda results: setattr(results, "returned", len(mine))

        self.node._write(call, call.params.origin, execute)

    def consumerList(self, call: IncomingCall) -> None:
        names = [call.params.consumer] if call.params.consumer else list(self.groups)
        infos = [self._info(name) for name in names]
        call.respond(lambda results: consumer_api.infos_into(results, infos))

    def _info(self, name: str) -> ConsumerInfo:
        group = self._group(name)
        members: dict[bytes, int] = {}
        for out in group.out.values():
            members[out.member] = members.get(out.member, 0) + 1
        return ConsumerInfo(
            name=name,
            group=GROUP,
            settings=group.settings,
            position=group.cursor,
            head=len(self.events),
            in_flight=len(group.out),
            waiting=len(group.waiting),
            dead_letters=len(group.letters),
            acked=len(group.acked),
            delivered=group.delivered,
            created_at=5,
            members=tuple(MemberInfo(id=member, in_flight=count) for member, count in members.items()),
        )

    def consumerDelete(self, call: IncomingCall) -> None:
        name = call.params.consumer

        def execute() -> Callable[[Any], None]:
            deleted = self.groups.pop(name, None) is not None
            return lambda results: setattr(results, "deleted", deleted)

        self.node._write(call, call.params.origin, execute)

    def deadLetters(self, call: IncomingCall) -> None:
        group, after = self._group(call.params.consumer), call.params.after
        letters = [group.letters[position] for position in sorted(group.letters) if position >= after]
        page = letters[:2]

        def build(results: Any) -> None:
            consumer_api.letters_into(results, page)
            results.more = len(letters) > len(page)

        call.respond(build)

    def deadLettersSettle(self, call: IncomingCall) -> None:
        params = call.params
        name, positions, drop = params.consumer, list(params.positions), params.drop
        deed = (positions, drop, params.actor, params.reason)

        def execute() -> Callable[[Any], None]:
            self.deeds.append(deed)
            group = self._group(name)
            chosen = [position for position in positions or list(group.letters) if position in group.letters]
            for position in chosen:
                del group.letters[position]
                if not drop:
                    group.waiting[position] = (0, trio.current_time())
            return lambda results: setattr(results, "count", len(chosen))

        self.node._write(call, params.origin, execute)

    def read(self, call: IncomingCall) -> None:
        offset = call.params.fromOffset
        record = self.record(offset)

        def build(results: Any) -> None:
            (run,) = results.init("runs", 1)
            run.stream, run.firstOffset, run.firstPosition, run.time = "visits", offset, offset, record.time
            run.payloads, run.schemaId, run.dataClass, run.count = [record.payload], record.schema_id, 1, 1
            results.nextOffset, results.head = offset + 1, len(self.events)

        call.respond(build)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Trio with a clock that jumps."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.fixture
def fake_consumers() -> type[FakeConsumers]:
    """What makes consumers for a fake node."""
    return FakeConsumers


@pytest.fixture
def fake(node: Any) -> FakeConsumers:
    """The consumers of the fake node."""
    node.streams["visits"] = type("Stream", (), {"placement": GROUP, "data_class": 1, "payloads": [], "ids": []})()
    return FakeConsumers(node)


@pytest.fixture
def running(node: Any, fake: FakeConsumers, make_client: Callable[..., Client]) -> Any:
    """A client of the fake node, within a block."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Client]:
        with trio.fail_after(10_000):
            async with trio.open_nursery() as nursery:
                await nursery.start(node.run)
                async with make_client(**settings) as client:
                    yield client
                nursery.cancel_scope.cancel()

    return run
