"""Bodies: from memory by checksum, from the journal, or from whoever has them when the journal's are damaged."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from vdb.node.replication.bodies import Bodies
from vdb.vsr.header import Prepare, PrepareHeader


class FakeJournal:
    """Holds prepares by op; `reads` counts."""

    def __init__(self) -> None:
        self.prepares: dict[int, Prepare] = {}
        self.reads = 0

    async def read(self, op: int) -> Prepare | None:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        return self.prepares.get(op)


def prepare(op: int, body: bytes = b"body", view: int = 1) -> Prepare:
    header = PrepareHeader.make(
        body=body,
        parent=bytes(32),
        checkpoint_id=bytes(32),
        group=bytes(32),
        view=view,
        op=op,
        commit=0,
        timestamp=op,
        request_count=1,
    )
    return Prepare(header, body)


def bodies(journal: FakeJournal, damaged: list[PrepareHeader], count_max: int = 2) -> Bodies:
    return Bodies(journal, count_max=count_max, on_damaged=damaged.append)  # type: ignore[arg-type]


async def test_memory_is_asked_first_and_by_checksum() -> None:
    journal, damaged = FakeJournal(), []
    kept = bodies(journal, damaged)
    first = prepare(1)
    kept.keep(first)
    assert await kept.fetch(first.header) == b"body"
    assert journal.reads == 0
    assert kept.find(prepare(1, view=2).header) is None
    kept.forget(1)
    assert kept.find(first.header) is None


async def test_what_memory_has_no_room_for_is_read_back() -> None:
    journal, damaged = FakeJournal(), []
    kept = bodies(journal, damaged)
    prepares = [prepare(op, b"%d" % op) for op in range(1, 5)]
    for each in prepares:
        kept.keep(each)
        journal.prepares[each.header.op] = each
    assert [kept.find(each.header) for each in prepares] == [None, None, b"3", b"4"]
    assert await kept.fetch(prepares[0].header) == b"1"
    assert journal.reads == 1


async def test_what_the_journal_lost_is_reported_and_waited_for() -> None:
    journal, damaged = FakeJournal(), []
    kept = bodies(journal, damaged)
    wanted = prepare(1)
    journal.prepares[1] = prepare(1, b"another", view=2)
    found: list[bytes] = []

    async def fetch() -> None:
        found.append(await kept.fetch(wanted.header))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        await wait_all_tasks_blocked()
        assert damaged == [wanted.header]
        kept.keep(wanted)
    assert found == [b"body"]
