"""The gate of writes against callers who get it wrong, and callers who are quick."""

from __future__ import annotations

import pytest
import trio

from vdb.errors import CrossGroup, DefiniteError, InvalidArgument, StreamExists, TooLarge, UnknownStream
from vdb.kernel.command import EMPTY, Expected, ExpectedKind, Origin
from vdb.kernel.reply import StreamCreated
from vdb.limits import EVENTS_PER_APPEND_MAX, STREAMS_PER_APPEND_MAX
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass
from vdb.wire.event import encode_batch

REGION = "ap-southeast-2"
NOBODY = Origin()
CLIENT = b"c" * 16


def append_to(stream: str, payload: bytes = b"x") -> PlainAppend:
    return PlainAppend(stream=stream, runs=(PlainRun(count=1, batch=encode_batch([payload])),))


class Answers:
    """Collects answers of callbacks; `all` waits until so many have come."""

    def __init__(self) -> None:
        self.got: list[object] = []
        self._more = trio.Event()

    def __call__(self, answer: object) -> None:
        self.got.append(answer)
        self._more.set()

    async def all(self, count: int) -> list[object]:
        while len(self.got) < count:
            await self._more.wait()
            self._more = trio.Event()
        return self.got


def create(node, origin: Origin, name: str, answers: Answers, placement: str = REGION) -> None:
    kind = DataClass.NON_PHI if placement == "global" else DataClass.PHI
    node.service.writes.create(origin, 1, name, kind, placement, False, answers)


async def test_a_number_used_for_another_kind_of_request_is_refused(start) -> None:
    async with start() as node:
        service = node.service
        session = await service.open_session(CLIENT)
        await service.create_stream(Origin(CLIENT, session, 1), 1, "notes", DataClass.PHI, REGION)
        with pytest.raises(InvalidArgument, match="belongs to another request"):
            await service.append(Origin(CLIENT, session, 1), 1, [append_to("notes")])
        with pytest.raises(InvalidArgument, match="belongs to another request"):
            await service.append(Origin(CLIENT, session, 1), 1, [])
        await service.append(Origin(CLIENT, session, 2), 1, [append_to("notes")])
        with pytest.raises(InvalidArgument, match="belongs to another request"):
            await service.create_stream(Origin(CLIENT, session, 2), 1, "labs", DataClass.PHI, REGION)
        assert (await service.read(1, "notes", 0, max_events=10)).head == 1


async def test_an_executed_request_gets_its_answer_even_if_the_gate_would_refuse_it_now(start) -> None:
    async with start() as node:
        service = node.service
        session = await service.open_session(CLIENT, "global")
        first = Origin(CLIENT, session, 1)
        made = await service.create_stream(first, 1, "providers", DataClass.NON_PHI, "global")
        again = await service.create_stream(first, 1, "providers", DataClass.PHI, "global")
        assert again == made == StreamCreated(made.stream, created=True)


@pytest.mark.parametrize(
    ("appends", "error"),
    [
        ([PlainAppend(stream="notes", expected=EMPTY)] * 60_000, TooLarge),
        ([append_to(f"s{n}") for n in range(STREAMS_PER_APPEND_MAX + 1)], TooLarge),
        ([append_to("notes"), append_to("notes")], InvalidArgument),
        (
            [
                PlainAppend(stream="notes", runs=(PlainRun(count=EVENTS_PER_APPEND_MAX, batch=b""),)),
                PlainAppend(stream="labs", runs=(PlainRun(count=1, batch=b""),)),
            ],
            TooLarge,
        ),
        ([PlainAppend(stream="notes", runs=(PlainRun(count=0, batch=b""),))], InvalidArgument),
        ([PlainAppend(stream="notes", expected=Expected(ExpectedKind.EXACT, 2**64))], InvalidArgument),
        ([PlainAppend(stream="notes", expected=Expected(ExpectedKind.EXACT, -1))], InvalidArgument),
        ([PlainAppend(stream="notes", runs=(PlainRun(count=1, batch=b"", schema_id=2**32),))], InvalidArgument),
        ([PlainAppend(stream="notes", runs=(PlainRun(count=1, batch=b"", subject="\ud800"),))], InvalidArgument),
    ],
    ids=[
        "60,000 conditions",
        "too many streams",
        "a stream twice",
        "too many events",
        "an empty run",
        "an offset too large",
        "an offset below 0",
        "a schema id too large",
        "a subject that isn't UTF-8",
    ],
)
async def test_appends_out_of_bounds_are_refused_and_the_node_goes_on(start, appends, error) -> None:
    async with start() as node:
        service = node.service
        await service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)
        session = await service.open_session(CLIENT)
        with pytest.raises(error, match="found"):
            await service.append(Origin(CLIENT, session, 1), 1, appends)
        await service.append(Origin(CLIENT, session, 2), 1, [append_to("notes")])


async def test_two_creations_of_a_name_at_once_make_one_stream(start) -> None:
    async with start() as node:
        answers = Answers()
        create(node, NOBODY, "notes", answers)
        create(node, NOBODY, "notes", answers, "global")
        got = await answers.all(2)
        assert [type(answer) for answer in got].count(StreamExists) == 1
        infos, _ = await node.service.list_streams(1)
        assert [info.placement for info in infos] == [REGION]
        with pytest.raises(StreamExists):
            await node.service.create_stream(NOBODY, 1, "notes", DataClass.NON_PHI, "global")


async def test_an_append_may_follow_its_streams_creation_at_once(start) -> None:
    async with start() as node:
        session = await node.service.open_session(CLIENT)
        for origins in ((NOBODY, NOBODY), (Origin(CLIENT, session, 1), Origin(CLIENT, session, 2))):
            answers = Answers()
            name = f"stream-{origins[0].session}"
            create(node, origins[0], name, answers)
            node.service.writes.append(origins[1], 1, [append_to(name)], answers)
            assert not [answer for answer in await answers.all(2) if isinstance(answer, DefiniteError)]


async def test_an_append_behind_a_creation_that_is_refused_is_refused_too(start) -> None:
    async with start() as node:
        await node.service.create_stream(NOBODY, 1, "other", DataClass.PHI, REGION)
        answers = Answers()
        create(node, NOBODY, "notes", answers)
        create(node, NOBODY, "notes", answers)
        got = await answers.all(2)
        assert [isinstance(answer, StreamExists) for answer in got] == [False, True]
        with pytest.raises(UnknownStream):
            await node.service.append(NOBODY, 1, [append_to("labs")])


async def test_an_append_may_not_follow_creations_into_two_groups(start) -> None:
    async with start() as node:
        answers = Answers()
        create(node, NOBODY, "notes", answers)
        create(node, NOBODY, "providers", answers, "global")
        node.service.writes.append(NOBODY, 1, [append_to("notes"), append_to("providers")], answers)
        assert isinstance(answers.got[0], CrossGroup)
        await answers.all(3)
