"""Clients over sockets: on asyncio, without a loop, with TLS settings, and where nobody listens."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.errors import ConfigError, InvalidArgument, NotLoopback, UnknownStream, Unreachable


def test_asyncio(tcp_node: tuple[Any, str]) -> None:
    node, address = tcp_node

    async def main() -> None:
        async with vdb.connect(address) as client:
            await client.create_stream("notes")
            node.cut_before_answer = 0
            published = await asyncio.gather(*(client.publish("notes", b"%d" % index) for index in range(100)))
            assert sorted(one.first_offset for one in published) == list(range(100))
            assert len(await client.read("notes")) == 100
            with pytest.raises(UnknownStream):
                await client.read("nots")
            follower = client.follow("notes", 100)
            task = asyncio.ensure_future(anext(follower))
            await client.publish("notes", b"live")
            assert (await task).payload == b"live"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(follower), 0.05)

    asyncio.run(main())


def test_asyncio_errors_of_the_block_come_out_as_they_are(tcp_node: tuple[Any, str]) -> None:
    async def main() -> None:
        async with vdb.connect(tcp_node[1]) as client:
            await client.status()
            raise KeyError("mine")

    with pytest.raises(KeyError):
        asyncio.run(main())


def test_the_sync_client(tcp_node: tuple[Any, str]) -> None:
    node, address = tcp_node
    with vdb.connect_sync(address) as client:
        assert client.create_stream("notes")
        assert client.publish("notes", [b"a", b"b"]).next_offset == 2
        (published,) = client.append([vdb.StreamAppend(stream="notes", runs=(vdb.EventRun(payloads=b"c"),))])
        assert published.next_offset == 3
        assert [event.payload for event in client.events("notes")] == [b"a", b"b", b"c"]
        assert [event.payload for event in client.read("notes", 1, 1)] == [b"b"]
        follower = client.follow("notes", 2)
        assert next(follower).payload == b"c"
        assert client.get_stream("notes").next_offset == 3
        assert [stream.name for stream in client.list_streams()] == ["notes"]
        assert client.status().node == "fake"
        assert client.rows("p", "t", {"a": 1}).dicts() == [{"name": "a", "kind": "integer"}]
        assert client.wait_for_projection("p", published.position, 1)
        assert client.event_ids("notes") == []
        with pytest.raises(UnknownStream, match="tenant 1 has no stream 'nots'"):
            client.publish("nots", b"x")
    with pytest.raises(InvalidArgument, match="closed"):
        client.publish("notes", b"x")
    client.close()
    assert node.executions == 3


def test_the_sync_client_from_many_threads(tcp_node: tuple[Any, str]) -> None:
    node, address = tcp_node
    with vdb.connect_sync(address) as client:
        client.create_stream("notes")
        threads = [threading.Thread(target=client.publish, args=("notes", b"%d" % index)) for index in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(node.streams["notes"].payloads, key=int) == [b"%d" % index for index in range(20)]


def test_address_and_tenant_come_from_the_environment(
    tcp_node: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDB_ADDRESS", tcp_node[1])
    monkeypatch.setenv("VDB_TENANT", "7")
    with vdb.connect_sync() as client:
        assert client.tenant == 7
        assert client.status().node == "fake"
    monkeypatch.setenv("VDB_TENANT", "")
    with vdb.connect_sync(tcp_node[1]) as client:
        assert client.tenant == 1
    with vdb.connect_sync(tenant=3) as client:
        assert client.tenant == 3
    monkeypatch.setenv("VDB_TENANT", "one")
    with pytest.raises(ConfigError, match="VDB_TENANT: expected a tenant's number, found 'one'"):
        vdb.connect()


def test_several_addresses(tcp_node: tuple[Any, str], free_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"127.0.0.1:{free_tcp_port}"
    for address in ([nobody, tcp_node[1]], f"{nobody}, {tcp_node[1]}"):
        with vdb.connect_sync(address) as client:
            assert client.status().node == "fake"
    monkeypatch.setenv("VDB_ADDRESS", f"{nobody},{tcp_node[1]}")
    with vdb.connect_sync() as client:
        assert client.status().node == "fake"


def test_no_address_at_all() -> None:
    with pytest.raises(ConfigError, match="a client needs the address of at least one node; found none"):
        vdb.connect([])


def test_nobody_listens(free_tcp_port: int) -> None:
    message = (
        f"no node answers: can't connect to 127.0.0.1:{free_tcp_port}: .*; if none runs, start one with `vdb start`"
    )
    with pytest.raises(Unreachable, match=message):
        vdb.connect_sync(f"127.0.0.1:{free_tcp_port}")


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:port", ":7140", "127.0.0.1:70000"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ConfigError, match="an address reads HOST:PORT"):
        vdb.connect(address)


def test_another_machine_needs_tls() -> None:
    with pytest.raises(NotLoopback, match=r"192\.0\.2\.1:7140 is not on this machine, and no TLS is configured"):
        vdb.connect("192.0.2.1:7140")


def test_tls_files_that_can_not_be_read(tmp_path: Path) -> None:
    missing = vdb.TlsConfig(cert=tmp_path / "cert", key=tmp_path / "key", ca=tmp_path / "ca")
    with pytest.raises(ConfigError, match="TLS can't be set up from"):
        vdb.connect("127.0.0.1:7140", tls=missing)


def test_the_public_face_is_what_it_says() -> None:
    assert sorted(vdb.__all__) == dir(vdb)
    for name in vdb.__all__:
        if name not in ("open", "EmbeddedDatabase"):
            assert getattr(vdb, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = vdb.nothing
