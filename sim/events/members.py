"""Consumers: an operator who makes one and looks after its dead letters, and members that come, work, err and vanish.

A member mostly acks what it is given. Now and then it naks, extends, gives up, forgets, or takes longer than it may. It
leaves, or vanishes with what it holds, and another one comes in its place. When the writers are done the members go;
what is left over is drained by a last one, once nothing is broken any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import trio
from attrs import define, field

from sim.events.deeds import Act, ConsumerDeeds, ConsumerSpec, Delivered, Fate, Leaving, Letter, Letters, Settling
from sim.events.kinds import FAMILIES, PREFIX, TYPES, read_fact
from sim.events.load import RETRY_SECONDS, TENANT, EventsLoad
from vdb.client.client import Client
from vdb.client.consumer_gateway import ConsumerGateway, MemberLine
from vdb.consumers import ConsumerInfo, ConsumerSettings, OrderedBy, Settlement
from vdb.consumers import Verdict as Said
from vdb.errors import VerityError
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.types import Consistency, GroupId

FIRST_MEMBER = 20
"""Of the numbers of clients: those before are writers."""
WAIT_SECONDS = (0.0, 0.02, 0.3)
REST_SECONDS = 0.02
DRAIN_SECONDS = 0.05


def consumers_of(client: Client) -> ConsumerGateway:
    return client._rpc.consumers


def draw_spec(random: Random, number: int, ack_us: int) -> ConsumerSpec:
    """A consumer as a seed draws it."""
    return ConsumerSpec(
        name=f"worker-{number}",
        prefixes=random.choice(((PREFIX,), FAMILIES[:1], FAMILIES)),
        types=random.choice(((), (), TYPES[:1], TYPES[1:])),
        ack_us=ack_us,
        in_flight_max=random.choice((1, 3, 10, 1000)),
        member_max=random.choice((0, 0, 1, 4)),
        ordered_by=random.choice(("", "", "stream", "subject", "subject")),
        max_deliver=random.choice((0, 1, 2, 5)),
        backoff_us=random.choice((0, 1_000, 50_000)),
        backoff_max_us=random.choice((50_000, 200_000)),
        from_end=random.random() < 0.2,
    )


def settings_of(spec: ConsumerSpec) -> ConsumerSettings:
    return ConsumerSettings(
        filter=EventFilter(prefixes=spec.prefixes, types=spec.types),
        start=EventStart(StartKind.END if spec.from_end else StartKind.EDGE),
        ack_us=spec.ack_us,
        in_flight_max=spec.in_flight_max,
        member_in_flight_max=spec.member_max,
        ordered_by=OrderedBy[spec.ordered_by.upper() or "NOTHING"],
        max_deliver=spec.max_deliver,
        backoff_us=spec.backoff_us,
        backoff_max_us=spec.backoff_max_us,
    )


@define(eq=False)
class ConsumerLoad:
    """One consumer with its operator and members."""

    load: EventsLoad
    number: int
    random: Random
    deeds: ConsumerDeeds = field(init=False)
    made: trio.Event = field(factory=trio.Event)
    drained: bool = False
    _members: int = 0

    def __attrs_post_init__(self) -> None:
        spec = draw_spec(self.random, self.number, self.load.options.consumer_ack_us)
        self.deeds = self.load.deeds.consumers[spec.name] = ConsumerDeeds(spec=spec)

    @property
    def spec(self) -> ConsumerSpec:
        return self.deeds.spec

    @property
    def who(self) -> str:
        return f"w{self.number}"

    @property
    def group(self) -> GroupId:
        return GroupId(self.load.group)

    def line(self, client: Client, member: bytes) -> MemberLine:
        return consumers_of(client).line(TENANT, self.group, self.spec.name, member, self.spec.ack_us / 1e6)

    def new_number(self) -> int:
        """Of a client of ours that nobody else has."""
        self._members += 1
        return FIRST_MEMBER + 1000 * self.number + self._members

    async def run(self) -> None:
        """Until the writers are done."""
        await self.load.made.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._operate)
            for _ in range(self.load.options.consumer_members):
                nursery.start_soon(self._work)

    # The operator ----------------------------------------------------------------------------------------------

    async def _operate(self) -> None:
        random = self.random
        async with self.load.client(self.new_number()) as client:
            if self.spec.from_end:
                await trio.sleep(random.random())
            await self._make(client)
            self.made.set()
            while self.load.writing:
                await trio.sleep(0.2 * random.random())
                if random.random() < 0.5:
                    await self.list_letters(client, at_the_end=False)
                elif self.deeds.listed or random.random() < 0.1:
                    await self._settle_letters(client)

    async def _make(self, client: Client) -> None:
        """Ask until it is there; asking again for the same one is fine."""
        load = self.load
        self.deeds.start_least = load.head() if self.spec.from_end else 0
        while True:
            try:
                await consumers_of(client).create(
                    TENANT, self.group, self.spec.name, settings_of(self.spec), timeout=RETRY_SECONDS
                )
                break
            except VerityError as error:
                load.trace.add(self.who, "create", type(error).__name__, str(error))
                await trio.sleep(REST_SECONDS)
        self.deeds.start_most = load.head() if self.spec.from_end else 0
        load.trace.add(self.who, "created", self.deeds.start_least, self.deeds.start_most)

    async def list_letters(self, client: Client, *, at_the_end: bool) -> bool:
        """Whether they were told."""
        found: list[Letter] = []
        more, after = True, 0
        try:
            while more:
                letters, more = await consumers_of(client).dead_letters(
                    TENANT, self.group, self.spec.name, after, self.random.choice((1, 3, 1000)), timeout=RETRY_SECONDS
                )
                found += [
                    Letter(position=one.position, attempts=one.attempts, reason=one.reason) for one in letters
                ]  # fmt: skip
                more = more and bool(letters)
                after = found[-1].position + 1 if found else 0
        except VerityError as error:
            self.load.trace.add(self.who, "letters", type(error).__name__, str(error))
            return False
        self.deeds.listed.update((letter.position, letter) for letter in found)
        if at_the_end:
            self.deeds.last = found
        return True

    async def _settle_letters(self, client: Client) -> None:
        load, random = self.load, self.random
        known = sorted(self.deeds.listed)
        some = random.sample(known, min(len(known), 3))
        drop = bool(some) and random.random() < 0.3
        positions = tuple(some) if drop or random.random() < 0.7 else ()
        deed = Letters(
            who=self.who, asked=load.deeds.tick(), consumer=self.spec.name, positions=positions, drop=drop,
        )  # fmt: skip
        self.deeds.letters.append(deed)

        async def act() -> None:
            deed.count = await consumers_of(client).settle_dead_letters(
                TENANT, self.group, self.spec.name, positions,
                drop=deed.drop, actor=self.who, reason="a drill", timeout=RETRY_SECONDS,
            )  # fmt: skip

        await load.recorded(deed, act)

    # Members ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """One member after the other."""
        await self.made.wait()
        while self.load.writing:
            number = self.new_number()
            member = Member(self, number, Random(f"{self.random.random()}/{number}"))
            await member.live()
            await trio.sleep(REST_SECONDS * self.random.random())

    # The end ---------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take and ack everything that is left, then list what was given up."""
        async with self.load.client(self.new_number()) as client:
            member = Member(self, 0, Random(f"{self.random.random()}/drain"))
            line = self.line(client, member.id)
            while True:
                deliveries = await member.fetch(line, 100, 0.0)
                if deliveries:
                    await member.settle(line, deliveries, Act.ACK)
                elif not await self._is_drained(client):
                    await trio.sleep(DRAIN_SECONDS)
                elif await self.list_letters(client, at_the_end=True):
                    self.drained = True
                    return

    async def read_back(self) -> None:
        """After a restart of all, perhaps, letters are what they were, and nothing is left to hand out.

        Events that were under way when their clients went may have been committed since.
        """
        async with self.load.client(self.new_number()) as client:
            before = list(self.deeds.last)
            while True:
                if await self.list_letters(client, at_the_end=True):
                    break
                await trio.sleep(DRAIN_SECONDS)
            self.load.verdict.check(
                "C8",
                self.deeds.last == before,
                f"consumer {self.spec.name} had the dead letters {before}, and has {self.deeds.last} after a restart",
            )
            member = Member(self, 0, Random(f"{self.random.random()}/back"))
            deliveries = await member.fetch(self.line(client, member.id), 100, 0.0)
            again = [one for one in deliveries if one.position < self.deeds.drained_to]
            self.load.verdict.check("C6", not again, f"consumer {self.spec.name} was drained, and hands out {again}")

    async def _is_drained(self, client: Client) -> bool:
        info = await self.info(client)
        if info is None:
            return False
        self.load.trace.add(self.who, "drain", info.position, info.head, info.in_flight, info.waiting)
        if self.load.last(self.spec) >= info.position or info.in_flight or info.waiting:
            return False
        self.deeds.drained_to = info.position
        return True

    async def info(self, client: Client) -> ConsumerInfo | None:
        try:
            found = await consumers_of(client).infos(
                TENANT, self.group, self.spec.name, level=Consistency.LINEARIZABLE, timeout=RETRY_SECONDS
            )
        except VerityError as error:
            self.load.trace.add(self.who, "info", type(error).__name__, str(error))
            return None
        return found[0] if found else None


