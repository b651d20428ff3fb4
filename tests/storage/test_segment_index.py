"""Both forms of a segment's index against a list of frames."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st

from vdb.storage.segment_index import ClosedIndex, FrameIndex

NAMES = {"segment": 3, "tenant": 9, "group_hash": b"g" * 32}


@given(
    frames=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(20, 90)), min_size=1, max_size=40),
    asked=st.lists(st.integers(0, 200), min_size=1, max_size=10),
    harm=st.integers(0, 10**6),
)
def test_the_file_finds_what_the_memory_finds(frames: list[tuple[int, int, int]], asked: list[int], harm: int) -> None:
    async def run() -> None:
        index = FrameIndex(64)
        heads: dict[int, int] = {}
        position = 0
        for stream, count, size in frames:
            index.add(position=position, stream=stream, offset=heads.get(stream, 0), size=size)
            heads[stream] = heads.get(stream, 0) + count
            position += count
        data = await index.encode(**NAMES)
        closed = ClosedIndex.decode(data, **NAMES, end=index.end)
        assert closed is not None
        assert len(closed) == len(index) == len(frames)
        for number in range(len(frames) + 1):
            assert closed.start_of(number) == index.start_of(number)
        for position in asked:
            assert closed.frame_at(position) == index.frame_at(position)
        entries = [closed.entry(at) for at in range(len(closed))]
        assert entries == sorted(entries)
        by_stream = await index.by_stream()
        assert [number for _stream, _offset, number in entries] == [n for s in sorted(by_stream) for n in by_stream[s]]
        for stream, offset in [(stream, offset) for stream in range(6) for offset in asked]:
            wanted = [at for at, entry in enumerate(entries) if entry[:2] >= (stream, offset)]
            assert closed.first_entry(stream, offset) == (wanted[0] if wanted else len(entries))
        damaged = bytearray(data)
        damaged[harm % len(data)] ^= 1
        assert ClosedIndex.decode(bytes(damaged), **NAMES, end=index.end) is None
        assert ClosedIndex.decode(data[: harm % len(data)], **NAMES, end=index.end) is None

    trio.run(run)
