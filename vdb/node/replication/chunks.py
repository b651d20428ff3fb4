"""Asks other nodes for chunks of files, and gives the answers to those who wait for them.

A chunk counts if its length is what was asked for and its SHA-256 fits: what went wrong on the way is caught here, what
was wrong at the source is caught when the file is whole. Nothing is waited for longer than CHUNK_SECONDS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import trio
from attrs import define, field

from vdb.limits import Limits
from vdb.marks import mark
from vdb.rare import rare
from vdb.vsr.message import Chunk, RequestChunk

CHUNK_SECONDS = 1.0
CHUNK_SIZE_MAX = 256 * 1024
SMALL_CHUNK = 500
FRAME_ROOM = 4096
"""Bytes of a message that are no chunk."""
IN_FLIGHT_MAX = 4
"""Chunks of one file that are asked for at once."""

Key = tuple[int, str, int]
"""(source, path, offset)."""


@define(eq=False)
class _Waiting:
    size: int
    done: trio.Event = field(factory=trio.Event)
    data: bytes | None = None


class Chunks:
    """One for each group. `on` is told of every `Chunk` that arrives."""

    def __init__(self, *, replica: int, limits: Limits, send: Callable[[int, RequestChunk], None]) -> None:
        self._replica = replica
        self._send = send
        self._waiting: dict[Key, _Waiting] = {}
        self.chunk_size = min(CHUNK_SIZE_MAX, limits.message_size_max - FRAME_ROOM)

    def on(self, chunk: Chunk) -> None:
        waiting = self._waiting.get((chunk.replica, chunk.path, chunk.offset))
        if waiting is None:
            mark("chunks.late")
            return
        if len(chunk.data) == waiting.size and sha256(chunk.data).digest() == chunk.checksum:
            waiting.data = chunk.data
        waiting.done.set()

    async def fetch(self, source: int, checkpoint_op: int, path: str, offset: int, size: int) -> bytes | None:
        """These bytes from this node; None when it doesn't have them, or doesn't answer."""
        assert 0 < size <= self.chunk_size
        key = (source, path, offset)
        waiting = self._waiting.get(key)
        if waiting is None or waiting.size != size:
            waiting = self._waiting[key] = _Waiting(size)
            self._send(
                source,
                RequestChunk(checkpoint_op=checkpoint_op, path=path, offset=offset, size=size, replica=self._replica),
            )
        with trio.move_on_after(CHUNK_SECONDS):
            await waiting.done.wait()
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
        return waiting.data

    async def fetch_some(
        self, sources: Sequence[int], checkpoint_op: int, path: str, start: int, end: int
    ) -> list[bytes]:
        """The next bytes of a file, from `start` on, up to IN_FLIGHT_MAX chunks of them: as many as come without a gap.

        Each chunk is asked of one source, and of the others in turn when it fails; none at all when all of them fail.
        """
        step = min(SMALL_CHUNK, self.chunk_size) if rare("chunks.small") else self.chunk_size
        starts = list(range(start, end, step))[:IN_FLIGHT_MAX]
        found: list[bytes | None] = [None] * len(starts)

        async def one(index: int) -> None:
            offset = starts[index]
            size = min(step, end - offset)
            for turn in range(len(sources)):
                source = sources[(index + turn) % len(sources)]
                found[index] = await self.fetch(source, checkpoint_op, path, offset, size)
                if found[index] is not None:
                    return
                mark("chunks.another_source")

        async with trio.open_nursery() as nursery:
            for index in range(len(starts)):
                nursery.start_soon(one, index)
        whole: list[bytes] = []
        for data in found:
            if data is None:
                break
            whole.append(data)
        return whole
