"""Viewstamped Replication Revisited (2012) on groups of three and more: section 3, 4.1 (normal operation) and 6.3.

The docstring of each test says what the paper asks, in our words, or where VerityDB departs from it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from vdb.vsr.configuration import Configuration
from vdb.vsr.message import (
    CommitMessage,
    CommitOk,
    PrepareMessage,
    PrepareOk,
    Propose,
)
from vdb.vsr.quorum import quorums
from vdb.vsr.replica import Status

PRIMARY = 1
BACKUPS = (0, 2)

# Section 3: overview ---------------------------------------------------------------------------------------------


def test_a_group_of_2f_plus_1_survives_f_failures() -> None:
    """Section 2 and 3: with 2f + 1 replicas, f + 1 suffice, for an op as for a view."""
    for f in (0, 1, 2):
        sizes = quorums(2 * f + 1)
        assert (sizes.replication, sizes.view_change) == (f + 1, f + 1)


def test_groups_of_even_size_have_unequal_quorums() -> None:
    """Section 3, a departure: a group may have 2, 4 or 6 replicas; then views need more than ops do."""
    assert [(quorums(size).replication, quorums(size).view_change) for size in (2, 4, 6)] == [(2, 2), (2, 3), (3, 4)]


def test_the_primary_orders_requests_and_the_others_are_backups(three: Hand) -> None:
    """Section 3: one replica is the primary and orders the requests; the others accept its order."""
    assert [host.replica.is_serving_primary for host in three.hosts.values()] == [False, True, False]
    assert not any(three.hosts[backup].replica.can_propose() for backup in BACKUPS)


def test_the_primary_is_chosen_round_robin_by_the_view_number() -> None:
    """Section 4: the replicas are numbered, and the view-number says who is the primary."""
    group = Configuration.founding((0, 1, 2))
    assert [group.primary(view) for view in range(6)] == [0, 1, 2, 0, 1, 2]


def test_order_survives_the_failure_of_the_primary(three: Hand) -> None:
    """Section 3: what committed in one view is in the next one, at the same place, with f replicas down."""
    headers = three.commit(b"a", b"b")
    three.crash(PRIMARY)
    three.tick_until(lambda: three.primary.number == 2 if three.hosts[2].replica.is_serving_primary else False)
    log = three.hosts[2].replica.log
    assert [log.checksum(op) for op in (1, 2)] == [header.checksum for header in headers]


# Section 4.1: normal operation -----------------------------------------------------------------------------------


def test_backups_take_no_requests(three: Hand) -> None:
    """Section 4.1: if a replica isn't the primary, it drops the request (and tells the client who is)."""
    backup = three.hosts[0].replica
    assert not backup.can_propose()
    with pytest.raises(AssertionError):
        backup.on(Propose(body=b"", timestamp=1, request_count=1))
    assert backup.primary == PRIMARY


def test_a_message_of_an_older_view_is_dropped(three: Hand) -> None:
    """Section 4.1: replicas take messages of their own view only; an older sender's are dropped."""
    primary = three.primary.replica
    [header] = three.propose(b"a")
    for view in (0, 2):
        assert primary.on(PrepareOk(view=view, op=1, checksum=header.checksum, replica=0)).commits == ()
    assert primary.commit_number == 0


def test_a_replica_that_is_behind_doesn_t_cut_its_log(three: Hand) -> None:
    """Section 4.1, a departure: the paper's replica, on hearing of a newer view, transfers state and first cuts its log
    to its commit-number. That loses ops that it acknowledged: here it asks for the view's log and keeps its own."""
    three.propose(b"a")
    three.settle()
    backup = three.hosts[0].replica
    assert (backup.op, backup.commit_number) == (1, 0)
    backup.on(CommitMessage(view=5, commit=0, head=0, replica=2))
    assert (backup.view, backup.op, backup.heard_view) == (1, 1, 5)


def test_the_primary_sends_the_prepare_to_all_backups_before_its_own_write(three: Hand) -> None:
    """Section 4.1, step 3: the primary appends and sends to the other replicas. Here it sends while it writes."""
    three.stalled[PRIMARY] = None
    [header] = three.propose(b"a")
    sent = three.messages(PrepareMessage, PRIMARY)
    assert [message.prepare.header for message in sent] == [header, header]
    assert not three.primary.replica.log.is_held(1)


def test_backups_process_prepares_in_order(three: Hand) -> None:
    """Section 4.1, step 4, a departure: a backup need not have all earlier ops to accept and acknowledge a prepare; it
    knows the gap, fetches what is missing, and commits nothing above it."""
    three.lose = lambda _sender, to, message: (
        to == 0 and isinstance(message, PrepareMessage) and message.prepare.header.op == 1
    )
    three.propose(b"a", b"b")
    three.settle()
    backup = three.hosts[0].replica
    assert (backup.op, backup.log.header(1), backup.commit_number) == (2, None, 0)
    assert [ok.op for ok in three.messages(PrepareOk, 0)] == [2]
    three.heal()
    three.tick(10)
    assert backup.commit_number == 2


def test_a_backup_adds_the_request_to_its_log_and_acknowledges(three: Hand) -> None:
    """Section 4.1, step 4: it increments op-number, appends, and sends prepare_ok with view, op and its own number.

    Here the acknowledgement waits until the prepare is durable.
    """
    three.stalled[0] = None
    [header] = three.propose(b"a")
    three.settle()
    assert three.hosts[0].replica.op == 1
    assert three.messages(PrepareOk, 0) == []
    del three.stalled[0]
    three.settle()
    assert three.messages(PrepareOk, 0) == [PrepareOk(view=1, op=1, checksum=header.checksum, replica=0)]


