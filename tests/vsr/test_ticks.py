"""What happens because time passes: heartbeats, suspicion, patience, step-down, and words said again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from sim.cores.hand import Hand
from vdb.vsr.message import (
    Abdicate,
    CommitMessage,
    DoViewChange,
    Ping,
    PrepareMessage,
    PrepareOk,
    RequestStartView,
    StartViewChange,
)
from vdb.vsr.replica import Status

Make = Callable[..., Hand]


@pytest.fixture
def three(group: Make) -> Hand:
    made = group(3)
    made.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in made.hosts.values()))
    return made


def test_the_primary_beats(three: Hand) -> None:
    three.sent.clear()
    three.tick(10 * three.timing.heartbeat)
    beats = three.messages(CommitMessage, 1, 0)
    assert len(beats) == 10
    assert [beat.round for beat in beats] == list(range(beats[0].round, beats[0].round + 10))
    assert three.messages(CommitMessage, 0) == []


def test_everybody_pings(three: Hand) -> None:
    three.sent.clear()
    three.tick(3 * three.timing.ping)
    assert [len(three.messages(Ping, number, (number + 1) % 3)) for number in three.hosts] == [3, 3, 3]


def test_one_alone_has_nobody_to_speak_to(group: Make) -> None:
    one = group(1)
    one.sent.clear()
    one.tick(100)
    assert one.sent == []


def test_silence_becomes_suspicion_within_bounds(three: Hand) -> None:
    three.crash(1)
    backup = three.hosts[0].replica
    began = backup.tick
    three.tick_until(lambda: backup.wish == 2 or backup.view == 2)
    timing = three.timing
    assert timing.suspicion_min <= backup.tick - began <= timing.suspicion_max + timing.jitter + 1


def test_backups_don_t_suspect_in_step(group: Make) -> None:
    """Jitter is drawn from the shell's randomness."""
    bounds = set()
    for seed in range(20):
        made = group(3)
        made.hosts[0].random = Random(seed)
        made.hosts[0].start()
        bounds.add(made.hosts[0].replica.rhythm.bound)
    assert len(bounds) > 1


def test_a_wish_is_said_again_until_it_is_fulfilled(three: Hand) -> None:
    three.cut(0)
    three.sent.clear()
    three.tick(60)
    said = three.messages(StartViewChange, 0, 2)
    assert {wish.view for wish in said} == {2}
    assert 60 // three.timing.resend >= len(said) >= 5


def test_patience_doubles_with_each_view_that_doesn_t_start(group: Make) -> None:
    made = group(5)
    made.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in made.hosts.values()))
    made.crash(1)
    made.lose = lambda _sender, _to, message: isinstance(message, DoViewChange)
    replica = made.hosts[0].replica
    entered: dict[int, int] = {}
    for _ in range(700):
        made.tick()
        entered.setdefault(replica.view, replica.tick)
    times = [tick for view, tick in sorted(entered.items()) if view >= 2]
    waits = [after - before for before, after in pairwise(times)]
    view_change, jitter = made.timing.view_change, made.timing.jitter
    assert len(waits) >= 4
    for number, wait in enumerate(waits[:4]):
        assert view_change << number <= wait <= (view_change << number) + jitter + 2 * made.timing.resend


def test_a_primary_that_hears_nobody_steps_down(three: Hand) -> None:
    three.cut(1)
    primary = three.hosts[1].replica
    three.tick(three.timing.step_down + 1, 1)
    assert primary.abdicated
    assert not primary.can_propose()
    three.sent.clear()
    three.tick(20, 1)
    assert three.messages(CommitMessage, 1) == [], "no heartbeat: it isn't the primary any more"


def test_a_primary_that_stepped_down_in_vain_goes_on(three: Hand) -> None:
    """Nobody takes over, and a quorum is there again: it is better than none."""
    three.lose = lambda _sender, _to, message: isinstance(message, StartViewChange)
    three.hosts[1].feed(Abdicate())
    three.settle()
    primary = three.hosts[1].replica
    assert primary.abdicated
    three.tick_until(lambda: not primary.abdicated)
    assert (primary.view, primary.wish) == (1, 0)
    three.commit(b"a")


def test_prepares_without_a_quorum_are_sent_again_to_those_who_are_silent(three: Hand) -> None:
    three.lose = lambda _sender, to, message: to == 0 and isinstance(message, PrepareMessage)
    three.stalled[2] = None
    three.propose(b"a")
    three.settle()
    three.heal()
    three.sent.clear()
    three.tick(4 * three.timing.resend)
    assert three.messages(PrepareMessage, 1, 0) != []
    assert three.hosts[1].replica.commit_number == 1


def test_acks_that_were_lost_come_with_the_next_heartbeat(three: Hand) -> None:
    three.lose = lambda sender, to, message: to == 1 != sender and isinstance(message, PrepareOk)
    three.propose(b"a")
    three.settle()
    assert three.hosts[1].replica.commit_number == 0
    three.heal()
    three.tick(three.timing.heartbeat)
    assert three.hosts[1].replica.commit_number == 1


def test_a_heard_view_is_asked_for_and_in_the_end_entered(three: Hand) -> None:
    """Its start may have been lost, or it may never have started: then this replica helps."""
    three.cut(0)
    backup = three.hosts[0]
    backup.deliver(Ping(view=6, commit=0, checkpoint_op=0, replica=2))
    three.tick(1, 0)
    assert three.messages(RequestStartView, 0)[-1].view == 6
    assert backup.replica.view == 1
    three.tick(three.timing.view_change + 2, 0)
    assert backup.replica.view == 6


def test_one_unsure_of_its_head_asks_until_it_is_told(three: Hand) -> None:
    three.commit(b"a")
    three.hosts[0].damage(1)
    three.crash(0)
    three.cut(0)
    three.sent.clear()
    three.hosts[0].start()
    three.tick(4 * three.timing.resend, 0)
    assert len(three.messages(RequestStartView, 0, 1)) == 4
    assert three.messages(StartViewChange, 0) == []
    three.heal()
    three.tick(three.timing.resend + 1)
    assert three.hosts[0].replica.status is Status.NORMAL
