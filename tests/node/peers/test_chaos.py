"""Connections while the network is in all kinds of trouble: order holds always, and all is well when it ends."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import trio

from sim.world import NetworkFaults
from vdb.vsr.message import Message, StartViewChange

GROUP = b"g" * 32
NODES = range(3)
SECONDS = 30


@pytest.mark.parametrize("seed", range(1, 4))
def test_words_arrive_in_order_or_not_at_all(in_simulation: Callable[..., None], seed: int) -> None:
    random = Random(seed)

    async def body(cluster: Any) -> None:
        network = cluster.universe.network
        network.faults = NetworkFaults(split=0.3, half_open=0.5, slow=0.05, jitter_us=5000)
        members = [await cluster.start(node, {}) for node in NODES]
        cluster.connect(*members)
        with trio.move_on_after(SECONDS):
            number = 0
            while True:
                number += 1
                for member in members:
                    for to in NODES:
                        if to != member.peers.node:
                            member.peers.send(to, GROUP, StartViewChange(view=number, replica=member.peers.node))
                await trio.sleep(random.random() * 0.05)
                if random.random() < 0.05:
                    disturb(random, network)
        network.heal()
        network.faults = NetworkFaults()
        await trio.sleep(5)
        assert all(peer.connected for member in members for peer in member.peers.status())
        for member in members:
            check_order(member)
            member.received.clear()
        for member in members:
            for to in NODES:
                if to != member.peers.node:
                    member.peers.send(to, GROUP, StartViewChange(view=1, replica=member.peers.node))
        for member in members:
            await member.receive(2)

    in_simulation(body, seed=seed)


def disturb(random: Random, network: Any) -> None:
    a, b = random.sample([f"n{node}" for node in NODES], 2)
    match random.randrange(7):
        case 0:
            network.cut(a, b)
        case 1:
            network.stall(a, b)
        case 2:
            network.stall(a, b, both=True)
        case 3:
            network.half_open(a, b)
        case 4:
            network.slow(a, b, 20)
        case 5:
            network.reset(a, b)
        case _:
            network.heal()


def check_order(member: Any) -> None:
    """Of each sender, the numbers that arrived rise: none twice, none late."""
    last = dict.fromkeys(NODES, 0)
    received: list[tuple[bytes, int, Message]] = member.received
    assert len(received) > 100
    for group, sender, message in received:
        assert group == GROUP
        assert isinstance(message, StartViewChange)
        assert message.view > last[sender]
        last[sender] = message.view
