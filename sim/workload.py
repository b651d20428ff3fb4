"""The clients: several real ones on simulated links, doing what the seed's mix says, writing down what they are told.

Payloads are unique, so the checkers can tell whose each event is. A client knows the streams that it or another has
created; it never knows more about them than it was told.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import trio
from attrs import define, field

from sim.canary import ENTITIES, payload, stream_name, subject
from sim.history import AppendedTo, Call, History, Outcome, StreamKey
from sim.options import Options
from sim.raw_client import Connector, Connectors, open_session_raw, publish_raw, publish_twice
from sim.trace import Trace
from sim.verdict import Verdict
from vdb.client.client import Client
from vdb.client.gateway import Gateway
from vdb.client.values import EventRun, ReadPage, StreamAppend
from vdb.errors import (
    DefiniteError,
    IndefiniteError,
    SessionExpired,
    UnknownStream,
    UnknownTenant,
    VerityError,
    WrongExpectedOffset,
)
from vdb.kernel.command import EMPTY, Expected, ExpectedKind, Origin
from vdb.ports import Entropy
from vdb.types import GLOBAL_GROUP, Consistency, DataClass, GroupId, Position, ReadLevel

_STREAM_IS_AT = re.compile(r"\bat (\d+)")
FOLLOW_SECONDS = 0.5


@define
class Known:
    """What all clients know together."""

    streams: list[StreamKey] = field(factory=list)
    created: dict[StreamKey, int] = field(factory=dict)
    """Tick at which a client first was told that the stream exists."""
    heads: dict[StreamKey, int] = field(factory=dict)
    """The largest next offset that was told."""
    positions: dict[StreamKey, tuple[int, int]] = field(factory=dict)
    """Of the last append that was answered: the log's next position, and the stream's next offset there."""
    next_number: int = 0

    def told(self, stream: StreamKey, head: int) -> None:
        self.heads[stream] = max(self.heads.get(stream, 0), head)


@define(eq=False, kw_only=True)
class Workload:
    """`connectors` gives a client's ways to the nodes by its number; `learn` one to an address that it is told."""

    options: Options
    regions: Sequence[str]
    random: Random
    history: History
    verdict: Verdict
    trace: Trace
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    known: Known = field(factory=Known)
    calls_left: int = field(init=False)
    busy: int = 0
    """Requests on their way."""
    idle_ns: int = 0
    now_ns: Callable[[], int]
    retry_for: float = 60.0
    beside: list[Callable[[], float]] = field(factory=list)
    """Progress of the other workloads, beside these clients."""
    _idle_since: int = 0
    _answered: trio.Event = field(factory=trio.Event)
    _numbers: dict[int, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.calls_left = self.options.requests

    @property
    def progress(self) -> float:
        """Of all clients together, those of other workloads included."""
        own = 1.0 - self.calls_left / max(1, self.options.requests)
        return (own + sum(progress() for progress in self.beside)) / (1 + len(self.beside))

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; it is looked at whenever a request has ended."""
        while not holds():
            await self._answered.wait()

    async def run(self) -> None:
        """All clients until all requests are answered."""
        async with trio.open_nursery() as nursery:
            for number in range(self.options.clients):
                nursery.start_soon(self._run_client, number)

    async def _run_client(self, number: int) -> None:
        client = Client(
            self.connectors(number), entropy=self.entropy(number), retry_for=self.retry_for, connect_for=3600.0,
            learn=lambda address: self.learn(number, address),
        )  # fmt: skip
        async with client:
            actor = Actor(self, number, client._rpc, Random(f"{self.random.random()}/{number}"))
            if number == 0:
                await actor.create_first_streams()
            async with trio.open_nursery() as nursery:
                for _ in range(self.options.in_flight):
                    nursery.start_soon(actor.work)

    def tell(self) -> None:
        """Something has changed: wake who waits in `wait_until`."""
        answered, self._answered = self._answered, trio.Event()
        answered.set()

    def next_payload(self, client: int, group: str, random: Random, size: int = 0) -> bytes:
        number = self._numbers[client] = self._numbers.get(client, 0) + 1
        entity = random.randrange(ENTITIES)
        delete = random.random() < 0.1
        size = size or self.options.payload_size
        return payload(client=client, number=number, group=group, entity=entity, size=size, delete=delete)

    async def recorded(self, call: Call, act: Callable[[], Awaitable[None]]) -> None:
        """Run one request and write down how it ended. `act` fills in the call's answer."""
        if self.busy == 0:
            self.idle_ns += self.now_ns() - self._idle_since
        self.busy += 1
        try:
            await act()
            self.history.complete(call, Outcome.OK)
        except DefiniteError as error:
            call.refusal = f"{type(error).__name__}: {error}"
            self._note_refusal(call, error)
            self.history.complete(call, Outcome.REFUSED)
        except IndefiniteError as error:
            call.refusal = f"{type(error).__name__}: {error}"
            self.history.complete(call, Outcome.UNKNOWN)
        finally:
            self.busy -= 1
            if self.busy == 0:
                self._idle_since = self.now_ns()
        self.tell()
        self.trace.add(f"c{call.client}", call.kind, call.outcome.value, call.refusal, call.head, len(call.seen))

    def _note_refusal(self, call: Call, error: DefiniteError) -> None:
        streams = [part.stream for part in call.parts] or ([call.stream] if call.stream is not None else [])
        if isinstance(error, WrongExpectedOffset) and len(streams) == 1:
            found = _STREAM_IS_AT.search(str(error))
            if found:
                call.stream, call.refused_at = streams[0], int(found[1])
        if isinstance(error, (UnknownStream, UnknownTenant)) and call.kind != "read_stale":
            self.verdict.check(
                "I22",
                any(self.known.created.get(stream, call.invoked) >= call.invoked for stream in streams),
                f"client {call.client} was told {error} of a {call.kind}; a client had been told before that it exists",
            )


class Actor:
    """One client's requests."""

    def __init__(self, load: Workload, number: int, gateway: Gateway, random: Random) -> None:
        self.load = load
        self.number = number
        self.gateway = gateway
        self.random = random
        self.known = load.known
        self._acts: dict[str, Callable[[], Awaitable[None]]] = {
            "append": self._append,
            "append_many": self._append_many,
            "append_exact": self._append_exact,
            "append_empty": self._append_empty,
            "append_large": self._append_large,
            "create": self._create,
            "read": self._read,
            "follow": self._follow,
            "read_log": self._read_log,
            "read_stale": self._read_stale,
            "read_at_least": self._read_at_least,
            "twice": self._twice,
        }

    async def create_first_streams(self) -> None:
        """What the others start with. A refusal (a full disk, say) isn't the end: the next attempt has a new name."""
        for tenant in range(1, self.load.options.tenants + 1):
            wanted = len(self.known.streams) + self.load.options.streams
            while len(self.known.streams) < wanted:
                await self._create(tenant)
                await trio.sleep(0.001)

    async def work(self) -> None:
        """Requests until the run has had enough."""
        load, mix = self.load, self.load.options.mix
        await load.wait_until(lambda: bool(self.known.streams))
        while load.calls_left > 0:
            load.calls_left -= 1
            kind = self.random.choices(list(mix), list(mix.values()))[0]
            await self._acts[kind]()
            if load.options.think_us:
                await trio.sleep(self.random.randrange(load.options.think_us) / 1e6)

    # Writes ----------------------------------------------------------------------------------------------------

    @property
    def _in_session(self) -> bool:
        return self.number < self.load.options.session_clients

    def _stream(self) -> StreamKey:
        return self.random.choice(self.known.streams)

    def _runs(self, stream: StreamKey) -> tuple[EventRun, ...]:
        runs = []
        for _ in range(self.random.choice((1, 1, 1, 2))):
            count = self.random.randrange(1, self.load.options.events_per_run + 1)
            payloads = [self.load.next_payload(self.number, stream.group, self.random) for _ in range(count)]
            about = subject(self.random.randrange(5)) if self.random.random() < 0.5 else ""
            runs.append(EventRun(payloads=payloads, subject=about))
        return tuple(runs)

    async def _create(self, tenant: int = 0) -> None:
        known, random = self.known, self.random
        tenant = tenant or random.randrange(1, self.load.options.tenants + 1)
        region = self.load.regions[0] if len(self.load.regions) == 1 else random.choice(self.load.regions)
        data_class, group = random.choice(
            (
                (DataClass.PHI, region),
                (DataClass.NON_PHI, region),
                (DataClass.NON_PHI, GLOBAL_GROUP),
            )
        )
        known.next_number += 1
        stream = StreamKey(tenant, group, stream_name(known.next_number))
        if known.streams and random.random() < 0.3:
            stream = self._stream()
            data_class = random.choice((DataClass.PHI, DataClass.NON_PHI))
            if stream.group == GLOBAL_GROUP:
                data_class = DataClass.NON_PHI
        call = self.load.history.invoke(self.number, "create", stream=stream)

        async def act() -> None:
            await self.gateway.create_stream(
                stream.tenant, stream.name, data_class, stream.group,
                if_not_exists=random.random() < 0.7, timeout=self.load.retry_for,
            )  # fmt: skip

        await self.load.recorded(call, act)
        if call.outcome is Outcome.OK and stream not in known.created:
            known.created[stream] = self.load.history.tick()
            known.streams.append(stream)
            self.load.tell()

    async def _append(self) -> None:
        stream = self._stream()
        await (self._publish(stream, Expected()) if self._in_session else self._publish_without_session(stream))

    async def _append_exact(self) -> None:
        stream = self._stream()
        await self._publish(stream, Expected(ExpectedKind.EXACT, self.known.heads.get(stream, 0)))

    async def _append_empty(self) -> None:
        await self._publish(self.random.choice(self.known.streams[-3:]), EMPTY)

    async def _publish(self, stream: StreamKey, expected: Expected) -> None:
        await self._append_to([(stream, self._runs(stream), expected)])

    async def _append_many(self) -> None:
        first = self._stream()
        others = [s for s in self.known.streams if (s.tenant, s.group) == (first.tenant, first.group) and s != first]
        chosen = [first, *self.random.sample(others, min(len(others), self.random.randrange(1, 3)))]
        expected = [
            Expected(ExpectedKind.EXACT, self.known.heads.get(stream, 0)) if self.random.random() < 0.2 else Expected()
            for stream in chosen
        ]
        await self._append_to([(s, self._runs(s), e) for s, e in zip(chosen, expected, strict=True)])

    async def _append_large(self) -> None:
        """More than one prepare holds, in one stream or two, and now and then more than a transaction may."""
        limits, random = self.load.options.limits, self.random
        first = self._stream()
        others = [s for s in self.known.streams if (s.tenant, s.group) == (first.tenant, first.group) and s != first]
        chosen = [first, *random.sample(others, min(len(others), random.randrange(2)))]
        total = min(limits.body_size_max * random.uniform(1.0, 5.0), limits.transaction_size_max * 1.02)
        size = random.choice((200, 900, 3000))
        expected = Expected(ExpectedKind.EXACT, self.known.heads.get(first, 0)) if random.random() < 0.3 else Expected()
        wanted = []
        for stream in chosen:
            count = int(total / len(chosen) / size) + 1
            payloads = [self.load.next_payload(self.number, stream.group, random, size) for _ in range(count)]
            about = subject(random.randrange(5)) if random.random() < 0.5 else ""
            cut = random.randrange(count)
            runs = [EventRun(payloads=payloads[:cut], subject=about)] if cut else []
            runs.append(EventRun(payloads=payloads[cut:]))
            wanted.append((stream, tuple(runs), expected if stream == first else Expected()))
        await self._append_to(wanted)

    async def _append_events(self, stream: StreamKey, count: int, size: int) -> None:
        payloads = [self.load.next_payload(self.number, stream.group, self.random, size) for _ in range(count)]
        await self._append_to([(stream, (EventRun(payloads=payloads),), Expected())])

    async def _append_to(self, wanted: list[tuple[StreamKey, tuple[EventRun, ...], Expected]]) -> None:
        parts = tuple(AppendedTo(stream, _payloads(runs)) for stream, runs, _ in wanted)
        call = self.load.history.invoke(self.number, "append", parts=parts)

        async def act() -> None:
            appends = [StreamAppend(stream=stream.name, runs=runs, expected=e) for stream, runs, e in wanted]
            published = await self.gateway.append(wanted[0][0].tenant, appends, timeout=self.load.retry_for)
            call.parts = tuple(
                AppendedTo(part.stream, part.payloads, told.first_offset)
                for part, told in zip(parts, published, strict=True)
            )
            call.next_position = published[0].position.number
            for told, part in zip(published, parts, strict=True):
                self.known.told(part.stream, told.next_offset)
                self.known.positions[part.stream] = told.position.number, told.next_offset

        await self.load.recorded(call, act)

    async def _publish_without_session(self, stream: StreamKey) -> None:
        await self._publish_raw(stream, Origin())

    async def _publish_raw(self, stream: StreamKey, origin: Origin) -> None:
        payloads = _payloads(self._runs(stream))
        call = self.load.history.invoke(self.number, "append", parts=(AppendedTo(stream, payloads),))

        async def act() -> None:
            first, _ = await publish_raw(self._ways(stream), stream.tenant, stream.name, payloads, origin)
            call.parts = (AppendedTo(stream, payloads, first),)

        await self.load.recorded(call, act)

    async def _twice(self) -> None:
        """One request of a session of its own, sent twice: it must run once and be answered the same."""
        stream = self._stream()
        ways = self._ways(stream)
        client = self.random.randbytes(16)
        opening = self.load.history.invoke(self.number, "session")
        sessions: list[int] = []

        async def open_session() -> None:
            sessions.append(await open_session_raw(ways, client, stream.group))

        await self.load.recorded(opening, open_session)
        if not sessions:
            return
        payloads = _payloads(self._runs(stream))
        call = self.load.history.invoke(self.number, "append", parts=(AppendedTo(stream, payloads),))
        delay = self.random.choice((0.0, 0.0003, 0.003))

        async def act() -> None:
            outcomes = await publish_twice(
                ways, stream.tenant, stream.name, payloads, Origin(client, sessions[0], 1), delay
            )
            answers = [outcome for outcome in outcomes if not isinstance(outcome, VerityError)]
            refusals = [outcome for outcome in outcomes if isinstance(outcome, DefiniteError)]
            if len(answers) == 2:
                self.load.verdict.check("I20", answers[0] == answers[1], f"a request got two answers: {answers}")
            if answers:
                call.parts = (AppendedTo(stream, payloads, answers[0][0]),)
            elif len(refusals) == 2 and not any(isinstance(error, SessionExpired) for error in refusals):
                raise refusals[0]
            else:
                raise IndefiniteError(f"{outcomes}")

        await self.load.recorded(call, act)

    def _ways(self, stream: StreamKey) -> Connectors:
        """To all nodes that hold the stream's group, in a drawn order."""
        holders = self.load.options.places.founders(stream.group)
        ways = [way for node, way in enumerate(self.load.connectors(self.number).values()) if node in holders]
        return ways if len(ways) == 1 else self.random.sample(ways, len(ways))

    # Reads -----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        await self._read_page(self._stream(), 0.0)

    async def _follow(self) -> None:
        stream = self._stream()
        await self._read_page(stream, FOLLOW_SECONDS, self.known.heads.get(stream, 0))

    async def _read_stale(self) -> None:
        """What any node has: of the past, but true."""
        await self._read_page(self._stream(), 0.0, level=Consistency.STALE, kind="read_stale")

    async def _read_at_least(self) -> None:
        """What any node has that has come as far as an append whose answer is known."""
        known = list(self.known.positions)
        if not known:
            await self._read_stale()
            return
        stream = self.random.choice(known)
        position, head = self.known.positions[stream]
        call = await self._read_page(stream, 0.0, level=Position(GroupId(stream.group), position), kind="read_stale")
        self.load.verdict.check(
            "I22",
            call.head >= head if call.outcome is Outcome.OK else not call.refusal.startswith("Unknown"),
            f"{stream}: client {self.number} read at position {position}, where the stream has {head} events, and was "
            f"told that it has {call.head} {call.refusal}",
        )

    async def _read_page(
        self, stream: StreamKey, wait: float, start: int | None = None, maximum: int | None = None, *,
        level: ReadLevel = Consistency.LINEARIZABLE, kind: str = "read",
    ) -> Call:  # fmt: skip
        if start is None:
            start = self.random.randrange(self.known.heads.get(stream, 0) + 1)
        call = self.load.history.invoke(self.number, kind, stream=stream, from_offset=start)
        maximum = maximum or self.random.choice((1, 5, 1000))

        async def act() -> None:
            page = await self.gateway.read(
                stream.tenant, stream.name, start,
                max_events=maximum, wait=wait, ids_only=False, level=level, timeout=self.load.retry_for,
            )  # fmt: skip
            call.seen = page_payloads(page)
            call.head = page.head
            self.known.told(stream, page.head)

        await self.load.recorded(call, act)
        return call

    async def _read_log(self) -> None:
        stream = self._stream()
        start = self.random.randrange(200)
        call = self.load.history.invoke(self.number, "read_log", stream=stream, from_offset=start)

        async def act() -> None:
            page = await self.gateway.read_log(
                stream.tenant, GroupId(stream.group), start,
                max_events=1000, wait=0.0, level=Consistency.LINEARIZABLE, timeout=self.load.retry_for,
            )  # fmt: skip
            call.log = tuple(
                (run.first_position + index, run.stream, payload)
                for run in page.runs
                for index, payload in enumerate(run.payloads)
            )
            call.next_position = page.next

        await self.load.recorded(call, act)


def _payloads(runs: tuple[EventRun, ...]) -> tuple[bytes, ...]:
    return tuple(payload for run in runs for payload in run.payloads)


def page_payloads(page: ReadPage) -> tuple[bytes, ...]:
    return tuple(payload for run in page.runs for payload in run.payloads)
