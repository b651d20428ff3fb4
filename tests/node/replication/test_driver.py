"""The order that a replica is promised: views are durable before anybody hears of them, the log is cut before it grows,
and nothing overtakes.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import wait_all_tasks_blocked

from vdb.limits import Limits
from vdb.node.observer import SILENT
from vdb.node.replication.driver import INBOX_MAX, Driver
from vdb.node.replication.send_gate import SendGate
from vdb.storage.superblock import SuperblockState
from vdb.types import GroupId
from vdb.vsr.header import ALONE, Prepare, PrepareHeader
from vdb.vsr.message import (
    CommitMessage,
    CommitOk,
    DoViewChange,
    Ping,
    PrepareDurable,
    PrepareMessage,
    PrepareOk,
    StartView,
    StartViewChange,
    Tick,
    ViewDurable,
)
from vdb.vsr.ready import NOTHING, Envelope, Ready, ViewChange
from vdb.vsr.replica import Status
from vdb.vsr.tail import encode_vote

GROUP = GroupId("global")


def prepare(op: int, view: int = 1) -> Prepare:
    header = PrepareHeader.make(
        body=b"",
        parent=bytes(32),
        checkpoint_id=bytes(32),
        group=bytes(32),
        view=view,
        op=op,
        commit=0,
        timestamp=op,
        request_count=1,
    )
    return Prepare(header, b"")


def durable(**fields: Any) -> SuperblockState:
    return SuperblockState(
        cluster=bytes(16),
        group=GROUP,
        replica=0,
        configuration=ALONE.pack(),
        limits=Limits(),
        root_key_id=bytes(16),
        **fields,
    )


@define(eq=False)
class FakeSuperblock:
    """An update is durable when the test says so."""

    state: SuperblockState = field(factory=durable)
    may_write: trio.Event = field(factory=trio.Event)

    async def update(self, **changes: Any) -> SuperblockState:
        await self.may_write.wait()
        self.state = evolve(self.state, **changes)
        return self.state


@define(eq=False)
class FakeJournal:
    log: list[object]
    durable: dict[int, bytes] = field(factory=dict)

    def truncate(self, op: int) -> None:
        self.log.append(("truncate", op))

    def submit(self, prepare: Prepare, _on_durable: Any) -> None:
        self.log.append(("submit", prepare.header.op))

    def is_durable(self, op: int, checksum: bytes) -> bool:
        return self.durable.get(op) == checksum


@define(eq=False)
class FakeReplica:
    """Says what the test has prepared, in order, and keeps what it hears."""

    log: list[object]
    script: deque[Ready] = field(factory=deque)
    replica: int = 0
    view: int = 1
    log_view: int = 1
    status: Status = Status.NORMAL
    is_serving_primary: bool = False

    def on(self, message: object) -> Ready:
        self.log.append(message if isinstance(message, Ping | Tick) else type(message).__name__)
        return self.script.popleft() if self.script else NOTHING


class Bench:
    """A driver among fakes. `log` holds in order what happened."""

    def __init__(self, *, counts: bool = True) -> None:
        self.log: list[object] = []
        self.superblock = FakeSuperblock()
        self.journal = FakeJournal(self.log)
        self.replica = FakeReplica(self.log)
        self.driver = Driver(
            group=GROUP,
            replica=self.replica,  # type: ignore[arg-type]
            superblock=self.superblock,  # type: ignore[arg-type]
            journal=self.journal,  # type: ignore[arg-type]
            send=lambda to, message: self.log.append(("send", to, message)),
            observer=SILENT,
            actor=self,
            counts=lambda: counts,
        )

    def keep(self, prepare: Prepare) -> None:
        self.log.append(("keep", prepare.header.op))

    def act(self, ready: Ready) -> None:
        if ready.commits:
            self.log.append(("commit", [header.op for header in ready.commits]))

    def lead(self, view: int) -> None:
        self.log.append(("lead", view))

    def depose(self) -> None:
        self.log.append("depose")

    def pump(self) -> None:
        pass


WISH = Envelope(1, StartViewChange(view=9, replica=0))


def ping(number: int) -> Ping:
    return Ping(view=1, commit=number, checkpoint_op=0, replica=1)


def test_the_log_is_cut_before_it_grows_and_messages_follow_writes() -> None:
    bench = Bench()
    header = prepare(4).header
    bench.replica.script.append(
        Ready(truncate=3, persist=(prepare(4), prepare(5)), messages=(WISH,), commits=(header,))
    )
    bench.driver.feed(Tick())
    assert bench.log == [
        Tick(),
        ("truncate", 3),
        ("keep", 4),
        ("submit", 4),
        ("keep", 5),
        ("submit", 5),
        ("send", *(WISH.to, WISH.message)),
        ("commit", [4]),
    ]


def test_a_message_to_oneself_is_the_next_input() -> None:
    bench = Bench()
    to_itself = Envelope(0, StartViewChange(view=9, replica=0))
    bench.replica.script.extend([Ready(messages=(to_itself,)), Ready(messages=(WISH,))])
    bench.driver.feed(Tick())
    assert bench.log == [Tick(), "StartViewChange", ("send", 1, WISH.message)]


async def test_while_a_view_is_written_only_storage_is_heard_and_nothing_leaves() -> None:
    bench = Bench()
    change = ViewChange(view=5, log_view=1, tail=b"")
    bench.replica.script.append(Ready(view_change=change, messages=(WISH,)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.driver.run)
        bench.driver.feed(Tick())
        bench.driver.feed(ping(1))
        bench.driver.feed(Tick())
        bench.replica.script.append(Ready(commits=(prepare(1).header,)))
        bench.driver.feed(PrepareDurable(header=prepare(1).header))
        bench.driver.feed(ping(2))
        await wait_all_tasks_blocked()
        assert bench.log == [Tick(), "PrepareDurable"]
        bench.superblock.may_write.set()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.superblock.state.view == 5
    assert bench.log[2:] == [("send", 1, WISH.message), ("commit", [1]), ViewDurable.__name__, ping(1), ping(2)]


async def test_the_inbox_is_bounded_while_a_view_is_written() -> None:
    bench = Bench()
    bench.replica.script.append(Ready(view_change=ViewChange(view=5, log_view=1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.driver.run)
        bench.driver.feed(Tick())
        for number in range(INBOX_MAX + 2):
            bench.driver.feed(ping(number))
        bench.superblock.may_write.set()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    heard = [message for message in bench.log if isinstance(message, Ping)]
    assert heard == [ping(number) for number in range(2, INBOX_MAX + 2)]


async def test_who_leads_is_told_and_who_ceases_to_lead_is_told_at_once() -> None:
    bench = Bench()
    bench.replica.is_serving_primary = True
    bench.driver.feed(Tick())
    bench.replica.is_serving_primary = False
    bench.replica.script.append(Ready(view_change=ViewChange(view=5, log_view=1)))
    bench.driver.feed(Tick())
    assert bench.log == [Tick(), ("lead", 1), Tick(), "depose"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.driver.run)
        bench.replica.is_serving_primary, bench.replica.view = True, 5
        bench.superblock.may_write.set()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.log[4:] == [ViewDurable.__name__, ("lead", 5)]


# The gate


VOTE = DoViewChange(view=5, log_view=3, commit=0, checkpoint_op=0, to=1, tail=(), replica=0)


def gate_with(state: SuperblockState, held: Prepare | None = None) -> SendGate:
    journal = FakeJournal([])
    if held is not None:
        journal.durable[held.header.op] = held.header.checksum
    return SendGate(
        group=GROUP,
        superblock=FakeSuperblock(state),  # type: ignore[arg-type]
        journal=journal,  # type: ignore[arg-type]
        deliver=lambda _to, _message: None,
        observer=SILENT,
    )


def ok(view: int, of: Prepare) -> PrepareOk:
    return PrepareOk(view=view, op=of.header.op, checksum=of.header.checksum, replica=0)


@pytest.mark.parametrize(
    "message",
    [
        ok(0, prepare(1)),
        CommitOk(view=0, round=1, commit=0, checkpoint_op=0, replica=0),
        evolve(VOTE, view=0),
        StartViewChange(view=1, replica=0),
    ],
)
def test_a_disk_that_the_group_does_not_know_promises_nothing(message: Any) -> None:
    """Whoever it replaces may have promised a newer view: an answer in the old one would vouch for stale reads."""
    bench = Bench(counts=False)
    bench.replica.script.append(Ready(messages=(Envelope(1, message),)))
    bench.driver.feed(Ping(view=1, commit=0, checkpoint_op=0, replica=1))
    assert [entry for entry in bench.log if isinstance(entry, tuple) and entry[0] == "send"] == []


def test_what_is_durable_may_be_said() -> None:
    held = prepare(1)
    gate = gate_with(durable(view=5, log_view=5), held)
    for message in (
        ok(5, held),
        PrepareMessage(prepare=held),
        CommitMessage(view=5, commit=1),
        CommitOk(view=5, round=1, commit=0, checkpoint_op=0, replica=0),
        Ping(view=5, commit=0, checkpoint_op=0, replica=0),
        StartView(view=5, commit=0, checkpoint_op=0, checkpoint_id=bytes(32), tail=(), replica=0),
        StartViewChange(view=77, replica=0),
    ):
        gate.check_durable(message)
    gate_with(durable(view=5, log_view=3, tail=encode_vote(VOTE))).check_durable(VOTE)


@pytest.mark.parametrize(
    "message",
    [
        ok(5, prepare(1)),
        PrepareMessage(prepare=prepare(1, view=6)),
        CommitMessage(view=4, commit=1),
        CommitOk(view=6, round=1, commit=0, checkpoint_op=0, replica=0),
        Ping(view=6, commit=0, checkpoint_op=0, replica=0),
        StartView(view=5, commit=0, checkpoint_op=0, checkpoint_id=bytes(32), tail=(), replica=0),
        VOTE,
        evolve(VOTE, view=4),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_isnt_durable_may_not_be_said(message: Any) -> None:
    gate = gate_with(durable(view=5, log_view=3, tail=encode_vote(evolve(VOTE, commit=1))), prepare(1))
    with pytest.raises(AssertionError):
        gate.check_durable(message)


def test_an_op_that_isnt_synced_may_not_be_acked() -> None:
    with pytest.raises(AssertionError, match="op 1 is acked unsynced"):
        gate_with(durable(view=5, log_view=5)).check_durable(ok(5, prepare(1)))
