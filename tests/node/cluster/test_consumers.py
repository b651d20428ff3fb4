"""Consumer groups of three nodes, through clients: the primary dies, links break, members vanish; nothing is missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from sim.world import draws
from sim.world.entropy import SimEntropy
from sim.world.fence import Fence
from vdb.client.client import Client
from vdb.errors import DeliveryLate, UnknownConsumer

ADDRESSES = ("n0:7140", "n1:7140", "n2:7140")


def client_of(cluster: Any, name: str = "c1", **settings: Any) -> Client:
    universe = cluster.universe
    fence = Fence(name, universe.clock, lambda kind: None)
    port = universe.network.port(name, fence)

    def connector(address: str) -> Callable[[], Any]:
        return lambda: port.connect(address)

    return Client(
        {address: connector(address) for address in ADDRESSES},
        entropy=SimEntropy(draws(universe.seed, f"{name}/entropy"), fence),
        learn=connector,
        **settings,
    )


async def publish(client: Client, *numbers: int) -> None:
    await client.create_stream("visits", "non-phi", if_not_exists=True)
    await client.publish("visits", [b"%d" % number for number in numbers])


def test_deliveries_and_dead_letters(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster) as client:
            await publish(client, *range(5))
            consumer = await client.create_consumer("reminders", backoff=(0, 0))
            async with consumer.member() as member:
                found = await member.fetch()
                assert [each.event for each in found] == [b"0", b"1", b"2", b"3", b"4"]
                await member.ack(found[:3], confirm=True)
                await found[3].nak()
                await found[4].term("why not", confirm=True)
                (again,) = await member.fetch(wait=60)
                assert (again.event, again.attempt) == (b"3", 2)
                await again.ack(confirm=True)
            (letter,) = await consumer.dead_letters()
            assert (letter.offset, letter.attempts, letter.reason) == (4, 1, "why not")
            assert (await letter.recorded()).event == b"4"
            assert await consumer.replay(actor="ops", reason="try") == 1
            async with consumer.member() as member:
                (again,) = await member.fetch()
                assert (again.event, again.attempt) == (b"4", 1)
                await again.ack()
            info = await consumer.info()
            assert (info.acked, info.in_flight, info.waiting, info.dead_letters) == (5, 0, 0, 0)
            assert [one.name for one in await client.list_consumers()] == ["reminders"]
            with pytest.raises(UnknownConsumer, match="nobody"):
                await client.consumer("nobody").info()
        await cluster.converge()

    in_cluster(body)


def test_the_primary_dies_again_and_again(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        seen: list[tuple[int, int]] = []

        async def work(client: Client, name: str) -> None:
            async with client.consumer("reminders").member(name) as member:
                async for delivery in member:
                    seen.append((int(delivery.event), delivery.attempt))
                    await delivery.ack()

        async def feed(client: Client) -> None:
            for number in range(30):
                await publish(client, *range(number * 4, number * 4 + 4))
                await trio.sleep(0.2)

        async with client_of(cluster, "c1") as first, client_of(cluster, "c2") as second:
            await publish(first, 1000)
            consumer = await first.create_consumer("reminders", ack_deadline=3, max_deliver=0)
            async with trio.open_nursery() as workers:
                workers.start_soon(work, first, "worker-1")
                workers.start_soon(work, second, "worker-2")
                workers.start_soon(feed, first)
                for _ in range(3):
                    await trio.sleep(1)
                    number = await cluster.primary()
                    await cluster.stop(number)
                    await trio.sleep(1)
                    await cluster.start(number)
                while (await consumer.info()).acked < 121:  # noqa: ASYNC110
                    await trio.sleep(0.2)
                workers.cancel_scope.cancel()
            info = await consumer.info()
            assert (info.acked, info.in_flight, info.dead_letters) == (121, 0, 0)
        assert sorted({number for number, _ in seen}) == [*range(120), 1000]
        await cluster.converge()

    in_cluster(body)


def test_a_member_that_vanishes_gives_its_deliveries_to_the_others(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster, "c1") as first, client_of(cluster, "c2") as second:
            await publish(first, 0, 1)
            consumer = await first.create_consumer("reminders", ack_deadline=5)
            lost = consumer.member()
            await lost.__aenter__()
            zero, _ = await lost.fetch()
            async with second.consumer("reminders").member() as member:
                assert await member.fetch(wait=1) == []
                found = []
                while len(found) < 2:
                    found += await member.fetch(wait=20)
                assert [(each.event, each.attempt) for each in found] == [(b"0", 2), (b"1", 2)]
                with pytest.raises(DeliveryLate):
                    await zero.ack(confirm=True)
                await member.ack(found, confirm=True)
            assert (await consumer.info()).acked == 2

    in_cluster(body)


def test_a_group_without_a_primary_is_waited_for(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster, retry_for=2) as client:
            await publish(client, 0, 1)
            consumer = await client.create_consumer("reminders", ack_deadline=600)
            async with consumer.member() as member:
                zero = await anext(member)
                await zero.ack()
                down = [number for number in range(3) if number != await cluster.primary()]
                for number in down:
                    await cluster.stop(number)
                one: list[Any] = []

                async def go_on() -> None:
                    one.append(await anext(member))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(go_on)
                    await trio.sleep(20)
                    await cluster.start(*down)
                await one[0].ack(confirm=True, timeout=30)
            assert (await consumer.info()).acked == 2

    in_cluster(body)
