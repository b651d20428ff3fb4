"""Readable scripts on the simulator, with typed streams and consumers: what must not happen to those who fetch."""

from __future__ import annotations

import trio

from sim.events.kinds import MOVED, Fact, runs_of, stream_name
from sim.events.load import TENANT
from sim.regions import REGION
from sim.scenario import Stage, run_scenario
from vdb.client.values import StreamAppend
from vdb.consumers import ConsumerSettings, Settlement, Verdict
from vdb.selection import EventFilter
from vdb.types import DataClass, GroupId

HERE = GroupId(REGION)
ONE, TWO = b"1" * 16, b"2" * 16


def test_a_fetch_that_finds_no_room_waits_and_does_not_spin() -> None:
    """One delivery may be out, another member holds it, and the log goes on behind what was seen of it."""
    seen: list[int] = []

    async def script(stage: Stage) -> None:
        gateway = stage._actor.gateway
        name = stream_name(0)
        await gateway.create_stream(TENANT, name, DataClass.PHI, REGION, if_not_exists=False, timeout=10.0)

        async def append(number: int) -> None:
            runs = runs_of([Fact(number=number, type=MOVED, patient="p", ward=1)])
            await gateway.append(TENANT, [StreamAppend(stream=name, runs=runs)], timeout=10.0)

        settings = ConsumerSettings(filter=EventFilter(prefixes=("ev-",)), in_flight_max=1)
        await gateway.consumers.create(TENANT, HERE, "worker", settings, timeout=10.0)
        await append(1)
        await append(2)
        first = gateway.consumers.line(TENANT, HERE, "worker", ONE, 30.0)
        second = gateway.consumers.line(TENANT, HERE, "worker", TWO, 30.0)
        (held,) = await first.fetch(1, 0.0, 10.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fetch, second, seen)
            await trio.sleep(0.1)
            await append(3)
            await trio.sleep(0.5)
            assert seen == []
            await first.settle(
                [Settlement(position=held.event.position.number, attempt=1, verdict=Verdict.ACK)], 10.0
            )  # fmt: skip

    simulation = run_scenario(script)
    assert simulation.verdict.violation is None, simulation.verdict.violation
    assert seen == [1]


async def _fetch(line: object, seen: list[int]) -> None:
    (delivery,) = await line.fetch(1, 20.0, 30.0)  # type: ignore[attr-defined]
    seen.append(delivery.event.offset)
