"""A client of several nodes: it finds the primary, follows it, and loses or doubles nothing on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from vdb.client.client import Client
from vdb.errors import InvalidArgument, NotPrimary, NotReady, PrimaryLost, Timeout, UnknownStream, Unreachable
from vdb.types import Position


@asynccontextmanager
async def running(cluster: Any, *addresses: str, **settings: Any) -> AsyncIterator[Client]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(cluster.run)
            async with cluster.client(*addresses, **settings) as client:
                yield client
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("primary", ["n0", "n1", "n2"])
async def test_the_primary_is_found(cluster: Any, primary: str) -> None:
    cluster.lead(primary)
    async with running(cluster) as client:
        await client.create_stream("notes")
        await client.publish("notes", b"a")
        assert [event.payload for event in await client.read("notes")] == [b"a"]
    assert cluster.nodes[primary].executions == cluster.executions == 2


async def test_an_address_that_a_node_names_is_used_though_it_was_not_given(cluster: Any) -> None:
    cluster.lead("n2")
    async with running(cluster, "n0") as client:
        await client.create_stream("notes")
    assert cluster.nodes["n2"].executions == 1


async def test_nodes_that_know_no_primary_are_asked_round(cluster: Any) -> None:
    cluster.lead("n2", told=False)
    async with running(cluster) as client:
        await client.create_stream("notes")
        assert (await client.publish("notes", b"a")).next_offset == 1
    assert cluster.nodes["n2"].executions == 2


async def test_the_session_goes_along_to_a_new_primary(cluster: Any) -> None:
    async with running(cluster) as client:
        await client.create_stream("notes")
        for number in range(30):
            if number in (10, 20):
                cluster.lead(f"n{number // 10}")
            await client.publish("notes", b"%d" % number)
        assert [event.payload for event in await client.read("notes")] == [b"%d" % number for number in range(30)]
    assert sum(node.calls.count("openSession") for node in cluster.nodes.values()) == 1
    assert cluster.executions == 31


async def test_many_writes_in_flight_survive_a_primary_that_dies(cluster: Any) -> None:
    async with running(cluster) as client:
        await client.create_stream("notes")
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(client.publish, "notes", b"%d" % number)
            await trio.testing.wait_all_tasks_blocked()
            dead = cluster.nodes["n0"]
            cluster.lead("n1")
            dead.refuse_connections = 1_000
            dead.cut()
        payloads = [event.payload for event in await client.read("notes")]
    assert sorted(payloads, key=int) == [b"%d" % number for number in range(200)]
    assert cluster.executions == 201


@pytest.mark.parametrize("error", [NotReady("its clock isn't synchronised"), PrimaryLost("send it again")])
async def test_what_a_node_can_not_say_now_is_asked_again(cluster: Any, error: Exception) -> None:
    async with running(cluster) as client:
        await client.create_stream("notes")
        cluster.nodes["n0"].refusals = [error]
        assert (await client.publish("notes", b"a")).next_offset == 1
        cluster.nodes["n0"].refusals = [error]
        assert len(await client.read("notes")) == 1
    assert cluster.executions == 2


async def test_a_primary_that_nobody_finds_is_a_timeout_that_says_what_was_heard(cluster: Any) -> None:
    for node in cluster.nodes.values():
        node.elsewhere = NotPrimary("group ap-southeast-2 is between two views")
    async with running(cluster) as client:
        with pytest.raises(Unreachable, match=r"could not be sent within 0.2 s; last: .* between two views"):
            await client.create_stream("notes", timeout=0.2)
        with pytest.raises(Timeout, match=r"no answer to getStream within 0.2 s; last: .* between two views"):
            await client.get_stream("notes", timeout=0.2)


def test_a_node_that_hangs_is_left_when_another_has_taken_over(cluster: Any) -> None:
    async def main() -> None:
        async with running(cluster) as client:
            await client.create_stream("notes")
            cluster.nodes["n0"].mute = True
            started = trio.current_time()
            with trio.move_on_after(3.0):
                await client.publish("notes", b"a")
            assert trio.current_time() - started == 3.0, "nobody else has taken over: it waits"
            cluster.lead("n1")
            started = trio.current_time()
            await client.publish("notes", b"b")
            assert trio.current_time() - started < 1.5

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert b"b" in cluster.nodes["n1"].streams["notes"].payloads


async def test_reads_that_any_node_may_answer_stay_where_the_client_is(cluster: Any) -> None:
    cluster.lead("n2")
    async with running(cluster) as client:
        await client.create_stream("notes")
        published = await client.publish("notes", b"a")
        assert len(await client.read("notes", at_least=published.position)) == 1
        assert len(await client.read("notes", at_least="ap-southeast-2:1")) == 1
        assert len(await client.read("notes", consistency="stale")) == 1
        assert (await client.get_stream("notes", consistency="stale")).next_offset == 1
    first = cluster.nodes["n0"]
    assert published.position == Position.parse("ap-southeast-2:1")
    assert [level for level in first.levels if level == "ap-southeast-2:1"]
    assert "stale" in first.levels
    assert cluster.nodes["n2"].calls.count("read") == 0


async def test_what_no_group_has_is_unknown(cluster: Any) -> None:
    cluster.lead("n1")
    async with running(cluster) as client:
        with pytest.raises(UnknownStream):
            await client.get_stream("notes")


async def test_streams_are_listed_at_the_primary(cluster: Any) -> None:
    cluster.lead("n1")
    async with running(cluster) as client:
        for name in "abcde":
            await client.create_stream(name)
        assert [info.name for info in await client.list_streams()] == list("abcde")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consistency": "eventual"}, "a read's consistency is 'linearizable' or 'stale'; found 'eventual'"),
        ({"at_least": "nowhere"}, "a position reads GROUP:NUMBER"),
        ({"consistency": "stale", "at_least": "a:1"}, "a read is either stale or at least at a position; found both"),
    ],
)
async def test_what_a_read_can_not_be(cluster: Any, options: Any, message: str) -> None:
    async with running(cluster) as client:
        with pytest.raises(InvalidArgument, match=message):
            await client.read("notes", **options)


async def test_a_client_starts_where_a_node_answers(cluster: Any) -> None:
    cluster.nodes["n0"].refuse_connections = cluster.nodes["n1"].refuse_connections = 1_000
    cluster.lead("n2")
    async with running(cluster) as client:
        assert await client.create_stream("notes")


async def test_nobody_answers_at_all_of_the_addresses(cluster: Any) -> None:
    for node in cluster.nodes.values():
        node.refuse_connections = 1_000
    with pytest.raises(Unreachable, match="none of 3 nodes answers; the last: nobody answers here; if none runs"):
        async with cluster.client():
            pass


def test_one_address_is_enough_to_leave_a_node_that_hangs(cluster: Any) -> None:
    async def main() -> None:
        async with running(cluster, "n0") as client:
            cluster.lead("n1")
            await client.create_stream("notes")
            cluster.nodes["n1"].mute = True
            cluster.lead("n0")
            started = trio.current_time()
            await client.publish("notes", b"b")
            assert trio.current_time() - started < 1.5

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert cluster.nodes["n0"].streams["notes"].payloads == [b"b"]
