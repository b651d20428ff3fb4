"""View changes by hand: wishes, votes, starts, adoption, and what happens when a change of the group waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from vdb.vsr.message import (
    Abdicate,
    DoViewChange,
    NotMember,
    PeerLost,
    PrepareOk,
    RequestStartView,
    StartView,
    StartViewChange,
)
from vdb.vsr.replica import Status

Make = Callable[..., Hand]


@pytest.fixture
def serving(group: Make) -> Make:
    def make(size: int = 3) -> Hand:
        made = group(size)
        made.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in made.hosts.values()))
        return made

    return make


def views(group: Hand) -> list[int]:
    return [host.replica.view for host in group.hosts.values()]


# Wishes ----------------------------------------------------------------------------------------------------------


def test_nobody_enters_a_view_that_no_quorum_wants(serving: Make) -> None:
    three = serving()
    three.cut(0)
    three.tick(100, 0)
    assert three.hosts[0].replica.wish == 2
    assert views(three) == [1, 1, 1]


def test_one_that_comes_back_disturbs_nobody(serving: Make) -> None:
    three = serving()
    three.cut(0)
    three.tick(100)
    three.heal()
    three.tick(100)
    assert views(three) == [1, 1, 1]
    assert three.hosts[0].replica.wish == 0


@pytest.mark.parametrize(("ticks", "enters"), [(0, True), (100, False)])
def test_wishes_expire(serving: Make, ticks: int, enters: bool) -> None:
    """Of two wishes that would be a quorum, the first is forgotten."""
    five = serving(5)
    backup = five.hosts[2]
    configuration = backup.replica.configuration
    for replica in (0, 3):
        backup.feed(StartViewChange(view=9, replica=replica, configuration=configuration))
    five.tick(ticks)
    backup.feed(StartViewChange(view=9, replica=4, configuration=configuration))
    assert (backup.replica.view == 9) is enters


def test_a_primary_that_gives_up_is_believed(serving: Make) -> None:
    three = serving()
    three.hosts[1].feed(Abdicate())
    three.settle()
    three.tick_until(lambda: three.primary.number == 2)
    assert three.primary.replica.view == 2


def test_a_primary_whose_process_has_ended_is_not_waited_for(serving: Make) -> None:
    three = serving()
    three.tick(10)
    three.crash(1)
    for number in (0, 2):
        three.hosts[number].feed(PeerLost(node=1))
    three.settle()
    assert three.primary.number == 2
    assert three.primary.replica.view == 2


def test_one_that_alone_lost_the_primary_ends_no_view(serving: Make) -> None:
    three = serving()
    three.tick(10)
    three.hosts[0].feed(PeerLost(node=1))
    three.settle()
    assert three.hosts[0].replica.wish == 2
    three.tick(3 * three.timing.suspicion_max)
    assert views(three) == [1, 1, 1]
    assert three.hosts[0].replica.wish == 0


def test_the_loss_of_a_backup_changes_nothing(serving: Make) -> None:
    three = serving()
    three.tick(10)
    for number, lost in ((0, 2), (1, 2), (1, 0)):
        three.hosts[number].feed(PeerLost(node=lost))
    three.settle()
    assert views(three) == [1, 1, 1]
    assert [host.replica.wish for host in three.hosts.values()] == [0, 0, 0]


def test_one_who_is_no_member_is_told_so(serving: Make) -> None:
    three = serving()
    three.tick(20)
    backup = three.hosts[2]
    backup.deliver(StartViewChange(view=9, replica=7, configuration=backup.replica.configuration))
    assert [message.epoch for message in three.messages(NotMember, 2, 7)] == [0]
    assert 7 not in backup.replica.wishes


# Votes -----------------------------------------------------------------------------------------------------------


def test_a_vote_leaves_when_it_is_durable(serving: Make) -> None:
    three = serving()
    three.stalled[0] = None
    three.crash(1)
    three.tick_until(lambda: three.hosts[0].view_change is not None)
    three.sent.clear()
    three.tick(10)
    assert three.messages(DoViewChange, 0) == []
    del three.stalled[0]
    three.settle()
    assert [vote.view for vote in three.messages(DoViewChange, 0)] == [2]


def test_a_vote_is_the_same_each_time_and_after_a_crash(serving: Make) -> None:
    three = serving()
    three.commit(b"a", b"b")
    three.crash(1)
    three.lose = lambda _sender, _to, message: isinstance(message, DoViewChange | StartView)
    three.tick_until(lambda: len(three.messages(DoViewChange, 0)) >= 2)
    three.restart(0)
    three.tick(6)
    votes = [vote for vote in three.messages(DoViewChange, 0) if vote.view == 2]
    assert len(votes) >= 3
    assert all(vote == votes[0] for vote in votes)


def test_no_ack_leaves_after_a_vote(serving: Make) -> None:
    three = serving()
    three.stalled[0] = three.stalled[2] = None
    three.propose(b"a")
    three.settle()
    three.cut(1)
    del three.stalled[2]
    three.lose = lambda _sender, to, message: isinstance(message, DoViewChange | StartView)
    three.hosts[0].feed(StartViewChange(view=2, replica=2, configuration=three.hosts[0].replica.configuration))
    three.tick_until(lambda: three.hosts[0].view_change is not None)
    three.hosts[0].finish_write()
    three.hosts[0].finish_view()
    assert three.messages(PrepareOk, 0) == []


def test_a_second_vote_that_differs_counts_for_nothing(serving: Make) -> None:
    three = serving()
    three.lose = lambda sender, _to, message: isinstance(message, DoViewChange)
    three.crash(1)
    three.tick_until(lambda: three.hosts[2].replica.view == 2)
    new = three.hosts[2].replica
    told = three.messages(DoViewChange, 0)[-1]
    assert told.view == 2
    other = DoViewChange(
        view=2, log_view=told.log_view, commit=told.commit, checkpoint_op=5, to=2, tail=told.tail, replica=0
    )
    new.on(told)
    assert new.votes[0] == told
    new.on(other)
    assert new.votes[0] == told


def test_a_vote_for_another_is_dropped(serving: Make) -> None:
    three = serving()
    vote = DoViewChange(view=5, log_view=1, commit=0, checkpoint_op=0, to=2, tail=(), replica=0)
    three.hosts[1].deliver(vote)
    assert three.hosts[1].replica.view == 1


# Starts ----------------------------------------------------------------------------------------------------------


def test_the_new_primary_serves_when_it_holds_all(serving: Make) -> None:
    """Op 1 is committed by 0 and 1; 2, the next primary, lacks it, and fetches it before it starts."""
    three = serving()
    three.cut(2)
    [header] = three.propose(b"a")
    three.settle()
    assert three.hosts[1].replica.commit_number == 1
    three.crash(1)
    three.heal()
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    assert three.hosts[2].replica.log.checksum(1) == header.checksum
    assert three.hosts[2].replica.commit_number == 1


def test_a_start_fits_into_a_superblock_however_far_behind_its_primary_is(serving: Make) -> None:
    """A primary that starts again has committed nothing above its checkpoint yet: what is known to be is enough."""
    three = serving()
    three.commit(*[b"%d" % number for number in range(5)])
    three.tick(5)
    three.restart(2)
    three.crash(1)
    three.sent.clear()
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    starts = three.messages(StartView, 2)
    assert starts
    assert all(len(start.tail) <= three.limits.pipeline_max + 1 for start in starts)
    assert all(start.commit == 5 for start in starts)


def test_acks_are_counted_from_zero(serving: Make) -> None:
    three = serving()
    three.lose = lambda _sender, to, message: to == 1 and isinstance(message, PrepareOk)
    three.propose(b"a")
    three.settle()
    three.crash(1)
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    views = {ok.view for ok in three.messages(PrepareOk) if ok.op == 1}
    assert views == {1, 2}
    assert three.hosts[2].replica.commit_number == 1


def test_what_an_old_primary_proposed_in_vain_is_cut(serving: Make) -> None:
    three = serving()
    three.commit(b"a")
    three.cut(1)
    three.propose(b"in vain")
    three.settle()
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    three.commit(b"b")
    three.heal()
    three.tick_until(lambda: three.hosts[1].replica.view == 2)
    three.tick(5)
    assert three.hosts[1].replica.commit_number == 2
    assert three.hosts[1].replica.log.checksum(2) == three.hosts[2].replica.log.checksum(2)


def test_an_old_start_doesn_t_replace_what_a_checkpoint_brought(serving: Make) -> None:
    """A replica that stands at a checkpoint of view 3 isn't drawn into view 2, whose log ended below it."""
    three = serving()
    old = StartView(view=2, commit=0, checkpoint_op=0, checkpoint_id=bytes(32), tail=(), replica=2)
    three.cut(0)
    three.commit(*[b"%d" % number for number in range(6)])
    three.tick(2)
    three.hosts[0].install(three.hosts[1].platter.checkpoint)
    assert three.hosts[0].replica.commit_number == 6
    three.hosts[0].deliver(old)
    assert three.hosts[0].replica.view == 1
    assert three.hosts[0].replica.op == 6


