"""Whom a primary waits for before it proposes, and what one keeps in its queue that has given up its view."""

from __future__ import annotations

from types import SimpleNamespace

import trio

from vdb.errors import NotPrimary
from vdb.kernel.command import Origin
from vdb.kernel.rows import TransactionState
from vdb.kernel.state import State
from vdb.kernel.tables import TRANSACTIONS, transaction_key
from vdb.limits import Limits
from vdb.node.preparing.request import Pending, PlainSession, PlainVoid, nobody
from vdb.node.preparing.request_queue import RequestQueue
from vdb.node.replication.proposer import CROWD, GATHER_TURNS_MAX, Proposer
from vdb.types import GroupId, TenantId

EU = GroupId("eu-west-1")


def state_with_parts() -> State:
    """A transaction of another view is open in it."""
    held = TransactionState(transaction=7, origin=Origin(), tenant=TenantId(1), parts=1, records=0, targets=())
    state = State.empty(EU, 4)
    rows = [(table, key, value) for table, found in state.tables().items() for key, value in found.items()]
    return State.from_rows(EU, 4, [*rows, (TRANSACTIONS, transaction_key(7), held.pack())])


def test_what_voids_the_parts_of_another_view_stays_first() -> None:
    """The view goes on when nobody takes over; an append before the void would stand between two parts."""
    proposer = object.__new__(Proposer)
    proposer.queue = RequestQueue(EU, Limits())
    proposer._replica = SimpleNamespace(abdicated=True, can_propose=lambda: False, op=0)
    proposer._executor = SimpleNamespace(is_checkpoint_op=lambda op: False, checkpoint_busy=False)
    proposer._journal = SimpleNamespace(has_waiting=False)
    proposer._not_primary = lambda: NotPrimary("elsewhere")
    proposer._prepared = state_with_parts()
    proposer._sending = None
    proposer._pumping = False
    proposer._void_what_is_open(proposer._prepared)
    lost: list[object] = []
    for _ in range(2):
        proposer.queue.add(Pending(request=PlainSession(), on_reply=nobody, on_lost=lost.append, size=1))
        proposer.pump()
        assert [pending.request for pending in proposer.queue.take_all()] == [PlainVoid(transaction=7)]
        proposer._void_what_is_open(proposer._prepared)
    assert [str(error) for error in lost] == ["elsewhere", "elsewhere"]


async def test_a_crowd_that_still_grows_is_let_in() -> None:
    assert await gathered(CROWD, coming=100) == CROWD, "a few don't wait"
    assert await gathered(CROWD + 1, coming=0) == CROWD + 1
    # Each turn of the loop brings one; who has the first turn is chance, and without a newcomer nobody waits longer.
    grown = [await gathered(CROWD + 1, coming=100) for _ in range(50)]
    assert CROWD + 1 < max(grown) <= CROWD + 1 + GATHER_TURNS_MAX


async def gathered(waiting: int, *, coming: int) -> int:
    """How many are there in the end, of so many and those who come later."""
    proposer = object.__new__(Proposer)
    proposer._limits = Limits()
    proposer.queue = RequestQueue(EU, proposer._limits)

    def come() -> None:
        proposer.queue.add(Pending(request=PlainSession(), on_reply=nobody, on_lost=nobody, size=1))

    async def arrive() -> None:
        for _ in range(coming):
            come()
            await trio.lowlevel.checkpoint()

    for _ in range(waiting):
        come()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        await proposer._gather()
        found = len(proposer.queue)
        nursery.cancel_scope.cancel()
    return found
