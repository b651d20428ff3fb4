"""The gate of a node on a real directory: what it answers, refuses, and keeps over restarts."""

from __future__ import annotations

import pytest
import trio

from vdb.errors import (
    CrossGroup,
    DamagedData,
    InvalidArgument,
    PlacementViolation,
    SessionGap,
    StreamExists,
    TooLarge,
    UnknownStream,
    UnknownTenant,
    WrongExpectedOffset,
)
from vdb.kernel.command import EMPTY, Expected, ExpectedKind, Origin
from vdb.node.observer import Observer
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.types import DataClass
from vdb.wire.event import decode_batch, encode_batch

NOBODY = Origin()
REGION = "ap-southeast-2"
CLIENT = b"c" * 16


def run_of(*payloads: bytes, subject: str = "", ids: bytes = b"") -> PlainRun:
    return PlainRun(subject=subject, count=len(payloads), batch=encode_batch(list(payloads)), event_ids=ids)


def append_to(stream: str, *payloads: bytes, **more: object) -> PlainAppend:
    return PlainAppend(stream=stream, runs=(run_of(*payloads),), **more)


def payloads_of(result) -> list[bytes]:
    return [payload for run in result.runs for payload in decode_batch(run.batch)]


async def with_notes(service) -> None:
    await service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)