def test_the_primary_commits_after_f_acknowledgements_of_others(three: Hand) -> None:
    """Section 4.1, step 5: it waits for f prepare_oks from different backups, and then the op is committed."""
    primary = three.primary.replica
    three.stalled.update(dict.fromkeys(BACKUPS))
    three.propose(b"a")
    three.settle()
    assert primary.commit_number == 0, "its own acknowledgement is one of two"
    del three.stalled[2]
    three.settle()
    assert primary.commit_number == 1


def test_acknowledgements_must_come_from_different_replicas(serving: Callable[[int], Hand]) -> None:
    """Section 4.1, step 5: from f different backups."""
    five = serving(5)
    five.stalled.update(dict.fromkeys((0, 2, 3, 4)))
    [header] = five.propose(b"a")
    five.settle()
    ok = PrepareOk(view=1, op=1, checksum=header.checksum, replica=0)
    for _ in range(3):
        five.hosts[PRIMARY].feed(ok)
    assert five.primary.replica.commit_number == 0


def test_an_op_commits_after_all_earlier_ones(three: Hand) -> None:
    """Section 4.1, step 5: after it has executed all earlier operations."""
    three.lose = lambda _sender, to, message: to == PRIMARY and isinstance(message, PrepareOk) and message.op == 1
    three.propose(b"a", b"b")
    three.settle()
    assert three.primary.replica.commit_number == 0
    three.heal()
    three.tick(10)
    assert three.primary.replica.commit_number == 2


def test_backups_learn_of_commits_from_the_next_prepare(three: Hand) -> None:
    """Section 4.1, step 6: the primary tells of the commit in the next prepare."""
    three.commit(b"a")
    three.lose = lambda _sender, _to, message: isinstance(message, CommitMessage)
    three.propose(b"b")
    three.settle()
    assert [three.hosts[backup].replica.commit_number for backup in BACKUPS] == [1, 1]


def test_an_idle_primary_tells_of_commits_in_a_message_of_their_own(three: Hand) -> None:
    """Section 4.1, step 6: without a request in time, it sends a commit message instead."""
    three.commit(b"a")
    assert [three.hosts[backup].replica.commit_number for backup in BACKUPS] == [0, 0]
    three.tick(3)
    assert [three.hosts[backup].replica.commit_number for backup in BACKUPS] == [1, 1]


def test_a_backup_commits_what_it_has_in_its_log(three: Hand) -> None:
    """Section 4.1, step 7: on hearing of a commit it waits until it has the request, and until it has executed all
    earlier ones; then it executes, and doesn't answer the client."""
    three.lose = lambda _sender, to, message: to == 0 and isinstance(message, PrepareMessage)
    three.commit(b"a")
    three.tick(3)
    backup = three.hosts[0].replica
    assert (backup.commit_number, backup.commit_known) == (0, 1)
    three.heal()
    three.tick(3)
    assert backup.commit_number == 1


def test_messages_may_come_twice_and_in_any_order(three: Hand) -> None:
    """Section 2: the network may lose, delay, reorder and double messages."""
    three.propose(b"a", b"b")
    for waiting in three.links.values():
        waiting.reverse()
        waiting.extend(list(waiting))
    three.settle()
    three.tick(6)
    assert [host.replica.commit_number for host in three.hosts.values()] == [2, 2, 2]


# Section 6.3: reads ----------------------------------------------------------------------------------------------


def confirm(group: Hand, host: int, number: int) -> None:
    group.hosts[host].confirm(number)


def test_a_read_needs_no_op(three: Hand) -> None:
    """Section 6.3: reads needn't go through the log."""
    three.commit(b"a")
    confirm(three, PRIMARY, 7)
    assert three.confirmed == []
    three.settle()
    assert three.confirmed == [(PRIMARY, 7)]
    assert three.primary.replica.op == 1


def test_a_read_needs_f_others_in_the_view_after_it_began(three: Hand) -> None:
    """Section 6.3, a departure: the paper's primary reads alone while it holds leases of f replicas, which is safe only
    while clocks run alike. Here it asks them after the read has begun."""
    three.tick(10)
    three.lose = lambda _sender, to, message: to == PRIMARY and isinstance(message, CommitOk)
    confirm(three, PRIMARY, 7)
    three.settle()
    assert three.confirmed == [], "earlier answers prove nothing"
    three.heal()
    three.tick(3)
    assert three.confirmed == [(PRIMARY, 7)]


def test_a_deposed_primary_answers_no_read(three: Hand) -> None:
    """Section 6.3: an old primary must not return old results after a view change that it hasn't heard of."""
    three.cut(PRIMARY)
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    assert three.hosts[PRIMARY].replica.status is Status.NORMAL
    confirm(three, PRIMARY, 7)
    three.tick(20)
    three.heal()
    three.tick(40)
    assert three.confirmed == []


def test_backups_confirm_nothing(three: Hand) -> None:
    """Section 6.3: a backup's read may be old; it can't be called current."""
    confirm(three, 0, 7)
    three.tick(10)
    assert three.confirmed == []


def test_a_new_primary_reads_after_it_has_committed_what_it_found(three: Hand) -> None:
    """Section 6.3 and 4.2: an op of the view's first log may have been answered by an earlier primary."""
    three.propose(b"a")
    three.settle()
    three.crash(PRIMARY)
    three.lose = lambda sender, to, message: to == 2 != sender and isinstance(message, PrepareOk)
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    confirm(three, 2, 7)
    three.settle()
    assert (three.hosts[2].replica.commit_number, three.confirmed) == (0, [])
    three.heal()
    three.tick(5)
    assert (three.hosts[2].replica.commit_number, three.confirmed) == (1, [(2, 7)])
