"""Appends larger than a prepare, on a node on a real directory: whole or not at all, whatever happens in between."""

from __future__ import annotations

import pytest
import trio

import vdb
from vdb.errors import Overloaded, TooLarge, WrongExpectedOffset
from vdb.kernel.command import EMPTY, AppendPart, Origin, VoidTransaction
from vdb.kernel.reply import PartKept
from vdb.limits import Limits
from vdb.node.observer import Observer
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass
from vdb.wire.event import decode_batch, encode_batch

NOBODY = Origin()
REGION = "ap-southeast-2"
CLIENT = b"c" * 16
LARGE = [bytes([number]) * 19_000 for number in range(9)]
"""Three parts with the small limits of these tests."""


class Watch(Observer):
    """Collects what was committed; `on_part` is called after each part that doesn't close."""

    def __init__(self, on_part=lambda: None) -> None:
        self.commands: list[object] = []
        self.on_part = on_part

    def on_commit(self, group, header, requests, replies) -> None:
        self.commands.extend(request.command for request in requests)
        if isinstance(replies[-1], PartKept):
            self.on_part()

    def parts(self) -> list[AppendPart]:
        return [command for command in self.commands if isinstance(command, AppendPart)]


def run_of(payloads: list[bytes], subject: str = "", ids: bytes = b"") -> PlainRun:
    return PlainRun(subject=subject, count=len(payloads), batch=encode_batch(payloads), event_ids=ids)


def append_to(stream: str, payloads: list[bytes], **more: object) -> PlainAppend:
    return PlainAppend(stream=stream, runs=(run_of(payloads),), **more)


async def with_notes(service) -> None:
    await service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)


class Answers:
    """Collects the answers of `writes.append`; `wait` until all have come."""

    def __init__(self, expected: int) -> None:
        self.found: list[object] = []
        self._expected = expected
        self._all = trio.Event()

    def __call__(self, answer: object) -> None:
        self.found.append(answer)
        if len(self.found) == self._expected:
            self._all.set()

    async def wait(self) -> None:
        await self._all.wait()


async def all_payloads(service, stream: str = "notes") -> list[bytes]:
    found: list[bytes] = []
    while True:
        result = await service.read(1, stream, len(found), max_events=1000)
        found += [payload for run in result.runs for payload in decode_batch(run.batch)]
        if len(found) == result.head:
            return found


async def test_five_mebibytes_with_the_default_limits(start) -> None:
    payloads = [bytes([number]) * 100_000 for number in range(53)]
    watch = Watch()
    async with start(limits=Limits(), observer=watch) as node:
        await with_notes(node.service)
        runs = (run_of(payloads[:50], subject="p-1"), run_of(payloads[50:], ids=bytes(range(48))))
        result = await node.service.append(NOBODY, 1, [PlainAppend(stream="notes", runs=runs)])
        assert (result.streams[0].first_offset, result.streams[0].next_offset) == (0, 53)
        assert (result.first_position, result.next_position) == (1, 54)
        assert len(watch.parts()) == 6
        assert [part.last for part in watch.parts()] == [False] * 5 + [True]
        assert await all_payloads(node.service) == payloads
    async with start() as node:
        assert await all_payloads(node.service) == payloads
        read = await node.service.read(1, "notes", 50, max_events=3)
        assert b"".join(run.event_ids for run in read.runs) == bytes(range(48))
        assert {run.time for run in read.runs} == {result.time}
        assert result.time == watch.parts()[0].transaction


async def test_several_streams_and_what_fits_whole_stays_whole(start) -> None:
    watch = Watch()
    async with start(observer=watch) as node:
        await with_notes(node.service)
        for name in ("labs", "letters"):
            await node.service.create_stream(NOBODY, 1, name, DataClass.PHI, REGION)
        appends = [
            append_to("notes", LARGE[:4], expected=EMPTY),
            PlainAppend(stream="letters", expected=EMPTY),
            append_to("labs", LARGE[4:]),
        ]
        result = await node.service.append(NOBODY, 1, appends)
        assert [(part.first_offset, part.next_offset) for part in result.streams] == [(0, 4), (0, 0), (0, 5)]
        assert len(watch.parts()) == 4
        assert await all_payloads(node.service) == LARGE[:4]
        assert await all_payloads(node.service, "labs") == LARGE[4:]
        log = await node.service.read_log(1, REGION, 0, max_events=100)
        assert [run.first_position for run in log.runs] == sorted(run.first_position for run in log.runs)


async def test_a_condition_that_does_not_hold_sends_no_part(start) -> None:
    watch = Watch()
    async with start(observer=watch) as node:
        await with_notes(node.service)
        await node.service.append(NOBODY, 1, [append_to("notes", [b"first"])])
        with pytest.raises(WrongExpectedOffset, match=r"expected none, stream .* is at 1"):
            await node.service.append(NOBODY, 1, [append_to("notes", LARGE, expected=EMPTY)])
        assert watch.parts() == []


