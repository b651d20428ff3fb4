"""The first door: a client sends what belongs to a region to nodes that say they hold it, and to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from vdb.client.client import Client
from vdb.errors import NotPrimary, PlacementViolation, StreamExists, UnknownStream, Unreachable

EU, US = "eu-west-1", "us-east-1"


@pytest.fixture
def regions(cluster: Any) -> Any:
    """n0 and n1 hold eu-west-1 and the global group, n2 us-east-1."""
    holders = {EU: ["n0", "n1"], US: ["n2"], "global": ["n0", "n1"]}
    for name, node in cluster.nodes.items():
        node.region = US if name == "n2" else EU
        node.groups = [US] if name == "n2" else [EU, "global"]
        node.holders = holders
    cluster.nodes["n2"].streams = {}
    cluster.nodes["n2"].elsewhere = None
    return cluster


@asynccontextmanager
async def running(cluster: Any, *addresses: str, **settings: Any) -> AsyncIterator[Client]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(cluster.run)
            async with cluster.client(*addresses, **settings) as client:
                yield client
            nursery.cancel_scope.cancel()


def writes(node: Any) -> list[str]:
    return [call for call in node.calls if call not in ("regions", "status")]


async def test_each_region_gets_its_own(regions: Any) -> None:
    async with running(regions, "n0") as client:
        await client.create_stream("charts", placement=US)
        await client.publish("charts", b"a")
        await client.create_stream("terms", "non-phi", "global")
    assert regions.nodes["n2"].streams["charts"].payloads == [b"a"]
    assert list(regions.nodes["n0"].streams) == ["terms"]
    assert "publish" not in writes(regions.nodes["n0"]) + writes(regions.nodes["n1"])


async def test_a_node_says_what_it_holds_before_it_is_sent_anything(regions: Any) -> None:
    async with running(regions, "n0") as client:
        await client.create_stream("charts", placement=US)
    for node in regions.nodes.values():
        assert node.calls[:1] in (["regions"], [])


async def test_an_address_that_leads_to_another_region_gets_nothing(regions: Any) -> None:
    """n0 says that n2 holds us-east-1; whoever answers there says that it doesn't."""
    astray = regions.nodes["n2"]
    astray.region, astray.groups = EU, [EU]
    async with running(regions, "n0") as client:
        with pytest.raises((Unreachable, PlacementViolation)) as refused:
            await client.create_stream("charts", placement=US, timeout=0.3)
    assert "nothing of" in str(refused.value)
    assert writes(astray) == []


async def test_nodes_without_a_primary_are_asked_within_the_region(regions: Any) -> None:
    async with running(regions) as client:
        await client.create_stream("charts", placement=EU)
        await client.publish("charts", b"a")
        regions.lead("n1", told=False)
        regions.nodes["n2"].elsewhere = None
        await client.publish("charts", b"b")
    assert regions.nodes["n1"].streams["charts"].payloads == [b"a", b"b"]
    assert "publish" not in regions.nodes["n2"].calls


async def test_a_group_that_nobody_holds(regions: Any) -> None:
    async with running(regions) as client:
        with pytest.raises(PlacementViolation, match="no node holds a group 'mars-1': expected one of eu-west-1, us"):
            await client.create_stream("charts", placement="mars-1")


async def test_a_client_that_is_bound_to_a_region_asks_no_other_for_a_name(regions: Any) -> None:
    async with running(regions) as client:
        await client.create_stream("charts", placement=EU)
        with pytest.raises(StreamExists, match="has a stream of this name in eu-west-1 already"):
            await client.create_stream("charts", placement=US)
    before = len(regions.nodes["n0"].calls) + len(regions.nodes["n1"].calls)
    async with running(regions, "n2", region=US) as client:
        with pytest.raises(UnknownStream):
            await client.publish("charts", b"a")
        with pytest.raises(PlacementViolation, match=r"bound to region us-east-1: .* found eu-west-1"):
            await client.create_stream("x", placement=EU)
    after = [call for name in ("n0", "n1") for call in regions.nodes[name].calls][before:]
    assert "publish" not in after
    assert writes(regions.nodes["n0"]).count("createStream") == 1


