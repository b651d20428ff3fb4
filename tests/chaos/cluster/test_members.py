"""A cluster of one becomes three, then five, then three and one again, while clients work."""

from __future__ import annotations

import pytest
import trio


@pytest.mark.chaos
async def test_one_to_three_to_five_and_back_under_load(cluster, under_load) -> None:
    cluster.init(1)
    await trio.to_thread.run_sync(cluster.start, 0)

    async def grow_and_shrink(load) -> None:
        for number in (1, 2, 3, 4):
            await trio.to_thread.run_sync(add, cluster, number)
            await load.wait_for(20)
        for number in (0, 3, 1, 2):
            await trio.to_thread.run_sync(cluster.vdb, "cluster", "remove", "--node", str(number))
            cluster.end(number)
            del cluster.addresses[number]
            await load.wait_for(20)

    load = await under_load(cluster, grow_and_shrink)
    assert load.failed == []


def add(cluster, number: int) -> None:
    """Prepare a node's files, start it, take it in, and give it a vote."""
    client, peer = cluster.ports(number)
    files = ["--dir", str(cluster.folder), "--node", str(number)]
    made = cluster.vdb("cluster", "prepare", *files, "--port", str(client), "--peer-port", str(peer))
    assert made["node"] == number
    cluster.configs[number] = cluster.folder / f"n{number}.toml"
    cluster.start(number)
    cluster.vdb("cluster", "add", "--at", f"127.0.0.1:{client}")
    cluster.learn(number, cluster.configs[number])
    cluster.vdb("cluster", "promote", "--node", str(number))
