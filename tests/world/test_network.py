"""TLS on the real network, with certificates made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trustme

from vdb.errors import ConfigError, ConnectionLost
from vdb.types import Region
from vdb.world import TlsConfig, make_world
from vdb.world.network import RealNetwork


def make_tls(directory: Path, authority: trustme.CA, name: str, *more: str) -> TlsConfig:
    certificate = authority.issue_cert("127.0.0.1", "localhost", *more)
    config = TlsConfig(cert=directory / f"{name}.pem", key=directory / f"{name}.key", ca=directory / f"{name}-ca.pem")
    config.cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(config.key))
    authority.cert_pem.write_to_path(str(config.ca))
    return config


async def echo_once(listener: object) -> None:
    stream = await listener.accept()  # type: ignore[attr-defined]
    try:
        async with stream:
            await stream.send_all(await stream.receive_some(100))
    except trio.BrokenResourceError:
        pass


async def test_both_sides_show_certificates(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = RealNetwork(make_tls(tmp_path, authority, "server"))
    client = RealNetwork(make_tls(tmp_path, authority, "client"))
    listener = await server.listen("0.0.0.0:0")
    port = listener.address.rpartition(":")[2]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo_once, listener)
        stream = await client.connect(f"127.0.0.1:{port}")
        assert isinstance(stream, trio.SSLStream)
        async with stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some(100) == b"hello"
            assert stream.version() == "TLSv1.3"
    await listener.aclose()


async def test_each_side_sees_the_names_in_the_others_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    networks = [RealNetwork(make_tls(tmp_path, authority, name, f"{name}.example")) for name in ("server", "client")]
    listener = await networks[0].listen("127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        streams: list[trio.abc.Stream] = []

        async def accept() -> None:
            stream = await listener.accept()
            await stream.receive_some(1)
            streams.append(stream)

        nursery.start_soon(accept)
        async with await networks[1].connect(listener.address) as stream:
            assert networks[1].peer_names(stream) == ("localhost", "server.example")
            await stream.send_all(b"x")
    assert networks[0].peer_names(streams[0]) == ("localhost", "client.example")
    await trio.aclose_forcefully(streams[0])
    await listener.aclose()


async def test_another_authority_is_refused_by_the_client(tmp_path: Path) -> None:
    server = RealNetwork(make_tls(tmp_path, trustme.CA(), "server"))
    client = RealNetwork(make_tls(tmp_path, trustme.CA(), "client"))
    listener = await server.listen("127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo_once, listener)
        with pytest.raises(ConnectionLost, match=r"the TLS handshake with 127\.0\.0\.1:\d+ failed.*certificate"):
            await client.connect(listener.address)
    await listener.aclose()


async def test_a_client_without_a_good_certificate_gets_nothing(tmp_path: Path) -> None:
    good, other = trustme.CA(), trustme.CA()
    server = RealNetwork(make_tls(tmp_path, good, "server"))
    config = make_tls(tmp_path, other, "client")
    good.cert_pem.write_to_path(str(config.ca))  # trusts the server, isn't trusted by it
    client = RealNetwork(config)
    listener = await server.listen("127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo_once, listener)
        stream = await client.connect(listener.address)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some(1)
        await trio.aclose_forcefully(stream)
    await listener.aclose()


async def test_a_client_that_never_speaks_does_not_hold_up_the_next(tmp_path: Path) -> None:
    authority = trustme.CA()
    network = RealNetwork(make_tls(tmp_path, authority, "node"))
    listener = await network.listen("127.0.0.1:0")
    host, _, port = listener.address.rpartition(":")
    silent = await trio.open_tcp_stream(host, int(port))
    with trio.fail_after(10):
        first = await listener.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo_once, listener)
            async with await network.connect(listener.address) as stream:
                await stream.send_all(b"x")
                assert await stream.receive_some(1) == b"x"
    await silent.aclose()
    await trio.aclose_forcefully(first)
    await listener.aclose()


def test_bad_tls_files_are_named(tmp_path: Path) -> None:
    config = make_tls(tmp_path, trustme.CA(), "node")
    config.key.unlink()
    with pytest.raises(ConfigError, match=r"set up from the certificate .*node\.pem and the key .*node\.key"):
        make_world(tmp_path / "data", Region("us-east-1"), tls=config)


async def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    network = RealNetwork(make_tls(tmp_path, trustme.CA(), "node"))
    with pytest.raises(ConfigError, match=r"can't listen on 192\.0\.2\.1:7140"):
        await network.listen("192.0.2.1:7140")
