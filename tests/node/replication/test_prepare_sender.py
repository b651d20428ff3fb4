"""Prepares for those who lack them: from the journal, once, and what is damaged is told."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from vdb.node.replication.prepare_sender import WAITING_MAX, PrepareSender
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.ready import Supply


class FakeJournal:
    def __init__(self) -> None:
        self.headers: dict[int, PrepareHeader] = {}
        self.prepares: dict[int, Prepare] = {}

    def header(self, op: int) -> PrepareHeader | None:
        return self.headers.get(op)

    async def read(self, op: int) -> Prepare | None:
        await trio.lowlevel.checkpoint()
        return self.prepares.get(op)

    def put(self, op: int, *, damaged: bool = False) -> Supply:
        header = PrepareHeader.make(
            body=b"",
            parent=bytes(32),
            checkpoint_id=bytes(32),
            group=bytes(32),
            view=1,
            op=op,
            commit=0,
            timestamp=op,
            request_count=1,
        )
        self.headers[op] = header
        if not damaged:
            self.prepares[op] = Prepare(header, b"")
        return Supply(2, op, header.checksum)


async def test_what_is_there_is_sent_and_what_is_damaged_is_told() -> None:
    journal = FakeJournal()
    sent: list[tuple[int, int]] = []
    damaged: list[Supply] = []
    sender = PrepareSender(
        journal,  # type: ignore[arg-type]
        send=lambda to, prepare: sent.append((to, prepare.header.op)),
        on_damaged=damaged.append,
    )
    first, lost = journal.put(1), journal.put(2, damaged=True)
    overwritten = Supply(2, 3, bytes(32))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        sender.add([first, first, lost, overwritten])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sent == [(2, 1)]
    assert damaged == [lost]


async def test_what_it_cant_keep_up_with_is_forgotten() -> None:
    journal = FakeJournal()
    sent: list[int] = []
    sender = PrepareSender(
        journal,  # type: ignore[arg-type]
        send=lambda _to, prepare: sent.append(prepare.header.op),
        on_damaged=lambda _supply: None,
    )
    sender.add([journal.put(op) for op in range(1, WAITING_MAX + 10)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sent == list(range(1, WAITING_MAX + 1))