@pytest.mark.parametrize("asked", ["n0", "n2"])
async def test_a_node_without_the_global_group_does_not_say_what_is_not_in_it(cluster: Any, asked: str) -> None:
    """One region, of which n0 alone holds the global group."""
    for name, node in cluster.nodes.items():
        node.region, node.groups = EU, [EU, "global"] if name == "n0" else [EU]
        node.holders = {EU: ["n0", "n1", "n2"], "global": ["n0"]}
        node.streams, node.elsewhere = ({}, None) if name != "n0" else (node.streams, None)
    async with running(cluster, "n0") as client:
        await client.create_stream("terms", "non-phi", "global")
    async with running(cluster, asked, "n1", "n0") as client:
        await client.publish("terms", b"a")
        assert (await client.get_stream("terms")).group == "global"
    assert cluster.nodes["n0"].streams["terms"].payloads == [b"a"]


async def test_an_older_node_holds_what_its_status_names(cluster: Any) -> None:
    """One that doesn't know the question: it has one region, and says so in its status."""
    from vdb.errors import NotAvailable

    for node in cluster.nodes.values():
        node.on_regions = lambda call, _params: call.fail(NotAvailable("unknown method"))
    async with running(cluster) as client:
        with pytest.raises((PlacementViolation, Unreachable)):
            await client.create_stream("x", placement="mars-1", timeout=0.3)


@pytest.fixture
def over_a_wan(cluster: Any) -> Any:
    """n0 holds eu-west-1, n1 us-east-1, both the global group: n0 leads that, and takes its time for a rotation."""

    def rotate(call: Any, _params: Any) -> None:
        async def run() -> None:
            await trio.sleep(1.4)
            call.respond(lambda results: setattr(results, "rewrapped", 3))

        call.start_soon(run)

    del cluster.nodes["n2"]
    for name, region in (("n0", EU), ("n1", US)):
        node = cluster.nodes[name]
        node.region, node.groups = region, [region, "global"]
        node.holders = {EU: ["n0"], US: ["n1"], "global": ["n0", "n1"]}
        node.primaries = {region: name, "global": "n0"}
        node.on_rotateKeys = rotate
    return cluster


def test_an_answer_is_waited_for_though_another_group_is_led_elsewhere(over_a_wan: Any) -> None:
    async def main() -> None:
        async with running(over_a_wan) as client:
            started = trio.current_time()
            assert (await client.rotate_keys("global")).rewrapped == 3
            assert trio.current_time() - started < 1.5

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert "status" in over_a_wan.nodes["n1"].calls, "it was asked who leads"
    assert [node.calls.count("rotateKeys") for node in over_a_wan.nodes.values()] == [1, 0]


def test_so_where_both_nodes_hold_both_groups(over_a_wan: Any) -> None:
    """The client knows that the other group is led at n1."""

    async def main() -> None:
        for node in over_a_wan.nodes.values():
            node.groups, node.holders = [EU, "global"], {EU: ["n0", "n1"], "global": ["n0", "n1"]}
            node.primaries = {EU: "n1", "global": "n0"}
        async with running(over_a_wan) as client:
            over_a_wan.nodes["n0"].refusals = [NotPrimary("ask n1", "n1")]
            over_a_wan.nodes["n1"].elsewhere = None
            await client.create_stream("charts", placement=EU)
            await client.rotate_keys("global")

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert "createStream" in over_a_wan.nodes["n1"].calls
    assert over_a_wan.nodes["n0"].calls.count("rotateKeys") == 1


def test_a_node_is_left_when_its_own_group_is_led_elsewhere(over_a_wan: Any) -> None:
    async def main() -> None:
        async with running(over_a_wan) as client:
            over_a_wan.nodes["n0"].on_rotateKeys = lambda _call, _params: None
            for node in over_a_wan.nodes.values():
                node.primaries = {node.region: node.holders[node.region][0], "global": "n1"}
            over_a_wan.nodes["n1"].elsewhere = None
            started = trio.current_time()
            assert (await client.rotate_keys("global")).rewrapped == 3
            assert trio.current_time() - started < 3.0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    assert over_a_wan.nodes["n1"].calls.count("rotateKeys") == 1


async def test_an_attempt_whose_answer_is_lost_is_repeated_under_its_id(over_a_wan: Any) -> None:
    asked: list[bytes] = []

    def rotate(call: Any, params: Any) -> None:
        asked.append(bytes(params.rotationId))
        if len(asked) == 1:
            over_a_wan.nodes["n0"].cut()
        else:
            call.respond(lambda _results: None)

    over_a_wan.nodes["n0"].on_rotateKeys = rotate
    async with running(over_a_wan) as client:
        await client.rotate_keys("global")
        await client.rotate_keys("global", rotation_id=b"n" * 16)
    assert len(asked[0]) == 16
    assert asked == [asked[0], asked[0], b"n" * 16]
