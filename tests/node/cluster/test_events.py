"""Typed events of three nodes, through clients: a reader that follows loses nothing and gets nothing twice while
primaries are lost, and all nodes give the same answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import define, frozen

import vdb
from sim.world import NetworkFaults, draws
from sim.world.clock import HostClock, SimClock
from sim.world.entropy import SimEntropy
from sim.world.fence import Fence
from vdb.client.client import Client
from vdb.client.recorded_events import RecordedEvents

ADDRESSES = ("n0:7140", "n1:7140", "n2:7140")
WRITERS = 3
EACH = 25


@vdb.event("cluster-test-counted", version=2)
@frozen(kw_only=True)
class Counted:
    writer: int
    number: int


@vdb.upcast("cluster-test-counted", 1)
def _(body: dict[str, Any]) -> dict[str, Any]:
    return {"writer": body["by"], "number": body["count"]}


@define
class Total:
    count: int = 0

    @vdb.applies(Counted)
    def counted(self, event: Counted) -> None:
        self.count += 1


def client_of(cluster: Any, name: str, **settings: Any) -> Client:
    universe = cluster.universe
    fence = Fence(name, universe.clock, lambda kind: None)
    port = universe.network.port(name, fence)

    def connector(address: str) -> Callable[[], Any]:
        return lambda: port.connect(address)

    return Client(
        {address: connector(address) for address in ADDRESSES},
        entropy=SimEntropy(draws(universe.seed, f"{name}/entropy"), fence),
        clock=SimClock(HostClock(universe.clock, universe.faults), fence),
        learn=connector,
        **settings,
    )


async def write(client: Client, writer: int) -> None:
    for number in range(EACH):
        await client.append(f"w-{writer}", [Counted(writer=writer, number=number)], create="non-phi")
        await trio.sleep(0.05)


async def collect(events: RecordedEvents, found: list[vdb.RecordedEvent]) -> None:
    async for one in events:
        found.append(one)


def check(found: list[vdb.RecordedEvent]) -> None:
    assert len(found) == WRITERS * EACH
    positions = [one.position.number for one in found]
    assert positions == sorted(set(positions))
    for writer in range(WRITERS):
        assert [one.event.number for one in found if one.event.writer == writer] == list(range(EACH))


@pytest.mark.parametrize("way", ["crash", "abdicate", "rough"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_following_outlives_primaries(in_cluster: Callable[..., None], way: str, seed: int) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        found: dict[str, list[vdb.RecordedEvent]] = {"linearizable": [], "stale": []}
        async with client_of(cluster, "writer") as writer, client_of(cluster, "reader") as reader:
            await writer.create_stream("w-0", "non-phi")
            async with trio.open_nursery() as nursery:
                for number in range(WRITERS):
                    nursery.start_soon(write, writer, number)
                for consistency, events in found.items():
                    following = reader.read_events(
                        prefix="w-", follow=True, max_events=WRITERS * EACH, consistency=consistency
                    )
                    nursery.start_soon(collect, following, events)
                for _ in range(3):
                    await trio.sleep(0.4)
                    await disturb(cluster, way)
            for events in found.values():
                check(events)
            again = [one async for one in reader.read_events(prefix="w-")]
            assert again == found["linearizable"] == found["stale"]
            backward = [one async for one in reader.read_events(prefix="w-", backward=True)]
            assert backward[::-1] == again

    faults = NetworkFaults(split=0.3, half_open=0.5, slow=0.1) if way == "rough" else None
    in_cluster(body, seed=seed, faults=faults)


async def disturb(cluster: Any, way: str) -> None:
    primary = await cluster.primary()
    if way != "abdicate":
        await cluster.crash(primary)
        await trio.sleep(0.5)
        await cluster.start(primary)
    else:
        cluster.group(primary).abdicate()


def test_all_nodes_give_the_same_answers(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        old = vdb.events.EventRegistry()

        @old.event("cluster-test-counted")
        @frozen(kw_only=True)
        class Old:
            by: int
            count: int

        async with client_of(cluster, "c1") as client:
            await client.create_stream("w-9", "non-phi")
            payload = old.encode(Old(by=9, count=0), event_id=bytes(16), time=3)
            await client.publish("w-9", payload, schema_id=1)
            for number in range(1, 40):
                published = await client.append("w-9", [Counted(writer=9, number=number)])
            middle = [one async for one in client.read_events("w-9")][20]
            arguments: list[dict[str, Any]] = [
                {"stream": "w-9"},
                {"types": Counted, "backward": True, "max_events": 7},
                {"stream": "w-9", "from_time": middle.time},
                {"prefix": "w-", "from_time": middle.time, "backward": True},
                {"from_position": middle.position},
                {"stream": "w-9", "from_position": middle.position, "backward": True},
                {"stream": "w-9", "from_offset": 39},
            ]
            expected = [[one async for one in client.read_events(**given)] for given in arguments]
            assert [len(events) for events in expected] == [40, 7, 20, 20, 20, 20, 1]
            assert expected[0][0].event == Counted(writer=9, number=0)
            for number, address in enumerate(ADDRESSES):
                client._router._routes.of(None).address = address
                for given, wanted in zip(arguments, expected, strict=True):
                    events = client.read_events(**given, at_least=published.position)
                    assert [one async for one in events] == wanted, (number, given)
                assert await client.aggregate(Total, "w-9", at_least=published.position) == (Total(40), 40)

    in_cluster(body)
