"""The reader's own promise: what the event log leaves out or repeats is never served."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from vdb.kernel.command import Origin
from vdb.node.gate.reader import GroupReader
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.storage.event_log import Frame
from vdb.types import DataClass
from vdb.wire.event import encode_batch

REGION = "ap-southeast-2"

Tamper = Callable[[list[Frame]], Sequence[Frame]]


async def read(start, method: str, tamper: Tamper, from_number: int) -> list[tuple[int, int]]:
    """(first offset, count) of the runs of a stream with three runs of two events, the log's answer tampered with."""
    async with start() as node:
        await node.service.create_stream(Origin(), 1, "notes", DataClass.PHI, REGION)
        run = PlainRun(count=2, batch=encode_batch([b"a", b"b"]))
        for _ in range(3):
            await node.service.append(Origin(), 1, [PlainAppend(stream="notes", runs=(run,))])
        reader = GroupReader(node.groups[REGION])
        stream = reader.find(1, "notes")
        original = getattr(reader.group.event_log, method)
        assert await reader.name_of(1, stream.stream) == "notes"

        async def tampered(*arguments):
            return tamper(await original(*arguments))

        setattr(reader.group.event_log, method, tampered)
        if method == "read_stream":
            runs = await reader.read_stream(1, stream, "notes", from_number, 100, ids_only=False)
        else:
            runs, _next = await reader.read_log(1, from_number, 100)
        return [(run.first_offset, run.count) for run in runs]


async def test_a_run_may_begin_before_the_offset_that_was_asked_for(start) -> None:
    assert await read(start, "read_stream", lambda frames: frames, 3) == [(3, 1), (4, 2)]


@pytest.mark.parametrize(
    ("tamper", "from_offset", "message"),
    [
        (lambda frames: [], 0, "no frame for offset 0 below the stream's end"),
        (lambda frames: frames[1:], 1, "offset 1 was left out: the first frame is at 2"),
        (lambda frames: [frames[0], frames[2]], 0, "a frame at offset 2 was left out: the next one is at 4"),
        (lambda frames: [frames[0], frames[0]], 0, "a frame at offset 2 was left out: the next one is at 0"),
    ],
)
async def test_a_gap_in_a_stream_is_a_bug(start, tamper: Tamper, from_offset: int, message: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await read(start, "read_stream", tamper, from_offset)
    assert caught.group_contains(AssertionError, match=message)


@pytest.mark.parametrize(
    ("tamper", "from_position", "message"),
    [
        (lambda frames: [*frames[:2], frames[1]], 0, "comes after the one before"),
        (lambda frames: frames[::-1], 0, "comes after the one before"),
        (lambda frames: [frames[0]] * 2, 0, "comes after the one before"),
    ],
)
async def test_positions_that_fall_are_a_bug(start, tamper: Tamper, from_position: int, message: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await read(start, "read_log", tamper, from_position)
    assert caught.group_contains(AssertionError, match=message)


async def test_positions_of_others_may_lie_between(start) -> None:
    assert await read(start, "read_log", lambda frames: frames[::2], 0) == [(2, 2)]


async def test_projections_side_by_side_read_once(start) -> None:
    async with start() as node:
        for name in ("notes", "labs"):
            await node.service.create_stream(Origin(), 1, name, DataClass.PHI, REGION)
        run = PlainRun(count=1, batch=encode_batch([b"a"]))
        reader = GroupReader(node.groups[REGION])
        original, reads = reader.group.event_log.read_log, []

        async def counted(*arguments):
            reads.append(arguments)
            return await original(*arguments)

        reader.group.event_log.read_log = counted
        for expected_reads in (1, 2):
            for name in ("notes", "labs"):
                await node.service.append(Origin(), 1, [PlainAppend(stream=name, runs=(run,))])
            for wanted in ("notes", "labs", "none"):
                runs, position = await reader.read_wanted(1, 0, 100, wanted.__eq__)
                assert [found.stream for found in runs] == [wanted] * expected_reads * (wanted != "none")
                assert position == reader.group.state.next_position
            assert len(reads) == expected_reads, "the log has grown since, and is read again"
