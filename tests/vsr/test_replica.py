"""The replica's table, and a group of one driven by hand."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vdb.limits import Limits
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import (
    CheckpointDurable,
    CommitMessage,
    Input,
    Message,
    Opened,
    PrepareDurable,
    PrepareMessage,
    PrepareOk,
    Propose,
    Report,
    ViewDurable,
)
from vdb.vsr.ready import NOTHING, Ready
from vdb.vsr.replica import TABLE, Dropped, Replica, Status

GROUP = bytes(range(32))
LIMITS = Limits(message_size_max=8192, wal_slots=16, pipeline_max=3, checkpoint_interval=8)


def a_replica() -> Replica:
    return Replica(group=GROUP, replica=0, replica_count=1, limits=LIMITS)


def opened(*headers: PrepareHeader, view: int = 0) -> Opened:
    return Opened(
        view=view,
        log_view=view,
        checkpoint_op=0,
        checkpoint_id=ZERO_CHECKSUM,
        checkpoint_checksum=ZERO_CHECKSUM,
        checkpoint_timestamp=0,
        headers=headers,
    )


def a_serving_replica(*headers: PrepareHeader) -> Replica:
    replica = a_replica()
    replica.on(opened(*headers))
    for envelope in replica.on(ViewDurable(view=1, log_view=1)).messages:
        replica.on(envelope.message)
    return replica


def propose(replica: Replica, body: bytes = b"body", count: int = 1) -> PrepareHeader:
    ready = replica.on(Propose(body=body, timestamp=replica.next_timestamp(1000), request_count=count))
    assert len(ready.persist) == 1
    assert not ready.messages, "nothing may leave before the write"
    return ready.persist[0].header


def test_every_status_has_a_cell_for_every_input() -> None:
    inputs = get_args(Message) + get_args(Report)
    assert set(get_args(Input)) == set(inputs)
    assert set(TABLE) == set(itertools.product(Status, inputs))


def test_every_dropped_cell_says_why() -> None:
    reasons = [cell.reason for cell in TABLE.values() if isinstance(cell, Dropped)]
    assert len(reasons) >= 10
    assert all(len(reason) > 10 for reason in reasons)


def test_a_dropped_input_changes_nothing() -> None:
    replica = a_replica()
    ok = PrepareOk(view=0, op=1, checksum=ZERO_CHECKSUM, replica=0)
    assert replica.on(ok) is NOTHING
    assert replica.on(CommitMessage(view=0, commit=1)) is NOTHING
    assert replica.status is Status.RECOVERING


def test_a_group_of_one_raises_its_view_durably_before_it_serves() -> None:
    replica = a_replica()
    ready = replica.on(opened(view=6))
    assert ready.view_change is not None
    assert (ready.view_change.view, ready.view_change.log_view) == (7, 7)
    assert ready.messages == ()
    assert not replica.is_serving_primary
    assert not replica.can_propose()
    replica.on(ViewDurable(view=7, log_view=7))
    assert replica.is_serving_primary
    assert replica.can_propose()


def test_an_op_commits_only_after_its_own_durable_ack() -> None:
    replica = a_serving_replica()
    header = propose(replica)
    assert (replica.op, replica.commit_number) == (1, 0)
    ready = replica.on(PrepareDurable(header=header))
    assert ready.commits == ()
    assert [envelope.to for envelope in ready.messages] == [0]
    assert replica.on(ready.messages[0].message).commits == (header,)
    assert replica.commit_number == 1


def test_ops_commit_in_order_when_acks_come_out_of_order() -> None:
    replica = a_serving_replica()
    first, second = propose(replica), propose(replica)
    assert second.parent == first.checksum
    acks = [replica.on(PrepareDurable(header=header)).messages[0].message for header in (second, first)]
    assert replica.on(acks[0]).commits == ()
    assert replica.on(acks[1]).commits == (first, second)


def test_an_ack_of_another_view_or_checksum_or_op_doesnt_count() -> None:
    replica = a_serving_replica()
    header = propose(replica)
    for ok in (
        PrepareOk(view=0, op=1, checksum=header.checksum, replica=0),
        PrepareOk(view=2, op=1, checksum=header.checksum, replica=0),
        PrepareOk(view=1, op=1, checksum=bytes(32), replica=0),
        PrepareOk(view=1, op=2, checksum=header.checksum, replica=0),
    ):
        assert replica.on(ok) == Ready()
    assert replica.commit_number == 0


def test_a_repeated_ack_commits_nothing_twice() -> None:
    replica = a_serving_replica()
    header = propose(replica)
    ok = replica.on(PrepareDurable(header=header)).messages[0].message
    assert replica.on(ok).commits == (header,)
    assert replica.on(ok).commits == ()
    assert replica.on(PrepareDurable(header=header)) == Ready()


def test_the_pipeline_is_bounded() -> None:
    replica = a_serving_replica()
    for _ in range(LIMITS.pipeline_max):
        assert replica.can_propose()
        propose(replica)
    assert not replica.can_propose()
    with pytest.raises(AssertionError):
        propose(replica)


def test_the_ring_isnt_lapped_before_a_checkpoint_is_durable() -> None:
    replica = a_serving_replica()
    headers = []
    while replica.can_propose():
        header = propose(replica)
        headers.append(header)
        replica.on(replica.on(PrepareDurable(header=header)).messages[0].message)
    assert replica.op == LIMITS.wal_slots
    replica.on(CheckpointDurable(op=8, checkpoint_id=b"c" * 32))
    assert replica.can_propose()
    assert propose(replica).checkpoint_id == b"c" * 32


def test_timestamps_stay_above_every_request_of_the_prepare_before() -> None:
    replica = a_serving_replica()
    header = propose(replica, count=5)
    assert replica.next_timestamp(0) == header.timestamp + 5
    assert replica.next_timestamp(header.timestamp + 100) == header.timestamp + 100


def test_recovered_ops_are_acked_anew_and_commit_in_order() -> None:
    old = a_serving_replica()
    headers = [propose(old), propose(old), propose(old)]
    replica = a_replica()
    replica.on(opened(*headers, view=1))
    assert replica.commit_number == 0
    ready = replica.on(ViewDurable(view=2, log_view=2))
    commits = [header for envelope in ready.messages for header in replica.on(envelope.message).commits]
    assert commits == headers
    assert replica.commit_number == 3
    assert propose(replica).parent == headers[-1].checksum


def test_headers_that_dont_chain_are_a_broken_invariant() -> None:
    old = a_serving_replica()
    headers = [propose(old), propose(old)]
    with pytest.raises(AssertionError, match=r"chain|follows"):
        a_replica().on(opened(headers[1]))


class GroupOfOne(RuleBasedStateMachine):
    """Any order of writes, acks, checkpoints and restarts: the log is one chain, and what committed stays."""

    @initialize()
    def start(self) -> None:
        self.replica = a_serving_replica()
        self.log: list[PrepareHeader] = []
        self.durable: list[PrepareHeader] = []
        self.acks: list[Message] = []
        self.committed: list[PrepareHeader] = []
        self.checkpoint = 0

    def take(self, ready: Ready) -> None:
        self.acks.extend(envelope.message for envelope in ready.messages)
        for header in ready.commits:
            assert header.op == len(self.committed) + 1
            assert header in self.durable
            self.committed.append(header)

    @precondition(lambda self: self.replica.can_propose())
    @rule(body=st.binary(max_size=8), count=st.integers(1, 3))
    def proposes(self, body: bytes, count: int) -> None:
        self.log.append(propose(self.replica, body, count))

    @precondition(lambda self: len(self.durable) < len(self.log))
    @rule()
    def journal_syncs_the_next(self) -> None:
        header = self.log[len(self.durable)]
        self.durable.append(header)
        self.take(self.replica.on(PrepareDurable(header=header)))

    @precondition(lambda self: bool(self.acks))
    @rule(data=st.data(), keep=st.booleans())
    def an_ack_arrives(self, data: st.DataObject, keep: bool) -> None:
        at = data.draw(st.integers(0, len(self.acks) - 1))
        ack = self.acks[at] if keep else self.acks.pop(at)
        self.take(self.replica.on(ack))

    @precondition(lambda self: len(self.committed) >= self.checkpoint + 4)
    @rule()
    def a_checkpoint_is_durable(self) -> None:
        self.checkpoint += 4
        self.replica.on(CheckpointDurable(op=self.checkpoint, checkpoint_id=bytes([self.checkpoint % 256]) * 32))

    @rule(lost=st.booleans())
    def restarts(self, lost: bool) -> None:
        """A crash loses what wasn't synced; what was synced and not acked may stay."""
        if lost:
            self.log = self.log[: len(self.durable)]
        self.durable = list(self.log)
        view, committed = self.replica.view, len(self.committed)
        self.committed = self.committed[: self.checkpoint]
        head = self.log[self.checkpoint - 1] if self.checkpoint else None
        self.replica = a_replica()
        self.acks = []
        self.replica.on(
            Opened(
                view=view,
                log_view=view,
                checkpoint_op=self.checkpoint,
                checkpoint_id=ZERO_CHECKSUM,
                checkpoint_checksum=head.checksum if head else ZERO_CHECKSUM,
                checkpoint_timestamp=head.timestamp + head.request_count - 1 if head else 0,
                headers=tuple(self.log[self.checkpoint :]),
            )
        )
        self.take(self.replica.on(ViewDurable(view=view + 1, log_view=view + 1)))
        while self.acks:
            self.take(self.replica.on(self.acks.pop(0)))
        assert len(self.committed) >= committed, "an op that was committed is gone"

    @invariant()
    def timestamps_rise(self) -> None:
        for before, after in itertools.pairwise(self.log):
            assert after.timestamp >= before.timestamp + before.request_count
            assert after.parent == before.checksum


TestGroupOfOne = GroupOfOne.TestCase


def test_messages_of_other_replicas_are_dropped_by_a_group_of_one() -> None:
    replica = a_serving_replica()
    other = a_serving_replica()
    ready = other.on(Propose(body=b"", timestamp=5000, request_count=1))
    assert replica.on(PrepareMessage(prepare=ready.persist[0])) is NOTHING
