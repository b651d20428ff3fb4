"""Three whole nodes: commits reach all, a dead primary is replaced, who was away catches up, and nothing acknowledged is
lost.
"""

from __future__ import annotations

from collections.abc import Callable


def test_commits_reach_all_nodes(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        for number in range(20):
            await cluster.append("s", b"%d" % number)
        await cluster.converge()

    in_cluster(body)


def test_a_dead_primary_is_replaced_and_comes_back(in_cluster: Callable[..., None]) -> None:
    async def body(cluster) -> None:
        await cluster.start(0, 1, 2)
        await cluster.create("s")
        await cluster.append("s", b"before")
        first = await cluster.primary()
        await cluster.crash(first)
        await cluster.append("s", b"after")
        second = await cluster.primary()
        assert second != first
        await cluster.start(first)
        await cluster.append("s", b"again")
        await cluster.converge()
        assert cluster.group(first).state.next_position == 4

    in_cluster(body)
