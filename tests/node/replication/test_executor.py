"""Commits are applied in order, wherever their bodies are, and wait for the checkpoint before the next one."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from vdb.crypto.keyring import Keyring
from vdb.crypto.root import RootKey, RootRing
from vdb.errors import WrongKey
from vdb.kernel.command import Command, OpenSession, Origin, Request, RewrapKeys
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.node.observer import Observer
from vdb.node.replication.bodies import Bodies
from vdb.node.replication.executor import Executor, Sinks
from vdb.node.replication.pipeline import Pipeline
from vdb.node.signals import Progress, Signals
from vdb.types import GroupId
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.wire.command import encode_body

GROUP = GroupId("global")
OLD, NEW = (RootKey(bytes([number]) * 32) for number in (1, 2))
LIMITS = Limits(wal_slots=16, checkpoint_interval=4, pipeline_max=2)


class FakeCheckpointer:
    def __init__(self) -> None:
        self.busy = False
        self.plans: list[Any] = []

    def submit(self, plan: Any) -> None:
        assert not self.busy
        self.busy = True
        self.plans.append(plan)


class FakeEventLog:
    def begin_checkpoint(self) -> str:
        return "log"


class FakeJournal:
    def __init__(self) -> None:
        self.prepares: dict[int, Prepare] = {}

    async def read(self, op: int) -> Prepare | None:
        await trio.lowlevel.checkpoint()
        return self.prepares.get(op)


class Watch(Observer):
    def __init__(self) -> None:
        self.ops: list[int] = []

    def on_commit(self, _group: GroupId, header: PrepareHeader, _requests: Any, _replies: Any) -> None:
        self.ops.append(header.op)


def prepare(op: int, command: Command | None = None) -> Prepare:
    body = encode_body([Request(Origin(bytes([op]) * 16, 0, 0), command or OpenSession())])
    header = PrepareHeader.make(
        body=body,
        parent=bytes(32),
        checkpoint_id=bytes(32),
        group=bytes(32),
        view=1,
        op=op,
        commit=0,
        timestamp=op,
        request_count=1,
    )
    return Prepare(header, body)


class Bench:
    def __init__(self, *, alone: bool = True) -> None:
        self.keyring = Keyring(group=GROUP, root=RootRing(OLD))
        self.journal, self.checkpointer, self.watch = FakeJournal(), FakeCheckpointer(), Watch()
        self.damaged: list[PrepareHeader] = []
        self.bodies = Bodies(self.journal, count_max=4, on_damaged=self.damaged.append)  # type: ignore[arg-type]
        sinks = Sinks(
            event_log=FakeEventLog(),  # type: ignore[arg-type]
            keyring=self.keyring,
            signals=Signals(),
            progress=Progress(),
            checkpointer=self.checkpointer,  # type: ignore[arg-type]
            observer=self.watch,
            on_members=lambda _state: None,
            is_alone=lambda: alone,
        )
        self.executor = Executor(
            group=GROUP,
            limits=LIMITS,
            state=State.empty(GROUP, LIMITS.sessions_max),
            applied=0,
            bodies=self.bodies,
            pipeline=Pipeline(),
            sinks=sinks,
        )


def test_what_memory_holds_is_applied_in_the_step_that_commits_it() -> None:
    bench = Bench()
    prepares = [prepare(op) for op in (1, 2, 3)]
    for each in prepares:
        bench.bodies.keep(each)
    bench.executor.commit([each.header for each in prepares])
    assert bench.watch.ops == [1, 2, 3]
    assert bench.executor.applied == 3
    assert bench.executor.state.session_count == 3
    assert bench.bodies.find(prepares[0].header) is None, "what is applied is forgotten"


async def test_what_must_be_read_back_holds_up_those_behind_it() -> None:
    bench = Bench()
    prepares = [prepare(op) for op in (1, 2, 3)]
    bench.bodies.keep(prepares[1])
    for each in prepares:
        bench.journal.prepares[each.header.op] = each
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        bench.executor.commit([each.header for each in prepares])
        assert bench.watch.ops == []
        assert not bench.executor.is_drained
        await bench.executor.wait_until(lambda: bench.executor.is_drained)
        assert bench.watch.ops == [1, 2, 3]
        nursery.cancel_scope.cancel()


async def test_the_op_that_begins_a_checkpoint_waits_for_the_one_before() -> None:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        for op in range(1, 10):
            each = prepare(op)
            bench.journal.prepares[op] = each
            if op != 8:
                bench.bodies.keep(each)
            bench.executor.commit([each.header])
        await wait_all_tasks_blocked()
        assert bench.watch.ops == [1, 2, 3, 4, 5, 6, 7]
        assert [plan.op for plan in bench.checkpointer.plans] == [4]
        bench.checkpointer.busy = False
        bench.executor.pump()
        await bench.executor.wait_until(lambda: bench.executor.is_drained)
        assert bench.watch.ops[-2:] == [8, 9]
        assert [plan.op for plan in bench.checkpointer.plans] == [4, 8]
        nursery.cancel_scope.cancel()


def test_a_group_of_one_does_not_go_on_without_the_root_key_of_a_rotation() -> None:
    """It was started again with the old key alone, which opens all that is there: at the next start it wouldn't."""
    begins = prepare(1, RewrapKeys(root_key_id=NEW.key_id, begins=True))
    bench = Bench()
    bench.bodies.keep(begins)
    with pytest.raises(WrongKey, match=f"wants root key {NEW.key_id.hex()}, this node was given {OLD.key_id.hex()}"):
        bench.executor.commit([begins.header])
    assert bench.watch.ops == []
    given = Bench()
    given.keyring.give(RootRing(NEW, (OLD,)))
    given.bodies.keep(begins)
    given.executor.commit([begins.header])
    assert given.watch.ops == [1]


def test_a_group_with_others_waits_for_the_root_key_of_a_rotation() -> None:
    bench = Bench(alone=False)
    prepares = [prepare(1, RewrapKeys(root_key_id=NEW.key_id, begins=True)), prepare(2)]
    for each in prepares:
        bench.bodies.keep(each)
    bench.executor.commit([each.header for each in prepares])
    assert (bench.watch.ops, bench.executor.missing_root_key) == ([], NEW.key_id)
    bench.keyring.give(RootRing(NEW, (OLD,)))
    bench.executor.pump()
    assert (bench.watch.ops, bench.executor.missing_root_key) == ([1, 2], b"")
