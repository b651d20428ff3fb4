"""Normal operation: what a prepare, an ack, a heartbeat and a confirmation do, and what they mustn't do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from vdb.vsr.message import CommitMessage, CommitOk, PrepareMessage, PrepareOk
from vdb.vsr.replica import Status

Make = Callable[..., Hand]


@pytest.fixture
def three(group: Make) -> Hand:
    made = group(3)
    made.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in made.hosts.values()))
    return made


def test_an_ack_of_another_prepare_counts_for_nothing(three: Hand) -> None:
    primary = three.primary
    three.stalled[0] = three.stalled[2] = None
    three.propose(b"a")
    three.settle()
    primary.feed(PrepareOk(view=1, op=1, checksum=b"x" * 32, replica=0))
    primary.feed(PrepareOk(view=1, op=2, checksum=b"x" * 32, replica=0))
    assert primary.replica.commit_number == 0


def test_a_learner_s_ack_counts_for_nothing(three: Hand) -> None:
    primary = three.primary
    three.stalled[0] = three.stalled[2] = None
    [header] = three.propose(b"a")
    three.settle()
    primary.feed(PrepareOk(view=1, op=1, checksum=header.checksum, replica=9))
    assert primary.replica.commit_number == 0


def test_a_prepare_beyond_the_ring_waits(three: Hand) -> None:
    backup = three.hosts[0].replica
    for number in range(three.limits.wal_slots + 2):
        three.stalled[0] = None
        three.commit(b"%d" % number)
        three.tick(1, 1, 2)
    assert backup.checkpoint_op == 0
    assert all(op <= three.limits.wal_slots for op in three.hosts[0].bodies)


def test_only_the_primary_moves_a_head(three: Hand) -> None:
    three.cut(0)
    [header] = three.propose(b"a")
    three.settle()
    prepare = three.messages(PrepareMessage, 1, 2)[0].prepare
    backup = three.hosts[0].replica
    backup.on(PrepareMessage(prepare=prepare, replica=2))
    assert backup.op == 0
    backup.on(PrepareMessage(prepare=prepare, replica=1))
    assert (backup.op, backup.log.header(1)) == (1, header)


def test_a_heartbeat_with_another_op_at_the_commit_number_commits_nothing(three: Hand) -> None:
    three.propose(b"a")
    three.settle()
    backup = three.hosts[0].replica
    backup.on(CommitMessage(view=1, commit=1, checksum=b"x" * 32, head=1, replica=1))
    assert backup.commit_number == 0


def test_a_heartbeat_of_another_than_the_primary_counts_for_nothing(three: Hand) -> None:
    [header] = three.propose(b"a")
    three.settle()
    backup = three.hosts[0].replica
    ready = backup.on(CommitMessage(view=1, commit=1, checksum=header.checksum, head=1, replica=2))
    assert ready.messages == ()
    assert backup.commit_number == 0


def test_a_round_is_answered_by_a_quorum_of_this_view(three: Hand) -> None:
    primary = three.primary
    three.cut(1)
    primary.confirm(5)
    needed = primary.replica.round
    primary.feed(CommitOk(view=1, round=needed - 1, commit=0, checkpoint_op=0, replica=0))
    primary.feed(CommitOk(view=0, round=needed, commit=0, checkpoint_op=0, replica=0))
    assert three.confirmed == []
    primary.feed(CommitOk(view=1, round=needed, commit=0, checkpoint_op=0, replica=0))
    assert three.confirmed == [(1, 5)]


def test_one_round_answers_all_who_asked_before_it(three: Hand) -> None:
    primary = three.primary
    three.sent.clear()
    for number in range(4):
        primary.confirm(number)
    three.settle()
    assert three.confirmed == [(1, number) for number in range(4)]
    assert len(three.messages(CommitMessage, 1, 0)) == 2, "one for the first, one for those who came meanwhile"


def test_what_a_lost_disk_held_counts_no_more(three: Hand) -> None:
    """A voter that left may come back on another disk, under its number."""
    for number in range(6):
        three.commit(b"%d" % number)
    three.tick(6)
    primary = three.primary.replica
    assert primary.peer(2).checkpoint_op == 6
    three.cut(2)
    three.reconfigure((0, 1), (2,))
    three.settle()
    assert primary.commit_number == 7
    assert primary.peer(2).checkpoint_op == 0


def test_nothing_else_is_in_the_pipeline_beside_a_change(three: Hand) -> None:
    three.propose(b"a")
    with pytest.raises(AssertionError, match="a reconfiguration is alone in the pipeline"):
        three.reconfigure((0, 1))
