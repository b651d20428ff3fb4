"""Connections that others open: what they may say, before the hello and after it."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vdb.node.peers.peer_settings import PeerSettings
from vdb.vsr.message import StartViewChange
from vdb.wire.peer import encode_message
from vdb.wire.peer_link import Hello, Refusal, RefusalReason, encode_link_frame

InCluster = Callable[[Callable[[Any], Awaitable[None]]], None]
GROUP = b"g" * 32
CLUSTER = b"c" * 16
AGAIN = encode_link_frame(Hello(node=5, to=0, cluster=CLUSTER, disk=bytes(16)))


def svc(view: int, replica: int) -> StartViewChange:
    return StartViewChange(view=view, replica=replica)


def test_who_speaks_in_anothers_name_is_cut_off(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "n1:1"})
        async with cluster.raw(zero) as (stream, answer):
            assert answer == Hello(node=0, to=1, cluster=CLUSTER, disk=cluster.disk_of(0))
            await stream.send_all(encode_message(GROUP, svc(1, 1)) + encode_message(GROUP, svc(2, 2)))
            assert await cluster.receive(stream) is None
        assert zero.received == [(GROUP, 1, svc(1, 1))]

    in_cluster(body)


@pytest.mark.parametrize(
    "words",
    [b"GET / HTTP/1.1\r\n\r\n", bytes(64), encode_message(GROUP, svc(1, 1)), b"\0\0\0\0\xff\xff\0\0", b""],
    ids=["http", "zeros", "message", "large", "silence"],
)
def test_who_does_not_say_hello_is_cut_off(in_cluster: InCluster, words: bytes) -> None:
    async def body(cluster: Any) -> None:
        settings = PeerSettings(hello_timeout_s=0.3)
        zero = await cluster.start(0, {1: "n1:1"}, settings=settings)
        stream = await cluster.world(9).network.connect(zero.peers.address or "")
        if words:
            await stream.send_all(words)
        assert await cluster.receive(stream) is None
        await trio.aclose_forcefully(stream)
        assert zero.received == []

    in_cluster(body)


def test_who_says_nothing_keeps_no_node_out(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "n1:1"}, settings=PeerSettings(hello_timeout_s=1000.0, strangers_max=3))
        silent = [await cluster.world(9).network.connect(zero.peers.address or "") for _ in range(5)]
        async with cluster.raw(zero) as (stream, answer):
            assert isinstance(answer, Hello)
            assert await cluster.receive(silent[0]) is None
            again = [await cluster.world(9).network.connect(zero.peers.address or "") for _ in range(5)]
            assert await cluster.receive(again[0]) is None
            await stream.send_all(encode_message(GROUP, svc(1, 1)))
            assert await zero.receive(1) == [svc(1, 1)]
        for one in silent + again:
            await trio.aclose_forcefully(one)

    in_cluster(body)


@pytest.mark.parametrize(
    "words", [b"\xff" * 64, encode_link_frame(Hello(node=5, to=0, cluster=CLUSTER, disk=bytes(16)))]
)
def test_garbage_after_the_hello_ends_the_connection(in_cluster: InCluster, words: bytes) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "n1:1"})
        async with cluster.raw(zero) as (stream, _):
            await stream.send_all(words)
            assert await cluster.receive(stream) is None

    in_cluster(body)


def test_the_newest_connection_of_a_node_counts(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        zero = await cluster.start(0, {1: "n1:1"})
        async with cluster.raw(zero) as (old, _), cluster.raw(zero) as (new, answer):
            assert isinstance(answer, Hello)
            assert await cluster.receive(old) is None
            await new.send_all(encode_message(GROUP, svc(1, 1)))
            assert await zero.receive(1) == [svc(1, 1)]

    in_cluster(body)


def test_an_answer_that_is_no_hello(in_cluster: InCluster) -> None:
    async def body(cluster: Any) -> None:
        listener = await cluster.world(1).network.listen(f"{cluster.host(1)}:0")
        zero = await cluster.start(0, {1: listener.address})
        for answer, problem in (
            (encode_message(GROUP, svc(1, 1)), "doesn't answer at"),
            (b"\xff" * 16, "above the limit"),
            (b"", "ended before a hello"),
            (encode_link_frame(Refusal(RefusalReason.VERSION)), "another version of the protocol"),
            (encode_link_frame(Hello(node=2, to=0, cluster=CLUSTER, disk=bytes(16))), "doesn't answer at"),
        ):
            stream = await listener.accept()
            assert isinstance(await cluster.receive(stream), Hello)
            await stream.send_all(answer)
            await stream.aclose()
            await cluster.until(lambda problem=problem: problem in (zero.peers.status()[0].problem or ""))
        assert zero.peers.met == ()
        await listener.aclose()

    in_cluster(body)


def test_nodes_are_let_in_once_there_is_a_file_to_spare(in_cluster: InCluster, scarce: Callable[..., Any]) -> None:
    async def body(cluster: Any) -> None:
        world, errors = cluster.world, [OSError(errno.EMFILE, "Too many open files") for _ in range(3)]
        cluster.world = lambda node: scarce(world(node), errors) if node == 0 else world(node)
        zero = await cluster.start(0, {1: "n1:1"})
        async with cluster.raw(zero) as (_, answer):
            assert isinstance(answer, Hello)
        assert errors == []

    in_cluster(body)
