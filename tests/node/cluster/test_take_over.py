"""Between the start of a view and the first request that its primary takes: who waits then isn't forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from vdb.errors import NotPrimary


async def _serving(cluster: Any) -> tuple[int, Any]:
    await cluster.start(0, 1, 2)
    await cluster.create("s")
    await cluster.append("s", b"one")
    await cluster.converge()
    number = await cluster.primary()
    return number, cluster.group(number)


def test_a_read_that_waits_for_a_new_primary_hears_that_it_is_deposed(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        number, group = await _serving(cluster)
        group._member.proposer.ready = trio.Event()  # as right after a view has started
        errors: list[NotPrimary] = []

        async def read() -> None:
            with pytest.raises(NotPrimary) as caught:
                await group.confirm()
            errors.append(caught.value)

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.sleep(0.1)
                assert not errors
                group.abdicate()
        assert "isn't the primary" in str(errors[0])
        assert await cluster.primary() != number

    in_cluster(body)


def test_who_is_deposed_while_it_takes_over_holds_no_pipeline(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        _, group = await _serving(cluster)
        member = group._member
        proposer, executor = member.proposer, member.executor
        executor._queue.append(object())  # as if a commit still had to be applied
        proposer.depose(NotPrimary("a newer view", ""))
        proposer.lead(group.replica.view)
        await trio.sleep(0.1)
        executor._queue.clear()
        executor._sinks.progress.tell()
        proposer.depose(NotPrimary("a newer view", ""))
        await trio.sleep(0.1)
        assert proposer._prepared is None
        assert not proposer.ready.is_set()
        proposer.lead(group.replica.view)
        await trio.sleep(0.1)
        assert proposer.ready.is_set()
        await cluster.append("s", b"two")

    in_cluster(body)


def test_a_read_does_not_outlive_the_opening_that_it_waits_in(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        _, group = await _serving(cluster)
        member = group._member
        held = member.executor.applied
        member.executor.applied = held - 1  # as if the last commit still had to be applied

        async def read() -> None:
            with pytest.raises(NotPrimary):
                await group.confirm()

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.sleep(0.5)
                member.end()
                group._progress.tell()
        member.executor.applied = held

    in_cluster(body)
