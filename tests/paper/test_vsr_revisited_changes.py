"""Viewstamped Replication Revisited (2012) on groups of three and more: 4.2, 4.3, 5 and 7.

View changes, recovery, state transfer with checkpoints, reconfiguration. The docstring of each test says what the paper
asks, in our words, or where VerityDB departs from it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from sim.cores.host import fresh
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import (
    CommitMessage,
    DoViewChange,
    Headers,
    PrepareMessage,
    PrepareOk,
    RequestPrepare,
    RequestStartView,
    StartView,
    StartViewChange,
)
from vdb.vsr.replica import Status

PRIMARY = 1

# Section 4.2: view changes ---------------------------------------------------------------------------------------


def test_backups_watch_the_primary(three: Hand) -> None:
    """Section 4.2: a backup that hears nothing for a timeout starts a view change; a commit message is a sign of life.

    The timeout here follows the rhythm of the primary's own messages.
    """
    three.tick(200)
    assert [host.replica.view for host in three.hosts.values()] == [1, 1, 1]
    three.crash(PRIMARY)
    three.tick(30)
    assert three.messages(StartViewChange, 0) != []


def test_start_view_change_is_a_wish(three: Hand) -> None:
    """Section 4.2, step 1, a departure: the paper's replica moves to the new view when its own timer says so. Here it
    stays where it is, and goes on working, until a quorum wants to leave."""
    three.hosts[0].deliver(StartViewChange(view=2, replica=2, configuration=three.hosts[0].replica.configuration))
    backup = three.hosts[0].replica
    assert (backup.view, backup.status) == (1, Status.NORMAL)
    three.commit(b"a")


def test_do_view_change_follows_a_quorum_of_start_view_changes(three: Hand) -> None:
    """Section 4.2, step 2: with f start_view_changes of others, a do_view_change goes to the new primary."""
    three.crash(PRIMARY)
    three.tick_until(lambda: three.hosts[0].replica.view == 2)
    assert [(vote.view, vote.to) for vote in three.messages(DoViewChange, 0, 2)][-1] == (2, 2)


def test_do_view_change_tells_log_view_and_commit_number(three: Hand) -> None:
    """Section 4.2, step 2: it holds the view, the log, the last normal view, op-number and commit-number.

    A departure: of the log it has the headers above the commit-number alone, each with what is known of its prepare.
    """
    [first, second] = three.commit(b"a", b"b")
    three.tick(3)
    three.crash(PRIMARY)
    three.tick_until(lambda: three.hosts[0].replica.view == 2)
    vote = three.messages(DoViewChange, 0, 2)[-1]
    assert (vote.view, vote.log_view, vote.commit) == (2, 1, 2)
    assert [(entry.op, entry.header, entry.present) for entry in vote.tail] == [(2, second, True)]
    assert second.parent == first.checksum


def test_the_new_primary_needs_f_plus_1_votes(serving: Callable[[int], Hand]) -> None:
    """Section 4.2, step 3: it waits for f + 1 do_view_changes, its own among them."""
    five = serving(5)
    five.crash(PRIMARY)
    five.lose = lambda sender, to, message: to == 2 != sender and sender != 3 and isinstance(message, DoViewChange)
    five.tick_until(lambda: five.hosts[2].replica.view == 2)
    five.tick(5)
    assert list(five.hosts[2].replica.votes) in ([2, 3], [3, 2])
    assert five.hosts[2].replica.status is Status.VIEW_CHANGE


def test_start_view_holds_the_new_log(three: Hand) -> None:
    """Section 4.2, step 4: the primary sets its status to normal and tells the others: log, op- and commit-number."""
    [header] = three.propose(b"a")
    three.settle()
    three.crash(PRIMARY)
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    start = next(message for message in three.messages(StartView, 2) if message.view == 2)
    assert (start.commit, start.tail) == (0, (header,))


def test_backups_of_the_new_view_acknowledge_what_isn_t_committed(three: Hand) -> None:
    """Section 4.2, step 5: on start_view the others take the log, and acknowledge its uncommitted ops."""
    three.propose(b"a")
    three.settle()
    three.crash(PRIMARY)
    three.tick_until(lambda: three.hosts[0].replica.view == 2 and three.hosts[0].replica.status is Status.NORMAL)
    assert {(ok.view, ok.op) for ok in three.messages(PrepareOk, 0, 2)} == {(2, 1)}
    assert three.hosts[2].replica.commit_number == 1


def test_no_message_of_the_old_view_counts_after_the_change(three: Hand) -> None:
    """Section 4.2: a replica that moved on doesn't process prepares of the old primary."""
    three.cut(PRIMARY)
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    [header] = three.propose(b"new")
    old = three.hosts[PRIMARY].propose(b"old", 0)
    assert old is not None
    three.heal()
    three.settle()
    assert three.hosts[0].replica.log.checksum(1) == header.checksum


