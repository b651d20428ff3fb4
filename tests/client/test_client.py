"""The client against a small node in memory, on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from vdb.client.client import Client
from vdb.client.values import EventRun, StreamAppend
from vdb.errors import (
    CrossGroup,
    IndefiniteError,
    InvalidArgument,
    PlacementViolation,
    StreamExists,
    Timeout,
    TooLarge,
    UnknownStream,
    Unreachable,
    WrongExpectedOffset,
)
from vdb.types import DataClass, Position

MakeClient = Callable[..., Client]


@asynccontextmanager
async def running(node: Any, make_client: MakeClient, **settings: Any) -> AsyncIterator[Client]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            async with make_client(**settings) as client:
                await client.create_stream("notes")
                yield client
            nursery.cancel_scope.cancel()


async def test_publish_and_read_back(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        published = await client.publish("notes", [b"a", b"b"], event_ids=[b"1" * 16, b"2" * 16])
        assert (published.first_offset, published.next_offset) == (0, 2)
        assert published.position == Position.parse("ap-southeast-2:2")
        events = await client.read("notes")
        assert [(event.offset, event.payload, event.event_id) for event in events] == [
            (0, b"a", b"1" * 16),
            (1, b"b", b"2" * 16),
        ]
        assert events[1].position == Position.parse("ap-southeast-2:101")
        assert events[0].data_class is DataClass.PHI
        assert await client.event_ids("notes") == [b"1" * 16, b"2" * 16]


async def test_reading_goes_over_many_pages(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", [b"%d" % index for index in range(10)])
        assert [event.offset for event in await client.read("notes", 2, 7)] == [2, 3, 4, 5, 6, 7, 8]
        assert [event.offset async for event in client.events("notes", 8)] == [8, 9]
        assert await client.read("notes", 10) == []


async def test_following_goes_from_history_into_live(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", [b"0", b"1"])
        seen: list[bytes] = []

        at_head = trio.Event()

        async def follow() -> None:
            async for event in client.follow("notes"):
                seen.append(event.payload)
                if len(seen) == 2:
                    at_head.set()
                if len(seen) == 4:
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await at_head.wait()
            await client.publish("notes", b"2")
            node.cut()
            await client.publish("notes", b"3")
        assert seen == [b"0", b"1", b"2", b"3"]


async def test_an_atomic_append_over_streams(node: Any, make_client: MakeClient) -> None:
    node.groups = ["ap-southeast-2", "global"]
    async with running(node, make_client) as client:
        await client.create_stream("visits")
        run = EventRun(payloads=[b"x", b"y"])
        first, second = await client.append(
            [StreamAppend(stream="notes", runs=(run,)), StreamAppend(stream="visits", runs=(run, run))]
        )
        assert (first.stream, first.next_offset) == ("notes", 2)
        assert (second.stream, second.next_offset) == ("visits", 4)
        await client.create_stream("rooms", "non-phi", "global")
        with pytest.raises(CrossGroup, match="found ap-southeast-2, global"):
            await client.append([StreamAppend(stream="notes", runs=(run,)), StreamAppend(stream="rooms", runs=(run,))])


async def test_other_calls(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        for name in ("b", "c", "d"):
            await client.create_stream(name)
        assert [stream.name for stream in await client.list_streams()] == ["notes", "b", "c", "d"]
        assert (await client.status()).groups[0].next_position == 3
        rows = await client.rows("p", "t", {"a": None, "b": 1, "c": 1.5, "d": "x", "e": b"y"})
        kinds = [row["kind"] for row in rows.dicts()]
        assert kinds == ["null", "integer", "real", "text", "blob"]
        assert rows.position == (Position.parse("ap-southeast-2:3"), Position.parse("global:0"))
        assert await client.wait_for_projection("p", Position.parse("ap-southeast-2:3"), timeout=1)


async def test_refusals_are_definite_and_say_why(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        with pytest.raises(StreamExists, match="has a stream 'notes' already"):
            await client.create_stream("notes")
        assert await client.create_stream("notes", if_not_exists=True) is False
        with pytest.raises(UnknownStream, match="tenant 1 has no stream 'nots'"):
            await client.publish("nots", b"x")
        with pytest.raises(WrongExpectedOffset, match="expected exactly 3, the stream is at 0"):
            await client.publish("notes", b"x", expected=3)
        assert (await client.publish("notes", b"x", expected=0)).first_offset == 0


async def test_bad_arguments_are_refused_before_anything_is_sent(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        before = len(node.calls)
        with pytest.raises(PlacementViolation, match="PHI needs a region"):
            await client.create_stream("x", "phi", "global")
        with pytest.raises(InvalidArgument, match="a data class is 'phi', 'non-phi' or 'deidentified'; found 'secret'"):
            await client.create_stream("x", "secret")
        with pytest.raises(InvalidArgument, match="a stream's name has 1 to 512 bytes; found 0"):
            await client.create_stream("")
        with pytest.raises(InvalidArgument, match="a payload is bytes; found str"):
            await client.publish("notes", ["text"])  # type: ignore[list-item]
        with pytest.raises(InvalidArgument, match="expected an event id for each of 1 payloads, found 2"):
            await client.publish("notes", b"x", event_ids=[b"1" * 16] * 2)
        with pytest.raises(InvalidArgument, match="an event id has 16 bytes; found 3"):
            await client.publish("notes", b"x", event_ids=[b"abc"])
        with pytest.raises(InvalidArgument, match="at least one payload"):
            await client.publish("notes", [])
        with pytest.raises(TooLarge, match="at most 10000 events; found 10001"):
            await client.publish("notes", [b"x"] * 10_001)
        with pytest.raises(InvalidArgument, match=r"where to read from: .* found -1"):
            await client.read("notes", -1)
        assert len(node.calls) == before


@pytest.mark.parametrize("cuts", [1, 5])
async def test_lost_connections_execute_nothing_twice(node: Any, make_client: MakeClient, cuts: int) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", b"start")
        node.cut_before_answer = cuts
        results = []

        async def publish(index: int) -> None:
            results.append((await client.publish("notes", b"%d" % index)).first_offset)

        async with trio.open_nursery() as nursery:
            for index in range(200):
                nursery.start_soon(publish, index)
        payloads = node.streams["notes"].payloads
        assert sorted(payloads[1:], key=int) == [b"%d" % index for index in range(200)]
        assert sorted(results) == list(range(1, 201))


async def test_an_overloaded_node_is_asked_again(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        node.overloaded = 30
        async with trio.open_nursery() as nursery:
            for index in range(20):
                nursery.start_soon(client.publish, "notes", b"%d" % index)
        assert len(node.streams["notes"].payloads) == 20


async def test_an_evicted_session_is_replaced(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", b"0")
        node.sessions.clear()
        assert (await client.publish("notes", b"1")).first_offset == 1


async def test_a_session_that_ends_around_a_request_leaves_its_outcome_unknown(
    node: Any, make_client: MakeClient
) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", b"0")
        node.evict_before_answer = True
        with pytest.raises(IndefiniteError, match="it may have been executed"):
            await client.publish("notes", b"1")
        assert (await client.publish("notes", b"2")).first_offset == 2


async def test_a_cancelled_write_leaves_no_gap(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", b"0")
        node.mute = True
        with trio.move_on_after(0.05):
            await client.publish("notes", b"1")
        node.mute = False
        node.cut()
        assert (await client.publish("notes", b"2")).first_offset == 2
        assert node.streams["notes"].payloads == [b"0", b"1", b"2"]
        assert node.opened == 1, "the same session"


async def test_a_timeout_of_a_write_is_indefinite(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", b"0")
        node.mute = True
        with pytest.raises(Timeout, match=r"no answer to publish within 0.05 s; it may have happened"):
            await client.publish("notes", b"1", timeout=0.05)
        node.mute = False


async def test_what_was_never_sent_is_definite(node: Any, make_client: MakeClient) -> None:
    async with running(node, make_client) as client:
        await client.publish("notes", b"0")
        node.refuse_connections = 10_000
        node.cut()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unreachable, match=r"publish could not be sent within 0.2 s; last: nobody answers here"):
            await client.publish("notes", b"1", timeout=0.2)
        node.refuse_connections = 0
        assert (await client.publish("notes", b"2")).first_offset == 1


def test_a_half_open_connection_is_given_up(node: Any, make_client: MakeClient) -> None:
    async def main() -> None:
        async with running(node, make_client) as client:
            node.mute = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.publish, "notes", b"1")
                await trio.sleep(1)
                node.mute = False
            assert node.streams["notes"].payloads == [b"1"]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_nobody_at_the_address(node: Any, make_client: MakeClient) -> None:
    node.refuse_connections = 1
    with pytest.raises(Unreachable, match="no node answers: nobody answers here"):
        async with make_client():
            pytest.fail("not connected")


async def test_waiting_for_a_node_that_starts(node: Any, make_client: MakeClient) -> None:
    node.refuse_connections = 3
    async with running(node, make_client, connect_for=30) as client:
        assert await client.publish("notes", b"x")


async def test_errors_of_the_block_come_out_as_they_are(node: Any, make_client: MakeClient) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        with pytest.raises(KeyError):
            async with make_client():
                raise KeyError("mine")
        nursery.cancel_scope.cancel()


async def test_closing_fails_what_is_in_flight(node: Any, make_client: MakeClient) -> None:
    failures: list[Exception] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        async with make_client() as client:
            await client.create_stream("notes")
            await client.publish("notes", b"0")
            node.mute = True

            async def publish() -> None:
                try:
                    await client.publish("notes", b"1")
                except IndefiniteError as error:
                    failures.append(error)

            nursery.start_soon(publish)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(InvalidArgument, match="closed"):
            await client.publish("notes", b"2")
        nursery.cancel_scope.cancel()
    assert [str(error) for error in failures] == ["the client was closed before the answer came"]


async def test_arguments_of_the_wrong_kind_are_refused_before_anything_is_sent(
    node: Any, make_client: MakeClient
) -> None:
    async with running(node, make_client) as client:
        before = len(node.calls)
        for call in (
            lambda: client.create_stream(None),  # type: ignore[arg-type]
            lambda: client.publish("\ud800", b"x"),
            lambda: client.publish("notes", b"x", expected=True),
            lambda: client.get_stream(5),  # type: ignore[arg-type]
            lambda: client.read("\ud800"),
            lambda: client.read("notes", "0"),  # type: ignore[arg-type]
            lambda: client.event_ids(None),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidArgument):
                await call()
        assert len(node.calls) == before


async def test_a_stream_without_a_placement_lies_where_the_node_is(node: Any, make_client: MakeClient) -> None:
    node.region, node.groups = "eu-west-1", ["eu-west-1", "global"]
    async with running(node, make_client) as client:
        await client.create_stream("more")
        await client.create_stream("rooms", "non-phi", "global")
        assert [node.streams[name].placement for name in ("notes", "more", "rooms")] == [
            "eu-west-1",
            "eu-west-1",
            "global",
        ]
        assert node.calls.count("status") == 1
