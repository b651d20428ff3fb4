"""Batches in flight: who gets which reply, copies that wait, and what becomes of all when the primary is deposed."""

from __future__ import annotations

from vdb.errors import PrimaryLost
from vdb.kernel.command import OpenSession, Origin, Request
from vdb.kernel.reply import Reply, SessionOpened
from vdb.kernel.state import State
from vdb.node.preparing.request import Pending, PlainSession
from vdb.node.replication.batch import Batch
from vdb.node.replication.pipeline import Pipeline
from vdb.types import GroupId

FATE = PrimaryLost("lost")
CLIENT = bytes(range(16))


class Waiter:
    """Keeps what it is told."""

    def __init__(self, origin: Origin) -> None:
        self.heard: list[Reply | Exception] = []
        self.pending = Pending(
            request=PlainSession(), on_reply=self.heard.append, on_lost=self.heard.append, size=1, origin=origin
        )


def batch_of(*waiters: Waiter) -> Batch:
    batch = Batch(timestamp=1, base=State.empty(GroupId("global"), 4))
    for waiter in waiters:
        batch.add(Request(waiter.pending.origin, OpenSession()))
        batch.waiters.append((len(batch.requests) - 1, waiter.pending))
    batch.close(checkpoint_due=False)
    return batch


class Header:
    def __init__(self, op: int) -> None:
        self.op = op


def test_a_commit_answers_the_request_and_its_copies() -> None:
    pipeline = Pipeline()
    origin = Origin(CLIENT, 7, 1)
    first, copy, other = Waiter(origin), Waiter(origin), Waiter(Origin(CLIENT, 0, 0))
    pipeline.expect(origin)
    batch = batch_of(first, other)
    pipeline.add(5, batch)
    waiting = pipeline.waiting(origin)
    assert waiting is not None
    waiting.append(copy.pending)
    assert pipeline.take_batch(Header(4)) is None
    assert pipeline.take_batch(Header(5)) is batch
    pipeline.reply(batch)
    assert first.heard == copy.heard == [batch.replies[0]]
    assert isinstance(other.heard[0], SessionOpened)
    assert pipeline.waiting(origin) is None
    assert not pipeline


def test_a_batch_of_an_earlier_primary_answers_copies_alone() -> None:
    pipeline = Pipeline()
    origin = Origin(CLIENT, 7, 1)
    batch = batch_of(Waiter(origin))
    batch.waiters.clear()
    pipeline.inherit(5, batch)
    copy = Waiter(origin)
    waiting = pipeline.waiting(origin)
    assert waiting is not None
    waiting.append(copy.pending)
    pipeline.reply(batch)
    assert copy.heard == [batch.replies[0]]


def test_who_is_deposed_tells_all_but_those_whose_op_has_committed() -> None:
    pipeline = Pipeline()
    committed, lost, copy = Waiter(Origin(CLIENT, 7, 1)), Waiter(Origin(CLIENT, 7, 2)), Waiter(Origin(CLIENT, 7, 2))
    batches = []
    for op, waiter in ((5, committed), (6, lost)):
        pipeline.expect(waiter.pending.origin)
        batches.append(batch_of(waiter))
        pipeline.add(op, batches[-1])
    waiting = pipeline.waiting(lost.pending.origin)
    assert waiting is not None
    waiting.append(copy.pending)
    assert pipeline.lose(5, FATE) == batches[1:]
    assert lost.heard == copy.heard == [FATE]
    assert committed.heard == []
    pipeline.reply(batches[0])
    assert committed.heard == [batches[0].replies[0]]
    assert not pipeline
    assert pipeline.lose(6, FATE) == []


def test_a_batch_that_was_executed_elsewhere_has_nobody_to_answer() -> None:
    pipeline = Pipeline()
    pipeline.reply(batch_of())
    assert len(pipeline) == 0
