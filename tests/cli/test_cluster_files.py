"""What `vdb cluster init` and `prepare` write."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdb.cli.config_file import read_config_file
from vdb.errors import ConfigError
from vdb.node.peers.hello import node_name

NOBODY = "127.0.0.1:1"


def test_a_cluster_of_three_on_this_machine(run_here: Callable[..., Any], tmp_path: Path) -> None:
    place = tmp_path / "cluster"
    found = run_here("cluster", "init", "--dir", str(place), "--json").object
    assert found["configs"] == [str(place / f"n{number}.toml") for number in range(3)]
    assert found["address"] == "127.0.0.1:7140,127.0.0.1:7141,127.0.0.1:7142"
    configs = [read_config_file(place / f"n{number}.toml") for number in range(3)]
    for number, config in enumerate(configs):
        cluster = config.node.cluster_id()
        assert cluster == bytes.fromhex(found["cluster"])
        assert (config.node.number, config.node.join) == (number, False)
        assert config.node.peer_address == f"127.0.0.1:{7150 + number}"
        assert config.members == configs[0].members
        assert [member.node for member in config.member_configs()] == [0, 1, 2]
        assert config.tls is not None
        for file in (config.tls.cert, config.tls.key, config.tls.ca):
            assert (place / file).exists()
        decoded = ssl._ssl._test_decode_cert(str(place / config.tls.cert))  # type: ignore[attr-defined]
        assert ("DNS", node_name(cluster, number)) in decoded["subjectAltName"]
        assert ("IP Address", "127.0.0.1") in decoded["subjectAltName"]
    for private in ("root.key", "tls/ca.key", "tls/n0.key", "tls/client.key"):
        assert stat.S_IMODE((place / private).stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_what_to_do_next_is_said(run_here: Callable[..., Any], tmp_path: Path) -> None:
    place = tmp_path / "cluster"
    said = run_here("cluster", "init", "--dir", str(place), "--host", "10.0.0.1", "--host", "db.example").out
    assert "2 nodes of ap-southeast-2" in said
    assert f"vdb start --config {place}/n1.toml" in said
    assert "export VDB_ADDRESS=10.0.0.1:7140,db.example:7140" in said
    assert f"export VDB_TLS_CA={place}/tls/ca.pem" in said
    assert read_config_file(place / "n1.toml").node.address == "db.example:7140"


def test_nothing_is_written_over(run_here: Callable[..., Any], tmp_path: Path) -> None:
    first = run_here("cluster", "init", "--dir", str(tmp_path), "--no-tls")
    assert first.code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = run_here("cluster", "init", "--dir", str(tmp_path), "--no-tls")
    assert again.code == 2
    assert "n0.toml is there already: expected a directory without a cluster's files" in again.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nodes", "7"), "a cluster begins with 1 to 6 nodes; found 7"),
        (("--host", "10.0.0.1", "--no-tls"), "nodes on several machines need TLS: leave --no-tls away"),
        (("--region", "Mars"), "a region's name has 2 to 32 characters"),
    ],
)
def test_what_can_not_be(
    run_here: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    found = run_here("cluster", "init", "--dir", str(tmp_path / "c"), *arguments)
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "c").exists()


def test_one_more_node(run_here: Callable[..., Any], tmp_path: Path) -> None:
    run_here("cluster", "init", "--dir", str(tmp_path))
    found = run_here("cluster", "prepare", "--dir", str(tmp_path), "--node", "3", "--json", "--address", NOBODY).object
    assert found == {"node": 3, "config": str(tmp_path / "n3.toml"), "address": "127.0.0.1:7143"}
    config = read_config_file(tmp_path / "n3.toml")
    assert (config.node.number, config.node.join) == (3, True)
    assert [member.number for member in config.members] == [0, 1, 2, 3]
    assert config.tls is not None
    again = run_here("cluster", "prepare", "--dir", str(tmp_path), "--node", "3", "--address", NOBODY)
    assert "n3.toml is there already" in again.err
    founder = run_here("cluster", "prepare", "--dir", str(tmp_path), "--node", "1")
    assert "the cluster began with a node 1: expected another number, or --again" in founder.err
    elsewhere = run_here("cluster", "prepare", "--dir", str(tmp_path / "nowhere"), "--node", "4")
    assert elsewhere.code == 2
    assert "n0.toml can't be read" in elsewhere.err


@pytest.mark.parametrize(
    ("founders", "host", "address"),
    [
        (("--port", "9000"), "127.0.0.1", "127.0.0.1:9003"),
        (("--host", "10.255.0.1", "--host", "10.255.0.2", "--port", "9000"), "10.255.0.4", "10.255.0.4:9000"),
    ],
)
def test_one_more_node_listens_where_the_first_ones_would(
    run_here: Callable[..., Any], tmp_path: Path, founders: tuple[str, ...], host: str, address: str
) -> None:
    run_here("cluster", "init", "--dir", str(tmp_path), *founders)
    arguments = ("--dir", str(tmp_path), "--node", "3", "--host", host, "--json", "--address", NOBODY)
    assert run_here("cluster", "prepare", *arguments).object["address"] == address


def test_a_cluster_id_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "n.toml"
    file.write_text('[node]\ncluster = "12"\n')
    with pytest.raises(ConfigError, match=r"a cluster's id has 32 hex digits - at `\$\.node\.cluster`"):
        read_config_file(file)


def test_a_node_listens_for_others_on_loopback_alone_unless_there_is_tls(
    run_vdb: Callable[..., Any], tmp_path: Path
) -> None:
    assert run_vdb("cluster", "init", "--dir", str(tmp_path), "--no-tls").code == 0
    config = tmp_path / "n0.toml"
    text = config.read_text().replace('peer-address = "127.0.0.1:7150"', 'peer-address = "0.0.0.0:0"', 1)
    config.write_text(text)
    found = run_vdb("start", "--config", str(config), "--address", "127.0.0.1:0")
    assert found.code == 2
    assert "0.0.0.0:0 can be reached from other machines, and no TLS is configured" in found.err


def test_several_addresses_in_the_environment_are_for_clients(run_vdb: Callable[..., Any], tmp_path: Path) -> None:
    assert run_vdb("cluster", "init", "--dir", str(tmp_path), "--no-tls").code == 0
    config = tmp_path / "n0.toml"
    config.write_text(config.read_text().replace('address = "127.0.0.1:7140"', 'address = "10.255.0.1:7140"', 1))
    found = run_vdb("start", "--config", str(config), env={"VDB_ADDRESS": "127.0.0.1:7140,127.0.0.1:7141"})
    assert found.code == 2
    assert "10.255.0.1:7140 can be reached from other machines" in found.err