def test_a_failed_new_primary_is_followed_by_the_next(serving: Callable[[int], Hand]) -> None:
    """Section 4.2: a view change that doesn't complete is followed by another, to the next view."""
    five = serving(5)
    five.crash(PRIMARY)
    five.crash(2)
    five.tick_until(lambda: five.hosts[3].replica.is_serving_primary)
    assert five.hosts[3].replica.view == 3


# Section 4.3: recovery -------------------------------------------------------------------------------------------


def test_a_replica_recovers_from_its_own_disk(three: Hand) -> None:
    """Section 4.3, a departure: no recovery from the memory of others: it can't survive a crash of all. What was voted
    and acknowledged is on the replica's own disk, so it takes part again at once."""
    [header] = three.commit(b"a")
    three.restart(0)
    backup = three.hosts[0].replica
    assert (backup.status, backup.view, backup.op) == (Status.NORMAL, 1, 1)
    assert backup.log.is_held(1)
    assert backup.log.checksum(1) == header.checksum


def test_a_crash_of_all_loses_nothing(three: Hand) -> None:
    """Section 4.3, a departure: the paper's group stops for good when more than f replicas fail at once."""
    headers = three.commit(b"a", b"b")
    for number in three.hosts:
        three.crash(number)
    for host in three.hosts.values():
        host.start()
    three.tick_until(lambda: all(host.replica.commit_number == 2 for host in three.hosts.values()))
    assert three.primary.replica.log.checksum(2) == headers[1].checksum


def test_a_primary_that_recovers_doesn_t_go_on_in_its_view(three: Hand) -> None:
    """Section 4.3: the group must not take a recovering primary for the one that it was."""
    three.commit(b"a")
    three.restart(PRIMARY)
    assert three.hosts[PRIMARY].replica.status is Status.VIEW_CHANGE
    three.tick_until(lambda: any(host.replica.is_serving_primary for host in three.hosts.values()))
    assert three.primary.replica.view >= 2


def lost_head(three: Hand) -> None:
    """0 has acknowledged an op whose slot is then damaged."""
    three.commit(b"a")
    three.hosts[0].damage(1)
    three.restart(0)
    assert three.hosts[0].replica.status is Status.RECOVERING_HEAD


def test_a_replica_unsure_of_its_log_doesn_t_take_part(three: Hand) -> None:
    """Section 4.3: while it recovers, a replica takes no part in requests and view changes."""
    lost_head(three)
    backup = three.hosts[0].replica
    configuration = backup.configuration
    for message in (
        StartViewChange(view=9, replica=2, configuration=configuration),
        StartViewChange(view=9, replica=1, configuration=configuration),
        CommitMessage(view=1, commit=0, replica=1),
    ):
        assert backup.on(message).messages == ()
    assert backup.view == 1


def test_a_nonce_tells_answers_to_this_life_from_others(three: Hand) -> None:
    """Section 4.3: the recovering replica sends a nonce, and believes only an answer that holds it."""
    lost_head(three)
    backup = three.hosts[0]
    old = StartView(
        view=1, commit=0, checkpoint_op=0, checkpoint_id=bytes(32), tail=(), nonce=backup.replica.nonce + 1, replica=1
    )
    backup.deliver(old)
    assert backup.replica.status is Status.RECOVERING_HEAD
    three.tick(10)
    assert three.messages(RequestStartView, 0)[-1].nonce == backup.replica.nonce
    assert (backup.replica.status, backup.replica.op) == (Status.NORMAL, 1)
    assert backup.replica.log.is_held(1)


# Section 5: checkpoints and state transfer -----------------------------------------------------------------------


def test_checkpoints_let_the_log_be_cut(three: Hand) -> None:
    """Section 5.1: every so many ops, state is saved, and the log below may go: here its slots are written again, when
    a quorum has the checkpoint."""
    for number in range(3 * three.limits.wal_slots):
        three.commit(b"%d" % number)
        three.tick(3)
    assert all(len(host.platter.slots) <= three.limits.wal_slots for host in three.hosts.values())
    assert three.primary.replica.checkpoint_op > 2 * three.limits.wal_slots


def test_a_slot_isn_t_written_again_before_a_quorum_has_the_checkpoint(three: Hand) -> None:
    """Section 5.1, a departure: the paper cuts by the replica's own checkpoint, and relies on state transfer."""
    primary = three.primary.replica
    for number in range(three.limits.wal_slots):
        three.commit(b"%d" % number)
    three.tick(10)
    assert primary.can_propose()
    for backup in (0, 2):
        primary.peer(backup).checkpoint_op = 0
    assert primary.checkpoint_op > 0
    assert not primary.can_propose()


