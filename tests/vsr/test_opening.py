"""Where a replica stands after a start: what of its log it keeps, what it says, and when it isn't sure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.cores.hand import Hand
from sim.cores.host import fresh
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import Abdicate, DoViewChange, Opened, StartView, Tick
from vdb.vsr.replica import Replica, Status
from vdb.vsr.tail import encode_log, encode_vote

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


# Unsure of its head ----------------------------------------------------------------------------------------------


def without_a_head(group: Make, lost: int) -> Hand:
    """A pair in which this one, primary or not, has acked op 2 and found its slot damaged at a start."""
    pair = serving(group(2))
    pair.commit(b"a", b"b")
    pair.settle()
    pair.hosts[lost].damage(2)
    pair.crash(0)
    pair.crash(1)
    pair.restart(lost)
    assert pair.hosts[lost].replica.status is Status.RECOVERING_HEAD
    return pair


@pytest.mark.parametrize("lost", [0, 1])
def test_of_two_the_other_one_tells_the_log(group: Make, lost: int) -> None:
    """Nobody else could, and what was committed the other one has acked."""
    pair = without_a_head(group, lost)
    pair.restart(1 - lost)
    pair.tick_until(lambda: all(host.replica.commit_number == 2 for host in pair.hosts.values()))
    pair.commit(b"c")
    [vote] = {vote.view: vote for vote in pair.messages(DoViewChange, lost) if vote.unsure}.values()
    assert not vote.tail or vote.tail[-1].op < 2


def test_one_of_two_stays_unsure_over_a_restart_until_it_has_taken_a_log(group: Make) -> None:
    pair = without_a_head(group, 1)
    pair.restart(0)
    pair.lose = lambda sender, to, message: isinstance(message, StartView)
    pair.tick_until(lambda: pair.hosts[1].replica.vote is not None)
    pair.restart(1)
    assert pair.hosts[1].replica.status is Status.VIEW_CHANGE
    assert pair.hosts[1].replica.unsure
    pair.heal()
    pair.tick_until(lambda: all(host.replica.commit_number == 2 for host in pair.hosts.values()))
    assert not pair.hosts[1].replica.unsure
    pair.commit(b"c")


def test_one_that_is_unsure_moves_nobody_alone(group: Make) -> None:
    pair = without_a_head(group, 1)
    pair.tick(200)
    assert pair.hosts[1].replica.view == pair.hosts[1].platter.log_view
    assert not any(vote.unsure for vote in pair.messages(DoViewChange, 1))


def test_one_of_two_that_joins_on_an_empty_disk_does_not_abstain(group: Make) -> None:
    """It doesn't know what its old disk promised."""
    pair = serving(group(2))
    pair.commit(b"a")
    pair.crash(0)
    pair.crash(1)
    pair.hosts[1].platter = fresh(pair.hosts[1].replica.configuration, joins=True)
    pair.restart(1)
    pair.restart(0)
    pair.tick(200)
    assert pair.hosts[1].replica.status is Status.RECOVERING_HEAD
    assert not any(vote.unsure for vote in pair.messages(DoViewChange, 1))


def test_one_that_joins_asks_a_primary_that_it_was_not_told_of(group: Make) -> None:
    four = serving(group(3))
    founding = four.primary.replica.configuration
    four.add(3, fresh(founding, joins=True))
    four.reconfigure((0, 1, 2), (3,))
    four.tick(20)
    four.reconfigure((0, 1, 2, 3))
    four.tick(20)
    while not four.hosts[3].replica.is_serving_primary:
        four.primary.feed(Abdicate())
        four.tick(5)
    four.crash(0)
    four.reconfigure((1, 2, 3), (0,))
    four.tick(20)
    four.hosts[0].platter = fresh(founding, joins=True)
    four.restart(0)
    assert 3 not in four.hosts[0].replica.others()
    four.tick_until(lambda: four.hosts[0].replica.commit_number == four.primary.replica.commit_number)
    assert four.hosts[0].replica.is_learner


