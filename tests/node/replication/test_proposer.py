"""What a primary that has given up its view keeps in its queue, in case that nobody takes over."""

from __future__ import annotations

from types import SimpleNamespace

from vdb.errors import NotPrimary
from vdb.kernel.command import Origin
from vdb.kernel.rows import TransactionState
from vdb.kernel.state import State
from vdb.kernel.tables import TRANSACTIONS, transaction_key
from vdb.limits import Limits
from vdb.node.preparing.request import Pending, PlainSession, PlainVoid, nobody
from vdb.node.preparing.request_queue import RequestQueue
from vdb.node.replication.proposer import Proposer
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
