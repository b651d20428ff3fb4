"""What the simulated network may do: cuts, stalls, half-open connections, crashes of hosts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from sim.world import NetworkFaults, SimUniverse, absorb_crash
from vdb.errors import ConnectionLost
from vdb.types import Region

InUniverse = Callable[..., None]
REGION = Region("us-east-1")


async def make_pair(universe: SimUniverse) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """A connection from host a to host b."""
    for name in ("a", "b"):
        if name not in universe.nodes:
            universe.node(name, REGION)
    worlds = [universe.nodes[name].boot() for name in ("a", "b")]
    listener = await worlds[1].network.listen("b:7140")
    return await worlds[0].network.connect("b:7140"), await listener.accept()


def test_streams_pass_trios_own_conformance_test(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        a, b = universe.node("a", REGION).boot(), universe.node("b", REGION).boot()
        listener = await b.network.listen("b:7140")

        async def maker() -> tuple[trio.abc.Stream, trio.abc.Stream]:
            return await a.network.connect("b:7140"), await listener.accept()

        await trio.testing.check_half_closeable_stream(maker, None)  # type: ignore[arg-type]

    in_universe(body)


def test_a_cut_breaks_both_ends_and_refuses_new_ones_until_healed(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        client, server = await make_pair(universe)
        universe.network.cut("a", "b")
        for end in (client, server):
            with pytest.raises(trio.BrokenResourceError, match="reset"):
                await end.receive_some()
        world = universe.nodes["a"].restart()
        with pytest.raises(ConnectionLost, match="timed out"):
            await world.network.connect("b:7140")
        universe.network.heal()
        await world.network.connect("b:7140")
        assert universe.faults["net.cut"] == 1
        assert universe.faults["net.refused"] == 1

    in_universe(body)


def test_a_reset_leaves_the_link_usable(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        client, _server = await make_pair(universe)
        universe.network.reset("a", "b")
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        await universe.nodes["a"].restart().network.connect("b:7140")

    in_universe(body)


def test_a_stall_of_one_way_holds_bytes_back_and_loses_none(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        client, server = await make_pair(universe)
        universe.network.stall("a", "b")
        await client.send_all(b"held")
        await server.send_all(b"free")
        assert await client.receive_some() == b"free"
        with trio.move_on_after(10) as scope:
            await server.receive_some()
        assert scope.cancelled_caught
        universe.network.heal("a", "b")
        assert await server.receive_some() == b"held"
        assert universe.faults["net.one_way"] == 1

    in_universe(body)


def test_a_half_open_connection_says_nothing_until_it_is_healed(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        client, server = await make_pair(universe)
        universe.network.half_open("a", "b")
        await client.send_all(b"into the void")
        for end in (client, server):
            with trio.move_on_after(60) as scope:
                await end.receive_some()
            assert scope.cancelled_caught
        universe.network.heal()
        await client.send_all(b"is anybody there")
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        assert universe.faults["net.half_open"] == 1

    in_universe(body)


def test_a_crash_resets_the_peers_and_removes_the_listeners(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        client, _server = await make_pair(universe)
        universe.nodes["b"].crash()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        world = universe.nodes["a"].restart()
        with pytest.raises(ConnectionLost, match="timed out"):
            await world.network.connect("b:7140")
        universe.nodes["b"].boot()
        with pytest.raises(ConnectionLost, match="refused"):
            await world.network.connect("b:7140")

    in_universe(body)


def test_a_silent_crash_is_noticed_by_sending_to_the_restarted_host(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        universe.network.faults = NetworkFaults(half_open=1.0)
        client, _server = await make_pair(universe)
        universe.nodes["b"].crash()
        await client.send_all(b"x")
        with trio.move_on_after(60) as scope:
            await client.receive_some()
        assert scope.cancelled_caught
        universe.nodes["b"].boot()
        await client.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()

    in_universe(body)


def test_a_crash_wakes_the_tasks_that_wait_in_a_port(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        _client, server = await make_pair(universe)
        ended = False

        async def serve() -> None:
            nonlocal ended
            with absorb_crash():
                try:
                    await server.receive_some()
                finally:
                    ended = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await trio.sleep(1)
            universe.nodes["b"].crash()
        assert ended

    in_universe(body)


def test_what_was_sent_before_a_crash_still_arrives_or_is_lost_but_never_wrong(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        client, server = await make_pair(universe)
        await server.send_all(b"answer")
        await trio.sleep(1)
        universe.nodes["b"].crash()
        assert await client.receive_some() == b"answer"

    in_universe(body)


def test_taps_see_every_byte_with_its_way(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        seen: list[tuple[str, str, bytes]] = []
        universe.network.tap(lambda source, destination, data: seen.append((source, destination, data)))
        client, server = await make_pair(universe)
        await client.send_all(b"there")
        await server.send_all(b"back")
        assert seen == [("a", "b", b"there"), ("b", "a", b"back")]

    in_universe(body)


def test_latency_bandwidth_and_slowness(in_universe: InUniverse) -> None:
    async def trip(universe: SimUniverse, size: int) -> float:
        start, (client, server) = trio.current_time(), universe_pair
        await client.send_all(bytes(size))
        received = 0
        while received < size:
            received += len(await server.receive_some())
        return trio.current_time() - start

    universe_pair: tuple[trio.abc.Stream, trio.abc.Stream]

    async def body(universe: SimUniverse) -> None:
        nonlocal universe_pair
        universe_pair = await make_pair(universe)
        assert 0.0001 <= await trip(universe, 1) < 0.001
        assert await trip(universe, 250_000) > 0.002
        universe.network.slow("a", "b", 1000)
        assert await trip(universe, 1) > 0.09
        assert universe.faults["net.slow"] == 1

    in_universe(body)


def test_reads_are_split_when_the_seed_says_so(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        universe.network.faults = NetworkFaults(split=1.0)
        client, server = await make_pair(universe)
        await client.send_all(bytes(range(200)))
        await trio.sleep(1)
        pieces = [await server.receive_some()]
        while sum(map(len, pieces)) < 200:
            pieces.append(await server.receive_some())
        assert b"".join(pieces) == bytes(range(200))
        assert len(pieces) > 1

    in_universe(body)