def test_one_that_asks_gets_the_log_of_the_view(serving: Make) -> None:
    three = serving()
    three.hosts[1].deliver(RequestStartView(view=1, nonce=77, replica=0))
    assert [start.nonce for start in three.messages(StartView, 1, 0)][-1] == 77


def test_only_the_serving_primary_tells_of_its_log(serving: Make) -> None:
    three = serving()
    three.sent.clear()
    three.hosts[2].deliver(RequestStartView(view=1, nonce=77, replica=0))
    assert three.messages(StartView, 2) == []


# Changes of the group --------------------------------------------------------------------------------------------


def test_a_change_that_doesn_t_survive_is_no_obstacle(serving: Make) -> None:
    """All have heard of it, two have it, and the votes cut it: the primaries of the old configuration start, too."""
    five = serving(5)
    number = five.primary.number
    keeps = next(other for other in five.hosts if other != number)
    five.lose = lambda sender, to, message: sender == number and to != keeps
    five.stalled[keeps] = five.stalled[number] = None
    members = tuple(other for other in five.hosts if other not in (4,))
    five.reconfigure(members)
    five.settle()
    five.crash(number)
    five.heal()
    five.stalled.clear()
    five.tick_until(lambda: any(host.up and host.replica.is_serving_primary for host in five.hosts.values()), 300)
    assert five.primary.replica.view <= 8


def test_a_removed_voter_goes_when_its_removal_is_committed(serving: Make) -> None:
    three = serving()
    three.reconfigure((1, 2))
    three.settle()
    three.tick(5)
    assert three.hosts[0].replica.status is Status.REMOVED
    assert three.hosts[0].removed
    three.commit(b"a")


def test_one_that_missed_its_removal_is_told(serving: Make) -> None:
    three = serving()
    three.cut(0)
    three.reconfigure((1, 2))
    three.settle()
    three.heal()
    three.tick_until(lambda: three.hosts[0].removed)
    assert three.hosts[0].replica.status is Status.REMOVED