def test_a_replica_that_lacks_ops_gets_them_from_the_others(three: Hand) -> None:
    """Section 5.2: a replica that fell behind in its view asks for what it lacks."""
    three.cut(0)
    three.commit(b"a", b"b", b"c")
    three.heal()
    three.tick(20)
    assert three.hosts[0].replica.commit_number == 3
    assert three.messages(RequestPrepare, 0) != []
    assert three.messages(PrepareMessage, None, 0) != []


def test_a_replica_far_behind_gets_a_checkpoint(three: Hand) -> None:
    """Section 5.2 and 5.3: when the others have cut their logs, it gets their state instead."""
    three.cut(0)
    for number in range(2 * three.limits.wal_slots):
        three.commit(b"%d" % number)
        three.tick(2)
    three.heal()
    three.tick_until(lambda: three.hosts[0].replica.commit_number == three.primary.replica.commit_number)
    assert three.hosts[0].state == three.primary.state
    assert three.hosts[0].platter.checkpoint.op > 0


def test_headers_are_believed_where_they_chain(three: Hand) -> None:
    """Section 5.2, a departure: what comes from one other replica is checked against the log's own hashes."""
    three.cut(0)
    three.commit(b"a", b"b")
    [forged] = three.propose(b"c")
    three.settle()
    three.heal()
    three.lose = lambda _sender, to, message: to == 0 and isinstance(message, Headers | StartView)
    three.propose(b"d")
    three.settle()
    backup = three.hosts[0]
    assert (backup.replica.op, backup.replica.log.header(3)) == (4, None)
    wrong = three.primary.replica.log.header(2)
    assert wrong is not None
    backup.deliver(Headers(headers=(wrong,), replica=2))
    assert backup.replica.log.header(2) is None
    backup.deliver(Headers(headers=(forged, wrong), replica=2))
    assert backup.replica.log.header(2) == wrong


# Section 7: reconfiguration --------------------------------------------------------------------------------------


def test_a_reconfiguration_is_an_op_of_the_log(three: Hand) -> None:
    """Section 7.1: a request of an administrator is ordered by the primary as any other; its op starts an epoch.

    The number of the epoch here is that op's.
    """
    header = three.reconfigure((0, 1))
    three.settle()
    assert (header.is_reconfiguration, header.configuration.epoch) == (True, header.op)
    assert three.primary.replica.committed_configuration == header.configuration


def test_no_requests_are_taken_while_the_group_changes(three: Hand) -> None:
    """Section 7.1: after a reconfiguration the primary stops accepting requests, until the new epoch begins."""
    three.reconfigure((0, 1))
    assert not three.primary.replica.can_propose()
    three.settle()
    assert three.primary.replica.can_propose()


def test_a_reconfiguration_commits_in_the_old_group_and_in_the_new(serving: Callable[[int], Hand]) -> None:
    """Section 7.1, a departure: in the paper the old group decides, and the new one starts when state was handed over.
    Here a quorum of both must have the op, so that no quorum of either is blind to the other."""
    five = serving(5)
    five.cut(2, 3, 4)
    five.reconfigure((0, 1))
    five.settle()
    assert five.primary.replica.commit_number == 0, "two of two in the new group, and two of five in the old one"
    five.heal()
    five.tick(15)
    assert five.hosts[PRIMARY].replica.commit_number == 1 or five.primary.replica.view > 1


def test_a_new_replica_learns_before_it_votes(three: Hand) -> None:
    """Section 7.2: new replicas get the state before the epoch begins. Here they are learners first."""
    three.commit(b"a")
    joining = Configuration(epoch=0, base_view=0, base_index=0, voters=(0, 1, 2), learners=(3,))
    three.add(3, fresh(joining, joins=True))
    three.reconfigure((0, 1, 2), (3,))
    three.settle()
    three.tick_until(lambda: three.hosts[3].replica.commit_number == 2)
    three.commit(b"b")
    assert three.messages(PrepareOk, 3) == []
    assert three.messages(DoViewChange, 3) == []
    three.reconfigure((0, 1, 2, 3))
    three.settle()
    three.commit(b"c")
    assert three.messages(PrepareOk, 3) != []


def test_the_new_group_survives_its_primary(three: Hand) -> None:
    """Section 7.3: after the change the new group tolerates its own failures, without the replicas that left."""
    three.reconfigure((0, 1))
    three.settle()
    three.tick(5)
    assert three.hosts[2].removed
    three.restart(PRIMARY)
    three.tick_until(lambda: any(three.hosts[number].replica.is_serving_primary for number in (0, 1)))
    three.commit(b"a")


def test_old_replicas_are_told_of_the_new_epoch(three: Hand) -> None:
    """Section 7.4: a replica of the old epoch that speaks to the new group learns that it was replaced."""
    three.cut(2)
    three.reconfigure((0, 1))
    three.settle()
    three.heal()
    three.tick_until(lambda: three.hosts[2].removed)
    with pytest.raises(AssertionError):
        three.hosts[PRIMARY].replica.next_configuration((0,), ())
