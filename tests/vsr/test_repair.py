"""Repair: what is asked for, what is believed, and when a checkpoint is fetched instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from vdb.vsr.message import (
    Headers,
    NotMember,
    Ping,
    PrepareDamaged,
    PrepareMessage,
    PrepareOk,
    RequestHeaders,
    RequestPrepare,
)
from vdb.vsr.ready import Supply
from vdb.vsr.repair import HEADERS_MAX
from vdb.vsr.replica import Status

Make = Callable[..., Hand]


@pytest.fixture
def three(group: Make) -> Hand:
    made = group(3)
    made.tick_until(lambda: all(host.replica.status is Status.NORMAL for host in made.hosts.values()))
    return made


def test_a_damaged_prepare_is_fetched_when_the_group_is_idle(three: Hand) -> None:
    three.commit(b"a")
    three.tick(5)
    backup = three.hosts[0]
    backup.damage(1)
    backup.feed(PrepareDamaged(op=1, checksum=backup.replica.log.checksum(1) or b""))
    assert backup.replica.log.is_faulty(1)
    three.tick(5)
    assert backup.replica.log.is_held(1)
    assert not backup.platter.faulty


def test_damage_to_what_isn_t_in_the_log_is_no_fault(three: Hand) -> None:
    three.commit(b"a")
    three.hosts[0].feed(PrepareDamaged(op=1, checksum=b"x" * 32))
    assert not three.hosts[0].replica.log.is_faulty(1)


def test_a_round_asks_for_no_more_than_its_budget(three: Hand) -> None:
    three.commit(*[b"%d" % number for number in range(5)])
    three.tick(5)
    backup = three.hosts[0].replica
    for op in range(1, 6):
        backup.log.set_faulty(op)
    three.cut(0)
    three.sent.clear()
    three.tick(1)
    assert [request.op for request in three.messages(RequestPrepare, 0)] == [1, 2, 3, 4]


def test_headers_are_given_from_the_highest_down_to_a_limit(three: Hand) -> None:
    three.commit(b"a", b"b", b"c")
    three.hosts[2].deliver(RequestHeaders(first=1, last=900, replica=0))
    [answer] = three.messages(Headers, 2, 0)
    assert [header.op for header in answer.headers] == [1, 2, 3]
    assert len(answer.headers) <= HEADERS_MAX


def test_who_has_no_header_doesn_t_answer(three: Hand) -> None:
    three.hosts[2].deliver(RequestHeaders(first=1, last=2, replica=0))
    assert three.messages(Headers, 2) == []


def test_only_the_prepare_that_was_named_is_given(three: Hand) -> None:
    [header] = three.commit(b"a")
    backup = three.hosts[2].replica
    assert backup.on(RequestPrepare(op=1, checksum=b"x" * 32, replica=0)).supplies == ()
    assert backup.on(RequestPrepare(op=9, checksum=header.checksum, replica=0)).supplies == ()
    found = backup.on(RequestPrepare(op=1, checksum=header.checksum, replica=0)).supplies
    assert found == (Supply(0, 1, header.checksum),)


def test_headers_never_move_the_head(three: Hand) -> None:
    three.cut(0)
    headers = three.commit(b"a", b"b")
    backup = three.hosts[0].replica
    backup.on(Headers(headers=tuple(headers), replica=2))
    assert (backup.op, backup.log.header(1)) == (0, None)


def test_a_peer_s_commits_are_learnt_from_its_ping(three: Hand) -> None:
    three.lose = lambda _sender, to, message: to == 0 and not isinstance(message, PrepareMessage | Ping)
    three.commit(b"a")
    assert three.hosts[0].replica.commit_number == 0
    three.hosts[0].deliver(Ping(view=1, commit=1, checkpoint_op=0, replica=2))
    assert three.hosts[0].replica.commit_number == 1


def test_commits_of_a_newer_view_prove_nothing_for_this_log(three: Hand) -> None:
    three.stalled[0] = three.stalled[2] = None
    three.propose(b"a")
    three.settle()
    three.hosts[1].deliver(Ping(view=4, commit=1, checkpoint_op=0, replica=2))
    assert three.hosts[1].replica.commit_number == 0
    assert three.hosts[1].replica.heard_view == 4


def test_a_checkpoint_of_a_newer_view_isn_t_fetched_before_that_view_s_log(three: Hand) -> None:
    """With commits of a newer view, this one would vouch for another log in its own view."""
    three.lose = lambda _sender, to, message: to == 0 and not isinstance(message, Ping)
    three.commit(b"a")
    backup = three.hosts[0]
    backup.replica.commit_known = 1
    three.cut(0)
    backup.deliver(Ping(view=4, commit=12, checkpoint_op=12, replica=2))
    targets = []
    for _ in range(three.timing.sync_after + 1):
        backup.tick()
        targets.append(backup.sync)
    assert targets == [None] * len(targets)
    backup.deliver(Ping(view=1, commit=12, checkpoint_op=12, replica=2))
    backup.tick()
    assert backup.sync is not None
    assert backup.sync.sources == (2,)


def test_one_that_joins_isn_t_removed_by_those_who_don_t_know_it_yet(three: Hand) -> None:
    backup = three.hosts[0].replica
    backup.on(NotMember(epoch=0, replica=2))
    assert backup.status is Status.NORMAL
    backup.on(NotMember(epoch=5, replica=2))
    assert backup.status is Status.REMOVED


def test_an_ack_is_repeated_for_what_comes_twice(three: Hand) -> None:
    three.lose = lambda sender, to, message: to == 1 != sender and isinstance(message, PrepareOk)
    three.propose(b"a")
    three.settle()
    three.heal()
    prepare = three.messages(PrepareMessage, 1, 0)[0]
    three.hosts[0].deliver(prepare)
    three.settle()
    assert three.primary.replica.commit_number == 1
