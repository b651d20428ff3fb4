"""Where a replica stands after a start: what of its log it keeps, what it says, and when it isn't sure."""

from __future__ import annotations

from collections.abc import Callable

from sim.cores.hand import Hand
from vdb.vsr.replica import Status

Make = Callable[..., Hand]


def serving(group: Hand) -> Hand:
    group.tick_until(lambda: any(host.replica.is_serving_primary for host in group.hosts.values() if host.up))
    return group


# Alone -----------------------------------------------------------------------------------------------------------


def test_one_that_became_alone_serves_after_a_restart(group: Make) -> None:
    """It knows from later ops that its own configuration is committed: those who left have no say any more."""
    pair = serving(group(2))
    number = pair.primary.number
    pair.commit(b"a")
    pair.reconfigure((number,))
    pair.settle()
    pair.commit(b"b", b"c")
    pair.crash(1 - number)
    pair.restart(number)
    pair.settle()
    assert pair.hosts[number].replica.is_serving_primary
    assert pair.hosts[number].replica.commit_number == 4


def test_one_that_became_alone_has_no_op_above_a_gap(group: Make) -> None:
    pair = serving(group(2))
    number = pair.primary.number
    pair.reconfigure((number,))
    pair.settle()
    pair.commit(b"a")
    pair.propose(b"lost", b"landed")
    host = pair.hosts[number]
    del host.writes[0]
    host.finish_write()
    pair.restart(number)
    pair.settle()
    assert (host.replica.op, host.replica.commit_number) == (2, 2)
    assert host.replica.status is Status.NORMAL
    pair.commit(b"b")
