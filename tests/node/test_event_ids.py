"""Appends sent again without their session, on a node on a real directory: answered, and there once."""

from __future__ import annotations

import pytest
from attrs import evolve

from vdb.errors import EventIdTaken, InvalidArgument, WrongExpectedOffset
from vdb.kernel.command import EMPTY, EXISTS, Expected, ExpectedKind, Origin
from vdb.limits import EVENT_ID_SIZE
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass
from vdb.wire.event import decode_batch, encode_batch

NOBODY = Origin()
REGION = "ap-southeast-2"
LARGE = [bytes([number]) * 20_000 for number in range(9)]
"""Three parts with the small limits of these tests."""


def ids(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(EVENT_ID_SIZE, "big") for number in numbers)


def append_to(stream: str, payloads: list[bytes], event_ids: bytes, **more: object) -> PlainAppend:
    run = PlainRun(count=len(payloads), batch=encode_batch(payloads), event_ids=event_ids)
    return PlainAppend(stream=stream, runs=(run,), **more)


async def with_notes(service) -> None:
    await service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)


async def payloads_of(service, stream: str = "notes") -> list[bytes]:
    found: list[bytes] = []
    while True:
        result = await service.read(1, stream, len(found), max_events=1000)
        found += [payload for run in result.runs for payload in decode_batch(run.batch)]
        if len(found) == result.head:
            return found


async def test_another_session_gets_the_first_answer_also_after_a_restart(start) -> None:
    note = append_to("notes", [b"a", b"b"], ids(1, 2), expected=EMPTY)
    async with start() as node:
        await with_notes(node.service)
        first = await node.service.append(NOBODY, 1, [note])
        await node.service.append(NOBODY, 1, [append_to("notes", [b"c"], ids(3))])
        for client in (b"a" * 16, b"b" * 16):
            session = await node.service.open_session(client, REGION)
            origin = Origin(client, session, 1)
            assert await node.service.append(origin, 1, [note]) == first
            # Its number is used up like that of any other request.
            with pytest.raises(WrongExpectedOffset):
                await node.service.append(
                    evolve_number(origin), 1, [append_to("notes", [b"d"], ids(9), expected=EMPTY)]
                )
    for _ in range(2):
        async with start() as node:
            assert await node.service.append(NOBODY, 1, [note]) == first
            assert await payloads_of(node.service) == [b"a", b"b", b"c"]


def evolve_number(origin: Origin) -> Origin:
    return Origin(origin.client, origin.session, origin.number + 1)


async def test_ids_come_through_a_checkpoint(start) -> None:
    note = append_to("notes", [b"a"], ids(1))
    async with start() as node:
        await with_notes(node.service)
        first = await node.service.append(NOBODY, 1, [note])
        for number in range(2, 30):
            await node.service.append(NOBODY, 1, [append_to("notes", [b"x"], ids(number))])
    async with start() as node:
        assert node.service.groups[REGION].limits.checkpoint_interval < 28
        assert await node.service.append(NOBODY, 1, [note]) == first


async def test_some_of_the_ids(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        await node.service.append(NOBODY, 1, [append_to("notes", [b"a"], ids(1))])
        with pytest.raises(EventIdTaken, match=r"new, or those of one append as it was; stream 'notes' has one"):
            await node.service.append(NOBODY, 1, [append_to("notes", [b"a", b"b"], ids(1, 2))])
        assert await payloads_of(node.service) == [b"a"]


async def test_an_id_for_two_events_is_none(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        for append in (
            append_to("notes", [b"a", b"b"], ids(1, 1)),
            evolve(append_to("notes", [b"a"], ids(1)), runs=append_to("notes", [b"a"], ids(1)).runs * 2),
        ):
            with pytest.raises(InvalidArgument, match="found one id twice in an append"):
                await node.service.append(NOBODY, 1, [append])
        await node.service.create_stream(NOBODY, 1, "labs", DataClass.PHI, REGION)
        both = [append_to("notes", [b"a"], ids(1)), append_to("labs", [b"a"], ids(1))]
        first = await node.service.append(NOBODY, 1, both)
        assert await node.service.append(NOBODY, 1, both) == first


async def test_an_append_in_parts_that_comes_again(start) -> None:
    head = Expected(ExpectedKind.EXACT, 1)
    whole = append_to("notes", LARGE, ids(*range(10, 19)), expected=head)
    async with start() as node:
        await with_notes(node.service)
        await node.service.append(NOBODY, 1, [append_to("notes", [b"first"], ids(1))])
        first = await node.service.append(NOBODY, 1, [whole])
        assert await node.service.append(NOBODY, 1, [whole]) == first
        longer = append_to("notes", [*LARGE, b"more"], ids(*range(10, 20)), expected=EXISTS)
        with pytest.raises(EventIdTaken):
            await node.service.append(NOBODY, 1, [longer])
    async with start() as node:
        assert await node.service.append(NOBODY, 1, [whole]) == first
        assert await payloads_of(node.service) == [b"first", *LARGE]


async def test_a_retry_that_overtakes_nothing_waits_for_its_first_copy(start) -> None:
    """Both are in the pipeline, of different clients: the second is judged by what the first will have done."""
    answers: list[object] = []
    async with start() as node:
        await with_notes(node.service)
        note = append_to("notes", [b"a"], ids(1), expected=EMPTY)
        for _ in range(3):
            node.service.writes.append(NOBODY, 1, [note], answers.append)
        await node.service.append(NOBODY, 1, [append_to("notes", [b"b"], ids(2))])
        assert answers[0] == answers[1] == answers[2]
        assert await payloads_of(node.service) == [b"a", b"b"]
