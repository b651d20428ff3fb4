"""The lease: one writer at a time, in order; statements that are transactions of their own ride along."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from vdb.changes import NOBODY
from vdb.errors import DatabaseLocked
from vdb.node.crud.lease import BATCH_MAX, Lease
from vdb.sql.host import OneShot, Outcome

FOREVER = float("inf")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Time passes as soon as everybody waits for it."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def one_shot(settings: tuple[tuple[str, str], ...] = ()) -> OneShot:
    return OneShot(sql="DELETE FROM t", parameters=(), attribution=NOBODY, settings=settings)


async def test_sessions_get_it_in_the_order_in_which_they_asked() -> None:
    lease, order = Lease(), []

    async def use(name: str) -> None:
        await lease.acquire(name, FOREVER)
        order.append(name)
        await trio.sleep(1)
        lease.release(name)

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(use, name)
            await trio.sleep(0.1)
    assert order == ["a", "b", "c"]
    assert lease.holder is None


async def test_who_waits_too_long_is_told_so_and_leaves_the_queue() -> None:
    lease = Lease()
    await lease.acquire("a", FOREVER)
    with pytest.raises(DatabaseLocked, match="database is locked: another transaction held the writer for more than 2"):
        await lease.acquire("b", 2)
    lease.release("a")
    assert lease.holder is None
    await lease.acquire("c", 0)
    assert lease.holder == "c"


async def test_a_session_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    lease = Lease()
    await lease.acquire("a", FOREVER)
    with trio.move_on_after(1):
        await lease.acquire("b", FOREVER)
    lease.release("a")
    assert lease.holder is None


async def test_a_session_that_is_cancelled_before_it_asks_gets_nothing() -> None:
    lease = Lease()
    with trio.CancelScope() as scope:
        scope.cancel()
        await lease.acquire("a", FOREVER)
    assert lease.holder is None
    await lease.acquire("b", 0)


async def test_a_lease_in_hand_is_given_back_if_its_session_is_cancelled_at_that_moment() -> None:
    lease = Lease()
    await lease.acquire("a", FOREVER)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.acquire, "b", FOREVER)
            await trio.testing.wait_all_tasks_blocked()
            lease.release("a")
            scope.cancel()
    if lease.holder == "b":  # it had the lease before it was cancelled, and ended with it
        lease.release("b")
    assert lease.holder is None


async def test_statements_that_wait_are_run_by_the_first_of_them() -> None:
    lease = Lease()
    await lease.acquire("interactive", FOREVER)
    shots = [one_shot() for _ in range(4)]
    results: dict[int, list[OneShot] | None] = {}

    async def ask(number: int) -> None:
        results[number] = await lease.lead(number, shots[number], FOREVER)
        if number == 0:
            for other in results[0] or ():
                other.outcome = Outcome(rowcount=1, lastrowid=None)
            await trio.sleep(1)
            assert len(results) == 1, "nobody is answered before the batch is logged"
            lease.release(0, results[0] or ())

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(ask, number)
            await trio.sleep(0.1)
        lease.release("interactive")
    assert results == {0: shots[1:], 1: None, 2: None, 3: None}
    assert lease.holder is None


async def test_other_settings_and_interactive_sessions_wait_for_their_own_turn() -> None:
    lease = Lease()
    await lease.acquire("a", FOREVER)
    taken: list[object] = []

    async def ask(name: str, shot: OneShot | None) -> None:
        if shot is None:
            await lease.acquire(name, FOREVER)
        else:
            taken.append((name, await lease.lead(name, shot, FOREVER)))
        lease.release(name)

    async with trio.open_nursery() as nursery:
        for name, shot in (("b", one_shot()), ("c", None), ("d", one_shot((("foreign_keys", "PRAGMA ..."),)))):
            nursery.start_soon(ask, name, shot)
            await trio.sleep(0.1)
        lease.release("a")
    assert taken == [("b", []), ("d", [])]


async def test_a_batch_is_bounded() -> None:
    lease = Lease()
    await lease.acquire("a", FOREVER)
    sizes: list[int] = []

    async def ask(number: int) -> None:
        others = await lease.lead(number, one_shot(), FOREVER)
        if others is not None:
            sizes.append(len(others))
            for other in others:
                other.outcome = Outcome(rowcount=0, lastrowid=None)
            lease.release(number, others)

    async with trio.open_nursery() as nursery:
        for number in range(BATCH_MAX + 3):
            nursery.start_soon(ask, number)
        await trio.sleep(1)
        lease.release("a")
    assert sizes == [BATCH_MAX, 1]


async def test_a_statement_that_another_session_has_taken_is_waited_for_beyond_the_time_limit() -> None:
    lease = Lease()
    await lease.acquire("a", FOREVER)
    answers: list[object] = []

    async def lead() -> None:
        others = await lease.lead("leader", one_shot(), FOREVER)
        assert others
        await trio.sleep(60)
        others[0].outcome = Outcome(rowcount=1, lastrowid=None)
        lease.release("leader", others)

    async def ride() -> None:
        answers.append(await lease.lead("rider", one_shot(), 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await trio.sleep(0.1)
        nursery.start_soon(ride)
        await trio.sleep(0.1)
        lease.release("a")
    assert answers == [None]


async def test_a_cancelled_statement_that_another_session_runs_is_waited_for() -> None:
    lease, mine, ended = Lease(), one_shot(), []
    await lease.acquire("a", FOREVER)

    async def lead(name: str, statement: OneShot) -> None:
        others = await lease.lead(name, statement, FOREVER)
        assert others == [mine]
        await trio.sleep(5)
        mine.outcome = Outcome(rowcount=1, lastrowid=None)
        lease.release(name, others or ())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead, "b", one_shot())
        await trio.sleep(0.1)
        with trio.CancelScope() as scope:

            async def cancel_later() -> None:
                await trio.sleep(1)
                lease.release("a")
                await trio.sleep(1)
                scope.cancel()

            nursery.start_soon(cancel_later)
            try:
                await lease.lead("c", mine, FOREVER)
            finally:
                ended.append(mine.outcome)
    assert scope.cancelled_caught
    assert ended == [Outcome(rowcount=1, lastrowid=None)]
    assert lease.holder is None
