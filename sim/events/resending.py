"""Appends that come again from somebody who has no session of the first time: another client, with the same event ids.

It is sent after its answer, before it, or at the same moment, whole, or mixed with the events of another one. The
conditions of the second time are others, which must not count.
"""

from __future__ import annotations

from random import Random

from sim.events.deeds import Appending, Fate, Resending
from sim.events.kinds import Fact, runs_of
from sim.events.load import RETRY_SECONDS, TENANT, EventsLoad
from vdb.client.values import StreamAppend
from vdb.kernel.command import EMPTY, EXISTS, Expected

FIRST_RESENDER = 500
"""Of the numbers of clients: each of these sends once."""
RECENT = 6


async def send_again(load: EventsLoad, random: Random, who: str) -> None:
    """One of the last appends comes again, if there was one; or two of them as one."""
    whole = random.random() < 0.7
    known = [deed for deed in load.deeds.appends if deed.fate is not Fate.REFUSED and (whole or deed.fate is Fate.DONE)]
    chosen = random.sample(known[-RECENT:], min(len(known[-RECENT:]), 1 if whole else 2))
    if not chosen:
        return
    parts = dict(chosen[0].parts) if whole else _mixed(chosen)
    for deed in chosen:
        deed.came_again = True
    again = Resending(who=who, asked=load.deeds.tick(), of=tuple(chosen), parts=parts, whole=parts == chosen[0].parts)
    load.deeds.resent.append(again)
    conditions = {stream: random.choice((Expected(), EMPTY, EXISTS)) for stream in parts}
    if chosen[0].fate is not Fate.DONE:
        conditions = {}

    async def act() -> None:
        async with load.client(FIRST_RESENDER + len(load.deeds.resent)) as client:
            appends = [
                StreamAppend(stream=stream, runs=runs_of(list(facts)), expected=conditions.get(stream, Expected()))
                for stream, facts in parts.items()
            ]
            told = await client._rpc.append(TENANT, appends, timeout=RETRY_SECONDS)
            again.offsets = {one.stream: one.first_offset for one in told}
            again.position = told[0].position.number

    await load.recorded(again, act)


def _mixed(chosen: list[Appending]) -> dict[str, tuple[Fact, ...]]:
    """The events of two appends, as if they had been one; of one alone, in another order."""
    parts: dict[str, tuple[Fact, ...]] = {}
    for deed in chosen[::-1]:
        for stream, facts in deed.parts.items():
            parts[stream] = parts.get(stream, ()) + facts
    if len(chosen) > 1:
        return parts
    return {stream: facts[::-1] for stream, facts in parts.items()}
