"""Mutual TLS with real certificates, from `vdb start` to clients of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

import vdb
from vdb.errors import Unreachable


def write_pem(place: Path, authority: trustme.CA, name: str) -> vdb.TlsConfig:
    cert = authority.issue_cert("127.0.0.1", common_name=name)
    files = vdb.TlsConfig(cert=place / f"{name}.pem", key=place / f"{name}.key", ca=place / f"{name}-ca.pem")
    files.cert.write_bytes(b"".join(part.bytes() for part in cert.cert_chain_pems))
    files.key.write_bytes(cert.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(files.ca))
    return files


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def address(start_node: Callable[..., Any], tmp_path: Path, authority: trustme.CA) -> str:
    write_pem(tmp_path, authority, "node")
    start_node(tmp_path).end()  # makes the directory and its configuration
    config = tmp_path / "node.toml"
    config.write_text(config.read_text() + '[tls]\ncert = "node.pem"\nkey = "node.key"\nca = "node-ca.pem"\n')
    arguments = ["start", "--config", str(config), "--address", "127.0.0.1:0"]
    return str(start_node(tmp_path, arguments=arguments).address)


def test_clients_with_a_certificate(
    address: str, tmp_path: Path, authority: trustme.CA, run_here: Callable[..., Any]
) -> None:
    tls = write_pem(tmp_path, authority, "client")
    with vdb.connect_sync(address, tls=tls) as client:
        client.create_stream("notes")
        client.publish("notes", b"sealed and encrypted")

    async def main() -> list[bytes]:
        async with vdb.connect(address, tls=tls) as client:
            return [event.payload for event in await client.read("notes")]

    assert asyncio.run(main()) == [b"sealed and encrypted"]
    files = ("--tls-cert", str(tls.cert), "--tls-key", str(tls.key), "--tls-ca", str(tls.ca))
    assert run_here("read", "--stream", "notes", "--json", "--address", address, *files).object["offset"] == 0
    found = run_here("status", "--address", address, "--tls-cert", str(tls.cert))
    assert found.code == 2
    assert "TLS needs a certificate, its key and the authority's: expected three files, found 1" in found.err


def test_a_client_of_another_authority(address: str, tmp_path: Path) -> None:
    tls = write_pem(tmp_path, trustme.CA(), "stranger")
    with pytest.raises(Unreachable, match=f"can't connect to {address}"):
        vdb.connect_sync(address, tls=tls)


def test_a_client_without_tls(address: str) -> None:
    with pytest.raises(Unreachable, match="no node answers"):
        vdb.connect_sync(address, retry_for=0.5)