@define(eq=False)
class Member:
    """One member's life."""

    owner: ConsumerLoad
    number: int
    random: Random
    id: bytes = field(init=False)
    who: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.id = self.random.randbytes(16)
        self.who = f"{self.owner.who}.{self.number}"

    async def live(self) -> None:
        load = self.owner.load
        async with load.client(self.number) as client:
            line = self.owner.line(client, self.id)
            while load.writing:
                if self.random.random() < load.options.consumer_vanish:
                    load.trace.add(self.who, "vanishes")
                    return
                if self.random.random() < load.options.consumer_vanish:
                    break
                maximum, wait = self.random.choice((1, 3, 10, 100)), self.random.choice(WAIT_SECONDS)
                deliveries = await self.fetch(line, maximum, wait)
                await self._handle(line, deliveries)
                await trio.sleep(REST_SECONDS * self.random.random())
            await self._leave(line)

    async def fetch(self, line: MemberLine, maximum: int, wait: float) -> list[Delivered]:
        owner, load = self.owner, self.owner.load
        asked = load.deeds.tick()
        try:
            found = await line.fetch(maximum, wait, RETRY_SECONDS)
        except VerityError as error:
            load.trace.add(self.who, "fetch", type(error).__name__, str(error))
            return []
        told = load.deeds.tick()
        deliveries = []
        for one in found:
            fact = read_fact(one.event.payload)
            deliveries.append(
                Delivered(
                    consumer=owner.spec.name, member=self.id, position=one.event.position.number,
                    stream=one.event.stream, offset=one.event.offset, number=-1 if fact is None else fact.number,
                    attempt=one.attempt, deadline=one.deadline, asked=asked, told=told,
                )
            )  # fmt: skip
        owner.deeds.delivered += deliveries
        load.deeds.answered += 1
        load.trace.add(self.who, "fetch", *((one.position, one.attempt, one.deadline) for one in deliveries))
        load.tell()
        return deliveries

    async def _handle(self, line: MemberLine, deliveries: list[Delivered]) -> None:
        random, options = self.random, self.owner.load.options
        ack_us = self.owner.spec.ack_us
        good = [one for one in deliveries if random.random() >= options.consumer_faults]
        if good:
            if random.random() < 0.2:
                self._post(line, good)
            else:
                await self.settle(line, good, Act.ACK)
        for one in deliveries:
            if one in good:
                continue
            kind = random.choice(("nak", "nak", "back_off", "extend", "term", "forget", "slow", "twice"))
            if kind == "nak":
                await self.settle(line, [one], Act.NAK, micros=random.choice((0, 1_000, ack_us // 4, 3 * ack_us)))
            elif kind == "back_off":
                await self.settle(line, [one], Act.NAK, micros=-1)
            elif kind == "extend":
                await self.settle(line, [one], Act.EXTEND, micros=random.choice((0, ack_us // 2, 3 * ack_us)))
                if random.random() < 0.5:
                    await trio.sleep(1.2 * ack_us / 1e6 * random.random())
                    await self.settle(line, [one], Act.ACK)
            elif kind == "term":
                await self.settle(line, [one], Act.TERM, reason=f"{self.who} can't")
            elif kind == "slow":
                await trio.sleep(1.5 * ack_us / 1e6 * random.random())
                await self.settle(line, [one], Act.ACK)
            elif kind == "twice":
                await self.settle(line, [one], Act.ACK)
                await self.settle(line, [one], random.choice((Act.ACK, Act.NAK, Act.TERM)), reason="again")

    async def settle(
        self, line: MemberLine, deliveries: Sequence[Delivered], act: Act, *, micros: int = 0, reason: str = ""
    ) -> None:
        load = self.owner.load
        deeds = [self._deed(one, act, micros, reason) for one in deliveries]
        fate, refusal, late = Fate.DONE, "", []
        try:
            late = await line.settle([_settlement(deed) for deed in deeds], RETRY_SECONDS)
        except VerityError as error:
            fate, refusal = Fate.UNKNOWN, f"{type(error).__name__}: {error}"
        finally:
            load.trace.add(self.who, act.value, _positions(deeds), fate.value, refusal, tuple(late))
        for deed in deeds:
            deed.late = deed.position in late
            load.deeds.end(deed, fate, refusal)
        load.tell()

    def _post(self, line: MemberLine, deliveries: Sequence[Delivered]) -> None:
        """Ack, and don't wait for it: nobody knows what becomes of it."""
        deeds = [self._deed(one, Act.ACK, 0, "") for one in deliveries]
        try:
            line.post([_settlement(deed) for deed in deeds])
        except VerityError as error:
            self.owner.load.trace.add(self.who, "post", type(error).__name__)

    def _deed(self, delivered: Delivered, act: Act, micros: int, reason: str) -> Settling:
        deed = Settling(
            who=self.who, asked=self.owner.load.deeds.tick(), consumer=self.owner.spec.name, member=self.id,
            position=delivered.position, attempt=delivered.attempt, act=act, micros=micros, reason=reason,
        )  # fmt: skip
        self.owner.deeds.settled.append(deed)
        return deed

    async def _leave(self, line: MemberLine) -> None:
        load = self.owner.load
        deed = Leaving(who=self.who, asked=load.deeds.tick(), consumer=self.owner.spec.name, member=self.id)
        self.owner.deeds.left.append(deed)

        async def act() -> None:
            await line.leave(RETRY_SECONDS)

        await load.recorded(deed, act)


def _positions(deeds: Sequence[Settling]) -> tuple[int, ...]:
    return tuple(deed.position for deed in deeds)


def _settlement(deed: Settling) -> Settlement:
    return Settlement(
        position=deed.position, attempt=deed.attempt, verdict=Said[deed.act.name], delay_us=deed.micros,
        reason=deed.reason,
    )  # fmt: skip