# Logs that end at a checkpoint -----------------------------------------------------------------------------------


def at_a_checkpoint_with_another_log_at_one(group: Make) -> Hand:
    """1 has ops 5 and 6 of its own; 0 and 2 have committed others, stand at checkpoint 6, and know no header."""
    three = serving(group(3))
    assert three.primary.number == 1
    three.commit(b"1", b"2", b"3", b"4")
    three.tick(5)
    three.cut(1)
    three.propose(b"5 in vain", b"6 in vain")
    three.tick_until(lambda: three.hosts[2].replica.is_serving_primary)
    three.commit(b"5", b"6")
    three.tick(5)
    three.restart(0)
    three.restart(2)
    three.tick_until(lambda: any(three.hosts[number].replica.is_serving_primary for number in (0, 2)))
    assert three.primary.platter.checkpoint.op == three.primary.replica.op == 6
    assert three.hosts[1].replica.log.header(5) is not None
    return three


def test_an_empty_tail_confirms_nothing_above_the_commit_number(group: Make) -> None:
    """It names no header: what a laggard has at those ops may be what an old primary proposed in vain."""
    three = at_a_checkpoint_with_another_log_at_one(group)
    three.heal()
    three.tick_until(lambda: three.hosts[1].replica.view == three.primary.replica.view)
    three.tick(3)
    laggard = three.hosts[1].replica
    assert (laggard.status, laggard.op, laggard.commit_number) == (Status.NORMAL, 4, 4)
    three.commit(b"7")
    three.tick_until(lambda: three.hosts[1].replica.commit_number == 7, 60)


def test_a_primary_that_lacks_the_checkpoint_starts_no_view_with_an_empty_tail(group: Make) -> None:
    three = at_a_checkpoint_with_another_log_at_one(group)
    three.crash(three.primary.number)
    three.heal()
    other = next(three.hosts[number] for number in (0, 2) if three.hosts[number].up)
    three.tick_until(lambda: other.replica.is_serving_primary)
    assert three.hosts[1].replica.log.header(5) is None


# Acks above a gap ------------------------------------------------------------------------------------------------


def test_one_that_is_not_alone_any_more_keeps_what_it_acked_above_a_gap(group: Make) -> None:
    """Its view began when it was alone, so the superblock names no tail. It may have acked what others commit."""
    one = serving(group(1))
    one.add(1, fresh(Configuration(epoch=0, base_view=0, base_index=0, voters=(0,), learners=(1,)), joins=True))
    one.reconfigure((0,), (1,))
    one.settle()
    one.tick(10)
    one.reconfigure((0, 1))
    one.settle()
    assert one.hosts[0].replica.commit_number == 2
    one.propose(b"3", b"4")
    host = one.hosts[0]
    del host.writes[0]
    host.finish_write()
    one.restart(0)
    assert host.replica.op == 4
    assert not host.replica.log.was_never_acked(4)
    assert host.replica.log.is_held(4)
    assert host.replica.log.was_never_acked(3)


def test_a_vote_is_not_repeated_by_one_that_is_a_learner_now() -> None:
    """A checkpoint came since the vote, by state sync, in which this replica has no vote any more."""
    vote = DoViewChange(view=6, log_view=4, commit=0, checkpoint_op=0, to=0, tail=(), replica=1)
    sent = []
    for configuration in (
        Configuration(epoch=0, base_view=0, base_index=0, voters=(0, 1, 2)),
        Configuration(epoch=3, base_view=5, base_index=0, voters=(0, 2), learners=(1,)),
    ):
        replica = Replica(group=bytes(32), replica=1, limits=Limits())
        ready = replica.on(
            Opened(
                view=6,
                log_view=4,
                checkpoint_op=0,
                checkpoint_id=bytes(32),
                checkpoint_checksum=bytes(32),
                checkpoint_timestamp=0,
                headers=(),
                configuration=configuration,
                tail=encode_vote(vote),
            )
        )
        assert replica.status is Status.VIEW_CHANGE
        sent.append([envelope.message for envelope in ready.messages])
    assert sent == [[vote], []]


