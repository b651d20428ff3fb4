"""Clients that append typed events, to one stream or several, and that read by filter."""

from __future__ import annotations

from random import Random

import trio
from attrs import define, field

from sim.events.auditors import Auditor
from sim.events.deeds import Appending, RowsRead
from sim.events.kinds import Fact, runs_of
from sim.events.load import RETRY_SECONDS, TENANT, EventsLoad
from sim.events.projecting import NAME, TABLE
from sim.events.readers import Reader
from sim.events.resending import send_again
from vdb.client.client import Client
from vdb.client.stream_events import StreamEvents
from vdb.client.values import StreamAppend
from vdb.errors import VerityError
from vdb.kernel.command import EMPTY, Expected, ExpectedKind
from vdb.types import GroupId

REST_SECONDS = 0.01
ROWS_SECONDS = 10.0


@define(eq=False)
class Writer:
    load: EventsLoad
    number: int
    random: Random
    who: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.who = f"e{self.number}"

    async def run(self) -> None:
        """Deeds until the run has had enough. The first client makes the streams."""
        load = self.load
        async with load.client(self.number) as client:
            if self.number == 0:
                await self._make_streams(client)
            await load.made.wait()
            while load.left > 0:
                load.left -= 1
                await self._do(client)
                if load.options.events_think_us:
                    await trio.sleep(self.random.randrange(load.options.events_think_us) / 1e6)
        load.end_writing()

    async def _make_streams(self, client: Client) -> None:
        load = self.load
        for name in load.streams:
            while True:
                try:
                    await client._rpc.create_stream(
                        TENANT, name, load.data_class, load.group, if_not_exists=True, timeout=RETRY_SECONDS
                    )
                    break
                except VerityError as error:
                    load.trace.add(self.who, "create", type(error).__name__)
                    await trio.sleep(REST_SECONDS)
        load.made.set()

    async def _do(self, client: Client) -> None:
        mix = self.load.options.events_mix
        kind = self.random.choices(list(mix), list(mix.values()))[0]
        if kind == "again":
            await send_again(self.load, self.random, self.who)
            return
        reader = Reader(self.load, self.who, self.random)
        acts = {
            "append": self._append, "rows": self._read_rows, "read": reader.read, "follow": reader.follow,
            "aggregate": reader.aggregate, "audit": Auditor(self.load, self.who, self.random).audit,
        }  # fmt: skip
        await acts[kind](client)

    async def _append(self, client: Client) -> None:
        load, random = self.load, self.random
        count = random.choice((1, 1, 1, 2)) if load.options.events_streams > 1 else 1
        streams = random.sample(load.streams, count)
        parts = {
            stream: load.new_facts(random, random.randrange(1, load.options.events_per_append + 1), self.who)
            for stream in streams
        }
        conditions = {stream: self._condition(stream) for stream in streams}
        deed = Appending(who=self.who, asked=load.deeds.tick(), parts=parts)
        load.deeds.appends.append(deed)

        async def act() -> None:
            told = await client.append(
                [self._encoded(stream, list(facts), conditions[stream]) for stream, facts in parts.items()]
            )
            deed.offsets = {one.stream: one.first_offset for one in told}
            deed.position, deed.life = told[0].position.number, load.life
            load.positions.append(deed.position)
            for one in told:
                load.heads[one.stream] = max(load.heads.get(one.stream, 0), one.next_offset)

        await load.recorded(deed, act)

    def _encoded(self, stream: str, facts: list[Fact], condition: Expected) -> StreamEvents | StreamAppend:
        """As events of their classes, or as the bytes that an older program would send."""
        if any(fact.old for fact in facts) or self.random.random() < 0.3:
            return StreamAppend(stream=stream, runs=runs_of(facts), expected=condition)
        return StreamEvents(stream, [fact.event() for fact in facts], expected=condition)

    async def _read_rows(self, client: Client) -> None:
        deed = RowsRead(who=self.who, asked=self.load.deeds.tick(), projection=NAME)
        self.load.deeds.rows.append(deed)

        async def act() -> None:
            found = await client._rpc.rows(TENANT, NAME, TABLE, where={}, order_by=(), limit=1000, timeout=ROWS_SECONDS)
            places = {place.group: place.number for place in found.position}
            deed.rows, deed.position = tuple(tuple(row) for row in found.rows), places.get(GroupId(self.load.group), 0)
            deed.life = self.load.life

        await self.load.recorded(deed, act)

    def _condition(self, stream: str) -> Expected:
        drawn = self.random.random()
        if drawn < 0.1:
            return Expected(ExpectedKind.EXACT, self.load.heads.get(stream, 0))
        return EMPTY if drawn < 0.13 else Expected()
