"""Clients that append typed events, to one stream or several, and that read by filter."""

from __future__ import annotations

from random import Random

import trio
from attrs import define, field

from sim.events.deeds import Appending
from sim.events.kinds import runs_of
from sim.events.load import RETRY_SECONDS, TENANT, EventsLoad
from vdb.client.client import Client
from vdb.client.values import StreamAppend
from vdb.errors import VerityError
from vdb.kernel.command import EMPTY, Expected, ExpectedKind

REST_SECONDS = 0.01


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
        load.writing += 1
        async with load.client(self.number) as client:
            if self.number == 0:
                await self._make_streams(client)
            await load.made.wait()
            while load.left > 0:
                load.left -= 1
                await self._append(client)
                if load.options.events_think_us:
                    await trio.sleep(self.random.randrange(load.options.events_think_us) / 1e6)
        load.writing -= 1

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
            appends = [
                StreamAppend(stream=stream, runs=runs_of(list(facts)), expected=conditions[stream])
                for stream, facts in parts.items()
            ]
            told = await client._rpc.append(TENANT, appends, timeout=RETRY_SECONDS)
            deed.offsets = {one.stream: one.first_offset for one in told}
            deed.position = told[0].position.number
            load.positions.append(deed.position)
            for one in told:
                load.heads[one.stream] = max(load.heads.get(one.stream, 0), one.next_offset)

        await load.recorded(deed, act)

    def _condition(self, stream: str) -> Expected:
        drawn = self.random.random()
        if drawn < 0.1:
            return Expected(ExpectedKind.EXACT, self.load.heads.get(stream, 0))
        return EMPTY if drawn < 0.13 else Expected()
