"""The leaves of a tenant's tree, read from a log whose records are larger than one read returns."""

from __future__ import annotations

import attrs
import trio

from vdb.kernel.command import Origin
from vdb.node.evidence.leaves import TreeLeaves
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass, TenantId
from vdb.wire.event import encode_batch

NOBODY = Origin()
REGION = "ap-southeast-2"


async def test_records_of_several_events_are_read_once_each(start, small_limits) -> None:
    payloads = [b"x" * 2_000] * 3
    note = PlainAppend(stream="notes", runs=(PlainRun(count=3, batch=encode_batch(payloads)),))
    async with start(limits=attrs.evolve(small_limits, read_bytes_max=4096)) as node:
        await node.service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)
        group = node.service.groups[REGION]
        leaves = TreeLeaves(group, TenantId(1))
        with trio.fail_after(10):
            for size in range(2, 6):
                await node.service.append(NOBODY, 1, [note])
                await leaves.read(size)
        assert leaves.size == group.state.tenant(1).record_count == 5
        assert [leaves.index_at(position) for position in (0, 1, 4, 7, 10)] == list(range(5))
