"""Reading typed events: by filter, forward and backward, from some place, from history into what is live; folded."""

from __future__ import annotations

from random import Random
from typing import Any

import trio
from attrs import define

from sim.events.deeds import Folding, Reading, Seen
from sim.events.kinds import CLASSES, FAMILIES, PREFIX, TYPES, Story, told_fact
from sim.events.load import EventsLoad
from vdb.client.client import Client
from vdb.types import Consistency, GroupId, Position

FOLLOW_SECONDS = 0.4


@define(eq=False)
class Reader:
    load: EventsLoad
    who: str
    random: Random

    async def read(self, client: Client) -> None:
        """To where nothing more is for now, or up to so many."""
        await self._read(client, self._draw(backward=self.random.random() < 0.4))

    async def follow(self, client: Client) -> None:
        """For a while."""
        deed = self._draw(backward=False)
        deed.follows = True
        await self._read(client, deed)

    async def aggregate(self, client: Client) -> None:
        """Twice, now and then: then what was kept of the first time is used."""
        load, random = self.load, self.random
        stream = random.choice(load.streams)
        for _ in range(random.choice((1, 2))):
            at = random.randrange(load.heads.get(stream, 0) + 1) if random.random() < 0.4 else -1
            deed = Folding(who=self.who, asked=load.deeds.tick(), stream=stream, at=at)
            load.deeds.foldings.append(deed)

            async def act(deed: Folding = deed) -> None:
                story, following = await client.aggregate(Story, deed.stream, at=None if deed.at < 0 else deed.at)
                deed.events, deed.chain, deed.next_offset = story.events, story.chain, following

            await load.recorded(deed, act)

    def _draw(self, *, backward: bool) -> Reading:
        load, random = self.load, self.random
        deed = Reading(who=self.who, asked=0, backward=backward)
        if random.random() < 0.4:
            deed.stream = random.choice(load.streams)
        else:
            deed.prefixes = random.choice(((PREFIX,), FAMILIES[:1], FAMILIES))
        deed.types = random.choice(((), (), TYPES[:1], TYPES[1:]))
        kinds = ["", "position"] + (["offset"] if deed.stream else []) + (["time"] if load.times else [])
        deed.start = random.choice(kinds)
        if deed.start == "offset":
            deed.place = random.randrange(load.heads.get(deed.stream, 0) + 2)
        elif deed.start == "position":
            deed.place = random.randrange(max([*load.positions, 0]) + 2)
        elif deed.start == "time":
            deed.place = random.choice(sorted(load.times.values())) + random.choice((-1, 0, 1))
        deed.most = random.choice((0, 0, 1, 5))
        deed.stale = random.random() < 0.2
        return deed

    async def _read(self, client: Client, deed: Reading) -> None:
        load = self.load
        deed.asked = load.deeds.tick()
        load.deeds.reads.append(deed)

        async def act() -> None:
            with trio.move_on_after(FOLLOW_SECONDS if deed.follows else float("inf")):
                async for one in client.read_events(**self._arguments(deed)):
                    told = told_fact(one.event)
                    deed.seen.append(
                        Seen(
                            position=one.position.number, stream=one.stream, offset=one.offset, time=one.time,
                            event_id=one.event_id, actor=one.actor, subject=one.subject, told=told,
                        )
                    )  # fmt: skip
                    load.times[one.position.number] = one.time

        await load.recorded(deed, act)
        load.trace.add(self.who, "read", len(deed.seen), deed.start, deed.place)

    def _arguments(self, deed: Reading) -> dict[str, Any]:
        group = self.load.group
        types = [CLASSES[type] if self.random.random() < 0.5 else type for type in deed.types]
        arguments: dict[str, Any] = {
            "types": types, "backward": deed.backward, "follow": deed.follows, "max_events": deed.most or None,
            "consistency": Consistency.STALE if deed.stale else Consistency.LINEARIZABLE,
        }  # fmt: skip
        if deed.stream:
            arguments["stream"] = deed.stream
        else:
            arguments |= {"prefixes": deed.prefixes, "group": group}
        if deed.start == "offset":
            arguments["from_offset"] = deed.place
        elif deed.start == "position":
            arguments["from_position"] = Position(GroupId(group), deed.place)
        elif deed.start == "time":
            arguments["from_time"] = max(0, deed.place)
        return arguments
