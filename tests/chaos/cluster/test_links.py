"""Links between real nodes fail silently, in one direction and in both, under load."""

from __future__ import annotations

import pytest
import trio


async def test_a_primary_that_is_cut_off_is_replaced(cluster, under_load) -> None:
    """Both ways: the others go on; when the links are back, nothing is lost and nothing forks."""

    async def isolate(load) -> None:
        primary = await trio.to_thread.run_sync(cluster.primary)
        for pair, link in cluster.links.items():
            if primary in pair:
                link.cut()
        await load.wait_for(20)
        heal(cluster)
        await load.wait_for(20)

    await through_links(cluster, under_load, isolate)


@pytest.mark.chaos
async def test_a_primary_that_is_deaf_is_replaced(cluster, under_load) -> None:
    """One way: its words arrive, and no answer reaches it."""

    async def deafen(load) -> None:
        primary = await trio.to_thread.run_sync(cluster.primary)
        for (_sender, receiver), link in cluster.links.items():
            if receiver == primary:
                link.cut()
        await load.wait_for(20)
        heal(cluster)
        await load.wait_for(20)

    await through_links(cluster, under_load, deafen)


@pytest.mark.chaos
async def test_a_link_between_backups_matters_to_nobody(cluster, under_load) -> None:
    async def part(load) -> None:
        primary = await trio.to_thread.run_sync(cluster.primary)
        for pair, link in cluster.links.items():
            if primary not in pair:
                link.cut()
        await load.wait_for(100)
        heal(cluster)

    load = await through_links(cluster, under_load, part)
    assert load.failed == []


@pytest.mark.chaos
async def test_slow_links_slow_down_and_lose_nothing(cluster, under_load) -> None:
    """Every word between nodes takes 30 ms more, in one direction or in both."""

    async def delay(load) -> None:
        for pair, link in cluster.links.items():
            link.delay = 0.03 if pair[0] < pair[1] else 0.0
        await load.wait_for(30)
        for link in cluster.links.values():
            link.delay = 0.03
        await load.wait_for(30)
        heal(cluster)

    load = await through_links(cluster, under_load, delay)
    assert load.failed == []


async def through_links(cluster, under_load, act):
    """Three nodes with a proxy on each link; `act` under load, then the clients' history is checked."""
    async with trio.open_nursery() as nursery:
        cluster.init(3)
        await cluster.proxy(nursery)
        await trio.to_thread.run_sync(cluster.start, 0, 1, 2)
        load = await under_load(cluster, act)
        nursery.cancel_scope.cancel()
    return load


def heal(cluster) -> None:
    for link in cluster.links.values():
        link.heal()
