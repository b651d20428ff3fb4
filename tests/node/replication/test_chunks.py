"""Chunks are asked for, checked, and asked of another source when one fails."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
import trio
import trio.testing

from vdb.limits import Limits
from vdb.node.replication import chunks
from vdb.node.replication.chunks import IN_FLIGHT_MAX, Chunks
from vdb.vsr.message import Chunk, RequestChunk

LIMITS = Limits(message_size_max=16 * 1024)
FILE = bytes(range(256)) * 400
Answer = Callable[[int, RequestChunk], bytes | None]


class Network:
    """Answers at once, as `answer` says; None: the node is silent."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer = answer
        self.chunks = Chunks(replica=9, limits=LIMITS, send=self.send)

    def send(self, to: int, request: RequestChunk) -> None:
        self.asked.append((to, request.offset))
        data = self.answer(to, request)
        if data is not None:
            self.reply(to, request, data)

    def reply(self, source: int, request: RequestChunk, data: bytes, checksum: bytes | None = None) -> None:
        self.chunks.on(
            Chunk(
                checkpoint_op=request.checkpoint_op,
                path=request.path,
                offset=request.offset,
                data=data,
                checksum=checksum or sha256(data).digest(),
                replica=source,
            )
        )


def honest(_to: int, request: RequestChunk) -> bytes:
    return FILE[request.offset : request.offset + request.size]


async def test_chunks_come_in_order_up_to_the_budget() -> None:
    network = Network(honest)
    size = network.chunks.chunk_size
    assert size == 12 * 1024
    found = await network.chunks.fetch_some((0, 1), 8, "a", 0, len(FILE))
    assert len(found) == IN_FLIGHT_MAX
    assert b"".join(found) == FILE[: IN_FLIGHT_MAX * size]
    assert {to for to, _offset in network.asked} == {0, 1}, "sources take turns"
    rest = await network.chunks.fetch_some((0, 1), 8, "a", len(FILE) - 100, len(FILE))
    assert rest == [FILE[-100:]]


async def test_another_source_is_asked_when_one_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 0.01)
    network = Network(lambda to, request: b"" if to == 0 else None if to == 1 else honest(to, request))
    assert await network.chunks.fetch_some((0, 1, 2), 8, "a", 0, 100) == [FILE[:100]]
    assert [to for to, _offset in network.asked] == [0, 1, 2]


async def test_a_gap_ends_what_is_given() -> None:
    size = Network(honest).chunks.chunk_size
    network = Network(lambda to, request: b"" if request.offset == size else honest(to, request))
    assert await network.chunks.fetch_some((0, 1), 8, "a", 0, 3 * size) == [FILE[:size]]


async def test_a_chunk_that_was_changed_on_the_way_is_none() -> None:
    network = Network(lambda _to, _request: None)
    network.answer = lambda to, request: network.reply(to, request, FILE[: request.size], bytes(32))
    assert await network.chunks.fetch(0, 8, "a", 0, 100) is None
    network.answer = lambda _to, request: FILE[: request.size - 1]
    assert await network.chunks.fetch(0, 8, "a", 0, 100) is None


async def test_two_who_want_the_same_chunk_share_the_answer() -> None:
    network = Network(lambda _to, _request: None)
    found: list[bytes | None] = []

    async def one() -> None:
        found.append(await network.chunks.fetch(0, 8, "a", 5, 100))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        network.reply(0, RequestChunk(checkpoint_op=8, path="a", offset=5, size=100, replica=9), FILE[5:105])
    assert found == [FILE[5:105]] * 2
    assert len(network.asked) == 1
    network.reply(0, RequestChunk(checkpoint_op=8, path="a", offset=5, size=100, replica=9), FILE[5:105])
