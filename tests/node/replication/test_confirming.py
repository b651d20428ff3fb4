"""Proofs for reads: shared by all that wait, never by one that came after they were asked for."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from vdb.errors import NotPrimary
from vdb.node.replication.confirming import Confirmer


async def test_one_proof_serves_all_that_came_before_it_was_asked_for() -> None:
    asked: list[int] = []
    confirmer = Confirmer(asked.append)
    done: list[str] = []

    async def read(name: str) -> None:
        await confirmer.confirm()
        done.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, "first")
        await wait_all_tasks_blocked()
        nursery.start_soon(read, "second")
        nursery.start_soon(read, "third")
        await wait_all_tasks_blocked()
        assert asked == [1], "a proof under way began before the second read"
        confirmer.confirmed(1)
        await wait_all_tasks_blocked()
        assert done == ["first"]
        assert asked == [1, 2]
        confirmer.confirmed(2)
    assert sorted(done[1:]) == ["second", "third"]


async def test_a_replica_that_answers_at_once_needs_no_turn() -> None:
    def ask(number: int) -> None:
        confirmer.confirmed(number)

    confirmer = Confirmer(ask)
    await confirmer.confirm()
    await confirmer.confirm()


async def test_who_ceases_to_be_primary_fails_all_that_wait_and_hears_no_late_proof() -> None:
    asked: list[int] = []
    confirmer = Confirmer(asked.append)
    errors: list[str] = []

    async def read() -> None:
        with pytest.raises(NotPrimary) as caught:
            await confirmer.confirm()
        errors.append(caught.value.primary)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        confirmer.fail(NotPrimary("not here", "n1:7140"))
    assert errors == ["n1:7140", "n1:7140"]
    confirmer.confirmed(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(confirmer.confirm)
        await wait_all_tasks_blocked()
        confirmer.confirmed(1)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks, "an old number proves nothing"
        confirmer.confirmed(asked[-1])