def a_header(op: int, view: int, parent: bytes) -> PrepareHeader:
    return PrepareHeader.make(
        body=b"", parent=parent, checkpoint_id=ZERO_CHECKSUM, group=bytes(32), view=view, op=op, commit=0, timestamp=op,
        request_count=1,
    )  # fmt: skip


def test_what_a_view_s_log_has_cut_is_not_taken_for_its_own() -> None:
    """The slot of op 2 keeps what view 1 had there, above the end of the log of view 2; ops of view 2 came since."""
    first = a_header(1, 1, ZERO_CHECKSUM)
    cut, head = a_header(2, 1, first.checksum), a_header(4, 2, b"3" * 32)
    replica = Replica(group=bytes(32), replica=1, limits=Limits())
    replica.on(
        Opened(
            view=2,
            log_view=2,
            checkpoint_op=0,
            checkpoint_id=bytes(32),
            checkpoint_checksum=bytes(32),
            checkpoint_timestamp=0,
            headers=(first, cut, head),
            configuration=Configuration.founding((0, 1, 2)),
            tail=encode_log(2, 0, (first,)),
        )
    )
    assert (replica.op, replica.log.is_held(1), replica.log.is_held(4)) == (4, True, True)
    assert replica.log.was_never_acked(2), "a nack: nothing of view 2 was ever written there"
    assert not replica.log.was_never_acked(1)


def chain(count: int, *, commit: int) -> tuple[PrepareHeader, ...]:
    """Headers of view 0, of which the last says how far its primary had committed."""
    headers: list[PrepareHeader] = []
    for op in range(1, count + 1):
        parent = headers[-1].checksum if headers else ZERO_CHECKSUM
        headers.append(
            PrepareHeader.make(
                body=b"",
                parent=parent,
                checkpoint_id=ZERO_CHECKSUM,
                group=bytes(32),
                view=0,
                op=op,
                commit=commit if op == count else 0,
                timestamp=op,
                request_count=1,
            )
        )
    return tuple(headers)


@pytest.mark.parametrize("replica_number", [0, 1, 2])
@pytest.mark.parametrize(
    ("voters", "headers", "committed"),
    [
        pytest.param((0, 1, 2), chain(4, commit=2), 2, id="as far as its last prepare says"),
        pytest.param((0, 1, 2), chain(4, commit=3), 3, id="the last op is never known"),
        pytest.param((0, 1, 2), chain(4, commit=3)[1:], 0, id="nothing above a gap"),
        pytest.param((), chain(4, commit=0), 4, id="alone, all"),
        pytest.param((), (*chain(4, commit=0)[:2], chain(4, commit=0)[3]), 2, id="alone, up to a gap"),
    ],
)
def test_one_that_is_looked_at_commits_what_is_known_to_be_and_does_nothing(
    replica_number: int, voters: tuple[int, ...], headers: tuple[PrepareHeader, ...], committed: int
) -> None:
    replica = Replica(group=bytes(32), replica=replica_number if voters else 0, limits=Limits())
    ready = replica.on(
        Opened(
            view=0,
            log_view=0,
            checkpoint_op=0,
            checkpoint_id=bytes(32),
            checkpoint_checksum=ZERO_CHECKSUM,
            checkpoint_timestamp=0,
            headers=headers,
            configuration=Configuration.founding(voters or (0,)),
            tail=encode_log(0, 0, headers[:1]) if voters and headers[0].op == 1 else b"",
            looks=True,
        )
    )
    assert [header.op for header in ready.commits] == list(range(1, committed + 1))
    for _ in range(5000):
        later = replica.on(Tick())
        assert (ready.messages, ready.view_change, later.messages, later.view_change) == ((), None, (), None)
    assert (replica.view, replica.commit_number, replica.status) == (0, committed, Status.REMOVED)