async def test_create_append_read_and_again_after_a_restart(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        for number in range(40):
            appended = await node.service.append(NOBODY, 1, [append_to("notes", b"%d" % number, b"second")])
            assert appended.streams[0].first_offset == 2 * number
        before = await node.service.read(1, "notes", 0, max_events=1000)
        digest = node.groups[REGION].state.digest()
    async with start() as node:
        assert node.groups[REGION].state.digest() == digest
        after = await node.service.read(1, "notes", 0, max_events=1000)
        assert payloads_of(after) == payloads_of(before)
        assert after.head == 80
        appended = await node.service.append(NOBODY, 1, [append_to("notes", b"more")])
        assert appended.streams[0].first_offset == 80


async def test_a_read_may_start_and_end_inside_a_run(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        await node.service.append(NOBODY, 1, [append_to("notes", *[b"%d" % n for n in range(10)])])
        result = await node.service.read(1, "notes", 3, max_events=4)
        assert payloads_of(result) == [b"3", b"4", b"5", b"6"]
        assert (result.next_offset, result.head) == (7, 10)


async def test_positions_are_contiguous_over_the_streams_of_a_group(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        await node.service.create_stream(NOBODY, 1, "labs", DataClass.PHI, REGION)
        for number in range(20):
            await node.service.append(NOBODY, 1, [append_to("notes" if number % 2 else "labs", b"%d" % number)])
        log = await node.service.read_log(1, REGION, 0, max_events=1000)
        assert payloads_of(log) == [b"%d" % n for n in range(20)]
        assert [run.first_position for run in log.runs] == list(range(2, 22))
        assert log.next_position == log.head == 22


async def test_several_streams_of_a_group_append_together_or_not_at_all(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        await node.service.create_stream(NOBODY, 1, "labs", DataClass.PHI, REGION)
        both = [append_to("notes", b"n"), append_to("labs", b"l", expected=EMPTY)]
        await node.service.append(NOBODY, 1, both)
        with pytest.raises(WrongExpectedOffset, match="expected none"):
            await node.service.append(NOBODY, 1, both)
        assert (await node.service.read(1, "notes", 0, max_events=10)).head == 1


async def test_an_append_over_two_groups_is_refused(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        await node.service.create_stream(NOBODY, 1, "providers", DataClass.NON_PHI, "global")
        with pytest.raises(CrossGroup, match="stays in one group"):
            await node.service.append(NOBODY, 1, [append_to("notes", b"n"), append_to("providers", b"p")])
        await node.service.append(NOBODY, 1, [append_to("providers", b"p")])


async def test_the_same_name_isnt_given_twice_in_any_group(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        with pytest.raises(StreamExists):
            await node.service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION)
        with pytest.raises(StreamExists):
            await node.service.create_stream(NOBODY, 1, "notes", DataClass.NON_PHI, "global")
        again = await node.service.create_stream(NOBODY, 1, "notes", DataClass.PHI, REGION, if_not_exists=True)
        assert not again.created


async def test_conditions_name_what_was_expected_and_found(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        await node.service.append(NOBODY, 1, [append_to("notes", b"0")])
        exact = Expected(ExpectedKind.EXACT, 3)
        with pytest.raises(WrongExpectedOffset, match=r"expected exactly 3, stream 'notes' is at 1"):
            await node.service.append(NOBODY, 1, [append_to("notes", b"1", expected=exact)])


async def test_refusals_say_what_is_wrong(start) -> None:
    async with start() as node:
        service = node.service
        with pytest.raises(UnknownTenant, match="tenant 7"):
            await service.append(NOBODY, 7, [append_to("notes", b"x")])
        await with_notes(service)
        with pytest.raises(UnknownStream, match="no stream 'labs'"):
            await service.append(NOBODY, 1, [append_to("labs", b"x")])
        with pytest.raises(PlacementViolation, match="needs a region"):
            await service.create_stream(NOBODY, 1, "x", DataClass.PHI, "global")
        with pytest.raises(PlacementViolation, match="this node holds"):
            await service.create_stream(NOBODY, 1, "x", DataClass.PHI, "eu-west-1")
        with pytest.raises(TooLarge, match="expected at most"):
            await service.append(NOBODY, 1, [append_to("notes", bytes(100_000))])
        with pytest.raises(InvalidArgument, match="event ids have 16 bytes"):
            await service.append(NOBODY, 1, [PlainAppend(stream="notes", runs=(run_of(b"x", ids=b"short"),))])
        with pytest.raises(InvalidArgument, match="offset up to that"):
            await service.read(1, "notes", 5, max_events=1)
        with pytest.raises(InvalidArgument, match="tenant id"):
            await service.append(NOBODY, 0, [append_to("notes", b"x")])


async def test_a_retry_in_a_session_is_executed_once(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        session = await node.service.open_session(CLIENT)
        origin = Origin(CLIENT, session, 1)
        first = await node.service.append(origin, 1, [append_to("notes", b"once")])
        assert await node.service.append(origin, 1, [append_to("notes", b"once")]) == first
    async with start() as node:
        assert await node.service.append(origin, 1, [append_to("notes", b"once")]) == first
        assert (await node.service.read(1, "notes", 0, max_events=10)).head == 1


async def test_copies_of_a_request_in_the_pipeline_get_one_answer(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        origin = Origin(CLIENT, await node.service.open_session(CLIENT), 1)
        answers = []
        all_here = trio.Event()

        def on_reply(answer) -> None:
            answers.append(answer)
            if len(answers) == 5:
                all_here.set()

        for _ in range(5):
            node.service.writes.append(origin, 1, [append_to("notes", b"once")], on_reply)
        await all_here.wait()
        assert answers == [answers[0]] * 5
        assert (await node.service.read(1, "notes", 0, max_events=10)).head == 1


async def test_a_refusal_of_the_gate_uses_up_its_number(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        session = await node.service.open_session(CLIENT)
        with pytest.raises(UnknownStream):
            await node.service.append(Origin(CLIENT, session, 1), 1, [append_to("labs", b"x")])
        with pytest.raises(SessionGap):
            await node.service.append(Origin(CLIENT, session, 3), 1, [append_to("notes", b"x")])
        await node.service.append(Origin(CLIENT, session, 2), 1, [append_to("notes", b"x")])
        await node.service.append(Origin(CLIENT, session, 3), 1, [append_to("notes", b"x")])


async def test_a_session_of_another_group_is_refused(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        session = await node.service.open_session(CLIENT, "global")
        with pytest.raises(CrossGroup, match="session belongs to another group"):
            await node.service.append(Origin(CLIENT, session, 1), 1, [append_to("notes", b"x")])


async def test_streams_are_listed_by_name_page_by_page(start) -> None:
    async with start() as node:
        for number in range(7):
            await node.service.create_stream(NOBODY, 1, f"s{number}", DataClass.PHI, REGION)
        await node.service.create_stream(NOBODY, 1, "providers", DataClass.NON_PHI, "global")
    async with start() as node:
        names: list[str] = []
        more = True
        while more:
            page, more = await node.service.list_streams(1, names[-1] if names else "", 3)
            names += [info.name for info in page]
        assert names == [f"s{number}" for number in range(7)] + ["providers"]
        assert (await node.service.get_stream(1, "providers")).placement == "global"
        with pytest.raises(UnknownTenant):
            await node.service.list_streams(2)


async def test_a_reader_that_waits_is_woken_by_an_append(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        got: list[bytes] = []

        async def follow() -> None:
            result = await node.service.read(1, "notes", 0, max_events=10, wait_us=60_000_000)
            got.extend(payloads_of(result))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            await node.service.append(NOBODY, 1, [append_to("notes", b"woken")])
        assert got == [b"woken"]


async def test_subjects_have_keys_of_their_own(start) -> None:
    async with start() as node:
        await with_notes(node.service)
        runs = (run_of(b"a", subject="p-1"), run_of(b"b", subject="p-2"), run_of(b"c", subject="p-1"), run_of(b"d"))
        await node.service.append(NOBODY, 1, [PlainAppend(stream="notes", runs=runs)])
        state = node.groups[REGION].state
        scopes = [row.scope.name for row in state.keys()]  # noqa: SIM118 - rows of the key store
        assert sorted(set(scopes)) == ["AUDIT", "CATALOGUE", "STREAM", "SUBJECT", "TENANT"]
        assert scopes.count("SUBJECT") == 2
        assert payloads_of(await node.service.read(1, "notes", 0, max_events=10)) == [b"a", b"b", b"c", b"d"]


class Watch(Observer):
    """Tells of checkpoints."""

    def __init__(self) -> None:
        self.checkpoint = trio.Event()

    def on_checkpoint(self, group, op, checkpoint_id) -> None:
        self.checkpoint.set()


async def test_the_scrubber_reports_rot_in_a_segment_and_reads_refuse_it(start, tmp_path) -> None:
    watch = Watch()
    async with start(observer=watch) as node:
        await with_notes(node.service)
        for number in range(60):
            await node.service.append(NOBODY, 1, [append_to("notes", bytes(200) + b"%d" % number)])
        await watch.checkpoint.wait()
    segment = tmp_path / "data" / "groups" / REGION / "log" / "t_1" / "000001.seg"
    damaged = bytearray(segment.read_bytes())
    damaged[1000] ^= 1
    segment.write_bytes(damaged)
    async with start() as node:
        await node.groups[REGION].scrubber.scrub_once()
        status = await node.service.status()
        assert [group.scrub_faults for group in status.groups] == [1, 0]
        with pytest.raises(DamagedData, match=r"000001\.seg"):
            await node.service.read(1, "notes", 0, max_events=100)
