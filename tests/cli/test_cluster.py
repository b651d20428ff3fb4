"""A cluster by its commands, with TLS: set up, grown, bereft of a disk, shrunk; what was acknowledged stays."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

SECONDS_MAX = 60


def free_ports(count: int) -> int:
    """The first of so many ports in a row on which nobody listens."""
    for first in range(20_000 + (time.monotonic_ns() // 1000) % 10_000, 32_000):
        held: list[socket.socket] = []
        try:
            held.extend(socket.create_server(("127.0.0.1", first + number)) for number in range(count))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return first
    raise AssertionError("no ports are free")


@define
class Cluster:
    place: Path
    port: int
    start_node: Callable[..., Any]
    run_here: Callable[..., Any]
    nodes: dict[int, Any] = field(factory=dict)

    def vdb(self, *arguments: str) -> Any:
        tls = self.place / "tls"
        environment = {
            "VDB_ADDRESS": ",".join(f"127.0.0.1:{self.port + number}" for number in range(3)),
            "VDB_TLS_CERT": str(tls / "client.pem"),
            "VDB_TLS_KEY": str(tls / "client.key"),
            "VDB_TLS_CA": str(tls / "ca.pem"),
        }
        ran = self.run_here(*arguments, env=environment)
        assert ran.code == 0, ran.out + ran.err
        return ran

    def start(self, *numbers: int, join: bool = False) -> None:
        def start(number: int) -> None:
            arguments = ["start", "--config", str(self.place / f"n{number}.toml"), *(["--join"] if join else [])]
            self.nodes[number] = self.start_node(self.place, arguments=arguments)

        with ThreadPoolExecutor(len(numbers)) as pool:
            list(pool.map(start, numbers))

    def status(self) -> dict[int, Any]:
        """By number, of those that answer."""
        found = self.vdb("status", "--json").object["nodes"]
        return {node["number"]: node for node in found if node["problem"] is None}

    def members(self, group: str = "ap-southeast-2") -> dict[int, str]:
        """The group's members and their roles, as the serving primary has them."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            for node in self.status().values():
                for one in node["groups"]:
                    if one["group"] == group and one["serving"]:
                        return {
                            member["node"]: "learner"
                            if member["learner"]
                            else "primary"
                            if member["node"] == one["primary"]
                            else "voter"
                            for member in one["members"]
                        }
        raise AssertionError("no node is primary")

    def primary(self) -> int:
        return next(node for node, role in self.members().items() if role == "primary")


@pytest.fixture
def cluster(tmp_path: Path, start_node: Callable[..., Any], run_here: Callable[..., Any]) -> Cluster:
    port = free_ports(20)
    made = Cluster(tmp_path / "cluster", port, start_node, run_here)
    more = ("--port", str(port), "--peer-port", str(port + 10))
    assert run_here("cluster", "init", "--dir", str(made.place), *more).code == 0
    for number in range(3):
        with (made.place / f"n{number}.toml").open("a") as file:
            file.write("\n[limits]\nmessage-size-max = 65536\nwal-slots = 96\ncheckpoint-interval = 64\n")
    return made


def test_a_cluster_by_its_commands(cluster: Cluster) -> None:
    place, port = str(cluster.place), cluster.port
    cluster.start(0, 1, 2)
    cluster.vdb("stream", "create", "--stream", "notes")
    cluster.vdb("publish", "--stream", "notes", "--payload", "first")
    assert sorted(cluster.members().values()) == ["primary", "voter", "voter"]
    assert "3 of 3 nodes answer" in cluster.vdb("status").out

    ports = ("--port", str(port + 3), "--peer-port", str(port + 13))
    cluster.vdb("cluster", "prepare", "--dir", place, "--node", "3", *ports)
    with (cluster.place / "n3.toml").open("a") as file:
        file.write("\n[limits]\nmessage-size-max = 65536\nwal-slots = 96\ncheckpoint-interval = 64\n")
    cluster.start(3)
    added = cluster.vdb("cluster", "add", "--at", f"127.0.0.1:{port + 3}", "--json").objects
    assert [(one["group"], one["node"], one["role"]) for one in added] == [
        ("ap-southeast-2", 3, "learner"),
        ("global", 3, "learner"),
    ]
    assert cluster.members()[3] == "learner"
    assert "node 3 is a voter of global" in cluster.vdb("cluster", "promote", "--node", "3").out
    assert cluster.members()[3] in ("voter", "primary")
    cluster.vdb("publish", "--stream", "notes", "--payload", "second")

    lost = next(number for number in (0, 1, 2) if number != cluster.primary())
    cluster.nodes[lost].end()
    shutil.rmtree(cluster.place / f"data-n{lost}")
    cluster.start(lost, join=True)
    assert f"node {lost} is a voter of ap-southeast-2" in cluster.vdb("cluster", "recover", "--node", str(lost)).out

    leaving = cluster.primary()
    gone = cluster.vdb("cluster", "remove", "--node", str(leaving)).out
    assert f"node {leaving} is no member of ap-southeast-2" in gone
    assert leaving not in cluster.members()
    cluster.vdb("publish", "--stream", "notes", "--payload", "third")
    read = cluster.vdb("read", "--stream", "notes", "--json").objects
    assert [event["payload"] for event in read] == ["first", "second", "third"]
    for number, node in cluster.nodes.items():
        assert node.end() == 0, number
