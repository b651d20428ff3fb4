"""When a primary gives up its view, and when it mustn't."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.group import TIMING
from sim.cores.hand import Hand
from vdb.vsr.message import Abdicate, DoViewChange, StartViewChange
from vdb.vsr.replica import Status

Make = Callable[..., Hand]


@pytest.fixture
def serving(group: Make) -> Hand:
    made = group(3)
    made.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in made.hosts.values()))
    return made


def test_an_op_after_a_long_rest_is_not_late(serving: Hand) -> None:
    serving.commit(b"a")
    serving.tick(10 * TIMING.step_down)
    primary = serving.primary
    serving.stalled[0] = serving.stalled[1] = serving.stalled[2] = None
    serving.propose(b"b")
    serving.tick(2 * TIMING.step_down)
    assert not primary.replica.abdicated
    serving.stalled.clear()
    serving.settle()
    assert serving.primary is primary
    assert primary.replica.commit_number == 2


def test_a_pipeline_that_does_not_move_is_given_up(serving: Hand) -> None:
    serving.tick(10 * TIMING.step_down)
    serving.stalled[0] = serving.stalled[2] = None
    serving.propose(b"a")
    serving.sent.clear()
    serving.tick(2 * TIMING.step_down)
    assert serving.messages(StartViewChange, 1) == []
    serving.tick()
    assert [wish.view for wish in serving.messages(StartViewChange, 1, 0)] == [2]


def test_a_new_primary_waits_for_those_it_has_not_heard_yet(group: Make) -> None:
    made = group(3)
    made.lose = lambda _sender, to, message: to == 1 and not isinstance(message, DoViewChange)
    made.tick_until(lambda: made.hosts[1].replica.is_serving_primary)
    made.tick(TIMING.step_down, 1)
    assert not made.hosts[1].replica.abdicated
    made.tick(1, 1)
    assert made.hosts[1].replica.abdicated


def test_one_that_becomes_alone_goes_on_though_it_gave_up(group: Make) -> None:
    """Nobody is left who could take over."""
    pair = group(2)
    pair.tick_until(lambda: any(host.replica.is_serving_primary for host in pair.hosts.values()))
    primary = pair.primary
    pair.lose = lambda _sender, _to, message: isinstance(message, StartViewChange)
    pair.reconfigure((primary.number,))
    primary.feed(Abdicate())
    assert primary.replica.abdicated
    pair.settle()
    assert primary.replica.is_alone
    pair.commit(b"a")


def test_one_that_had_all_waits_for_a_prepare_before_it_wants_a_checkpoint(serving: Hand) -> None:
    """Rest isn't a repair that gets nowhere."""
    serving.tick(10 * TIMING.sync_after)
    serving.cut(0)
    backup = serving.hosts[0]
    serving.commit(*(b"%d" % number for number in range(7)))
    assert serving.primary.replica.checkpoint_op > 0
    backup.tick()
    since = backup.replica.tick
    serving.heal()
    serving.tick(TIMING.heartbeat)
    assert backup.replica.progress >= since
