"""A consumer group's primary changes: its members find the new one and go on, and nothing is missed or raised."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from vdb.errors import PrimaryLost


@pytest.fixture
def shared(cluster: Any, fake_consumers: Any) -> Any:
    """The consumers of all nodes of the fake cluster: what one does, the others know."""
    fakes = [fake_consumers(node) for node in cluster.nodes.values()]
    for each in fakes[1:]:
        each.share(fakes[0])
    return fakes[0]


async def test_members_follow_the_primary(cluster: Any, shared: Any) -> None:
    seen: list[tuple[str, int]] = []

    async def work(client: Any, name: str) -> None:
        async with client.consumer("reminders").member(name) as member:
            async for delivery in member:
                await trio.sleep(0.1)
                seen.append((delivery.event.patient, delivery.attempt))
                await delivery.ack()

    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            await nursery.start(cluster.run)
            async with cluster.client() as client:
                await client.create_consumer("reminders", ack_deadline=30)
                shared.add(*(f"p{number}" for number in range(100)))
                async with trio.open_nursery() as workers:
                    for name in ("worker-1", "worker-2", "worker-3"):
                        workers.start_soon(work, client, name)
                    for name in ("n1", "n2", "n0", "n1"):
                        await trio.sleep(0.7)
                        old = cluster.nodes[cluster.primary]
                        cluster.lead(name, told=name != "n0")
                        old.cut()
                    while len(shared.groups["reminders"].acked) < 100:  # noqa: ASYNC110
                        await trio.sleep(0.1)
                    workers.cancel_scope.cancel()
                assert not shared.groups["reminders"].out
            nursery.cancel_scope.cancel()
    assert sorted({patient for patient, _ in seen}) == sorted(f"p{number}" for number in range(100))
    assert not shared.groups["reminders"].letters


async def test_what_a_deposed_primary_left_open_is_settled_by_the_next(cluster: Any, shared: Any) -> None:
    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            await nursery.start(cluster.run)
            async with cluster.client() as client:
                consumer = await client.create_consumer("reminders")
                shared.add("ada", "bob")
                async with consumer.member() as member:
                    ada, bob = await member.fetch()
                    first = cluster.nodes[cluster.primary]
                    first.refusals = [PrimaryLost("deposed"), PrimaryLost("deposed")]
                    await ada.ack(confirm=True)
                    cluster.lead("n2")
                    await bob.ack(confirm=True)
                    assert shared.groups["reminders"].acked == [0, 1]
                    assert (await consumer.info()).acked == 2
            nursery.cancel_scope.cancel()