async def test_what_is_too_large_is_refused_before_any_part(start) -> None:
    watch = Watch()
    async with start(observer=watch) as node:
        await with_notes(node.service)
        session = await node.service.open_session(CLIENT)
        with pytest.raises(TooLarge, match=r"takes up to 241\d\d\d bytes .*: expected at most 1943\d\d"):
            await node.service.append(Origin(CLIENT, session, 1), 1, [append_to("notes", [bytes(20_000)] * 12)])
        with pytest.raises(TooLarge, match=r"an event takes up to 7\d\d\d\d bytes .*: expected at most 58\d\d\d"):
            await node.service.append(Origin(CLIENT, session, 2), 1, [append_to("notes", [b"x", bytes(70_000)])])
        assert watch.parts() == []
        await node.service.append(Origin(CLIENT, session, 3), 1, [append_to("notes", LARGE)])
        assert await all_payloads(node.service) == LARGE


async def test_nobody_sees_a_part(start) -> None:
    seen: list[tuple[int, int]] = []
    async with start() as node:
        service, group = node.service, node.groups[REGION]

        async def look() -> None:
            while True:
                result = await service.read(1, "notes", 0, max_events=1000)
                log = await service.read_log(1, REGION, 0, max_events=1000)
                seen.append((result.head, log.head))
                await trio.lowlevel.checkpoint()

        await with_notes(service)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            before = group.replica.op
            await service.append(NOBODY, 1, [append_to("notes", LARGE)])
            assert group.replica.op == before + 3
            await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert {head for head, _ in seen} == {0, 9}
    assert {head for _, head in seen} == {1, 10}


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_crash_between_parts_leaves_nothing_and_the_retry_runs_once(start, parts) -> None:
    kept: list[None] = []
    async with start() as node:
        await with_notes(node.service)
        session = await node.service.open_session(CLIENT)
        await node.service.append(Origin(CLIENT, session, 1), 1, [append_to("notes", [b"first"])])
    origin = Origin(CLIENT, session, 2)
    scope = trio.CancelScope()

    def crash() -> None:
        kept.append(None)
        if len(kept) == parts:
            scope.cancel()
            node.groups[REGION]._can_propose = lambda: False

    with scope:
        async with start(observer=Watch(crash)) as node:
            await node.service.append(origin, 1, [append_to("notes", LARGE)])
    watch = Watch()
    async with start(observer=watch) as node:
        assert await all_payloads(node.service) == [b"first"]
        await node.service.append(NOBODY, 1, [append_to("notes", [b"second"])])
        assert node.groups[REGION].state.transaction() is None
        result = await node.service.append(origin, 1, [append_to("notes", LARGE)])
        assert await node.service.append(origin, 1, [append_to("notes", LARGE)]) == result
        assert await all_payloads(node.service) == [b"first", b"second", *LARGE]
    kinds = [type(command) for command in watch.commands]
    replayed = kinds.index(VoidTransaction)
    assert kinds[:replayed].count(AppendPart) == parts
    assert kinds[replayed:].count(AppendPart) == 3


async def test_a_checkpoint_between_parts_holds_them(start) -> None:
    """Transactions of three ops meet checkpoints every eight ops at each of their parts."""
    async with start() as node:
        await with_notes(node.service)
        for _ in range(11):
            await node.service.append(NOBODY, 1, [append_to("notes", LARGE)])
        assert node.groups[REGION].replica.checkpoint_op >= 24
        digest = node.groups[REGION].state.digest()
    async with start() as node:
        assert node.groups[REGION].state.digest() == digest
        assert await all_payloads(node.service) == LARGE * 11


async def test_copies_of_a_transaction_get_one_answer(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        origin = Origin(CLIENT, await node.service.open_session(CLIENT), 1)
        answers = Answers(3)
        for _ in range(3):
            node.service.writes.append(origin, 1, [append_to("notes", LARGE)], answers)
        await answers.wait()
        assert answers.found == [answers.found[0]] * 3
        assert len(await all_payloads(node.service)) == len(LARGE)


async def test_bytes_that_wait_are_bounded(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        answers = Answers(6)
        for _ in range(6):
            node.service.writes.append(NOBODY, 1, [append_to("notes", LARGE)], answers)
        assert [type(answer) for answer in answers.found] == [Overloaded] * 3
        assert "bytes of requests waiting: expected at most 5830" in str(answers.found[0])
        await answers.wait()
        assert len(await all_payloads(node.service)) == 3 * len(LARGE)


async def test_a_client_sends_five_mebibytes_in_one_call(start) -> None:
    payloads = [bytes([number % 256]) * 1000 for number in range(5300)]
    async with start(limits=Limits(), address="127.0.0.1:0") as node:
        async with vdb.connect(node.address) as db:
            await db.create_stream("notes")
            published = await db.publish("notes", payloads)
            assert published.next_offset == 5300
            assert [event.payload for event in await db.read("notes", 0, 10_000)] == payloads
            with pytest.raises(TooLarge, match="an event takes up to"):
                await db.publish("notes", bytes(1_100_000))
            with pytest.raises(TooLarge, match=r"parameters of .* bytes are above the limit"):
                await db.publish("notes", [bytes(1_000_000)] * 18)
            with pytest.raises(TooLarge, match="split it into several"):
                await db.publish("notes", [bytes(990_000)] * 17)
            assert (await db.publish("notes", b"more")).first_offset == 5300
