"""The contract of Network and Listener, on the real and on the simulated network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from vdb.errors import AddressInUse, ConfigError, ConnectionLost, NotLoopback
from vdb.ports import World

InWorld = Callable[[Callable[[World], Awaitable[None]]], None]


async def make_pair(world: World) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    listener = await world.network.listen("127.0.0.1:0")
    client = await world.network.connect(listener.address)
    server = await listener.accept()
    await listener.aclose()
    return client, server


async def read_exactly(stream: trio.abc.Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.receive_some(size - len(data))
        assert piece
        data += piece
    return bytes(data)


def test_bytes_go_both_ways_in_order(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        async with client, server:
            await client.send_all(b"hel")
            await client.send_all(bytearray(b"lo"))
            assert await read_exactly(server, 5) == b"hello"
            await server.send_all(memoryview(b"bye"))
            assert await read_exactly(client, 3) == b"bye"

    in_world(body)


def test_the_address_has_the_real_port(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        one = await world.network.listen("127.0.0.1:0")
        two = await world.network.listen("localhost:0")
        assert one.address.startswith("127.0.0.1:")
        assert not one.address.endswith(":0")
        assert one.address.rpartition(":")[2] != two.address.rpartition(":")[2]
        with pytest.raises(AddressInUse, match=one.address):
            await world.network.listen(one.address)
        await one.aclose()
        await two.aclose()
        again = await world.network.listen(one.address)
        await again.aclose()

    in_world(body)


def test_nobody_answers(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        listener = await world.network.listen("127.0.0.1:0")
        await listener.aclose()
        with pytest.raises(ConnectionLost, match=r"nobody answers at 127\.0\.0\.1"):
            await world.network.connect(listener.address)

    in_world(body)


def test_off_loopback_without_tls_is_refused(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        with pytest.raises(NotLoopback, match=r"tls\.cert"):
            await world.network.listen("0.0.0.0:7140")

    in_world(body)


@pytest.mark.parametrize("address", ["", "7140", "host:", ":7140", "host:99999", "host:port", "::1:7140"])
def test_a_bad_address_is_named(in_world: InWorld, address: str) -> None:
    async def body(world: World) -> None:
        with pytest.raises(ConfigError, match="HOST:PORT"):
            await world.network.listen(address)
        with pytest.raises(ConfigError, match="HOST:PORT"):
            await world.network.connect(address)

    in_world(body)


def test_closing_ends_the_other_sides_stream_after_what_was_sent(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        await client.send_all(b"last words")
        await client.aclose()
        assert await read_exactly(server, 10) == b"last words"
        assert await server.receive_some(1) == b""

        async def send_until_it_breaks() -> None:
            for _ in range(100):
                await server.send_all(b"x" * 1000)
                await trio.sleep(0.01)

        with pytest.raises(trio.BrokenResourceError):
            await send_until_it_breaks()
        await server.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some(1)

    in_world(body)


def test_a_sender_waits_for_a_reader_that_is_slow(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        size = 64 * 1024 * 1024
        sent = False

        async def send() -> None:
            nonlocal sent
            await client.send_all(bytes(size))
            sent = True

        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(0.2)
            assert not sent
            received = 0
            while received < size:
                received += len(await server.receive_some(1024 * 1024))
        assert sent

    in_world(body)


def test_waiting_can_be_cancelled(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        async with client, server:
            with trio.move_on_after(0.05) as scope:
                await server.receive_some(1)
            assert scope.cancelled_caught
            await client.send_all(b"x")
            assert await server.receive_some(10) == b"x"
        listener = await world.network.listen("127.0.0.1:0")
        with trio.move_on_after(0.05) as scope:
            await listener.accept()
        assert scope.cancelled_caught
        await listener.aclose()

    in_world(body)


def test_closing_wakes_who_waits_on_this_side(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        listener = await world.network.listen("127.0.0.1:0")

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.receive_some(1)

        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(accept)
            await trio.sleep(0.05)
            await client.aclose()
            await listener.aclose()

    in_world(body)


def test_two_tasks_may_not_use_one_direction(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(client.receive_some, 1)
            await trio.sleep(0.05)
            with pytest.raises(trio.BusyResourceError):
                await client.receive_some(1)
            nursery.cancel_scope.cancel()

    in_world(body)


def test_half_closing(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        assert isinstance(client, trio.abc.HalfCloseableStream)
        async with client, server:
            await client.send_all(b"question")
            await client.send_eof()
            assert await read_exactly(server, 8) == b"question"
            assert await server.receive_some(1) == b""
            await server.send_all(b"answer")
            assert await read_exactly(client, 6) == b"answer"
            with pytest.raises(trio.ClosedResourceError):
                await client.send_all(b"more")

    in_world(body)


def test_streams_without_tls_name_nobody(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        client, server = await make_pair(world)
        async with client, server:
            await client.send_all(b"x")
            await server.receive_some(1)
            assert world.network.peer_names(client) is None
            assert world.network.peer_names(server) is None

    in_world(body)
