"""A cluster by its commands, with TLS: set up, grown, bereft of a disk, shrunk; what was acknowledged stays."""

from __future__ import annotations

import shutil
import time
from typing import Any

SECONDS_MAX = 60


def status(cluster: Any) -> dict[int, Any]:
    """By number, of those that answer."""
    found = cluster.vdb("status", "--json").object["nodes"]
    return {node["number"]: node for node in found if node["problem"] is None}


def members(cluster: Any, group: str = "ap-southeast-2") -> dict[int, str]:
    """The group's members and their roles, as the serving primary has them."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        for node in status(cluster).values():
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


def primary(cluster: Any) -> int:
    return next(node for node, role in members(cluster).items() if role == "primary")


def test_a_cluster_by_its_commands(cluster: Any) -> None:
    place, port = str(cluster.place), cluster.port
    cluster.limit(0, 1, 2)
    cluster.start(0, 1, 2)
    cluster.vdb("stream", "create", "--stream", "notes")
    cluster.vdb("publish", "--stream", "notes", "--payload", "first")
    assert sorted(members(cluster).values()) == ["primary", "voter", "voter"]
    assert "3 of 3 nodes answer" in cluster.vdb("status").out

    ports = ("--port", str(port + 3), "--peer-port", str(port + 13))
    cluster.vdb("cluster", "prepare", "--dir", place, "--node", "3", *ports)
    cluster.limit(3)
    cluster.start(3)
    added = cluster.vdb("cluster", "add", "--at", f"127.0.0.1:{port + 3}", "--json").objects
    assert [(one["group"], one["node"], one["role"]) for one in added] == [
        ("ap-southeast-2", 3, "learner"),
        ("global", 3, "learner"),
    ]
    assert members(cluster)[3] == "learner"
    assert "node 3 is a voter of global" in cluster.vdb("cluster", "promote", "--node", "3").out
    assert members(cluster)[3] in ("voter", "primary")
    cluster.vdb("publish", "--stream", "notes", "--payload", "second")

    lost = next(number for number in (0, 1, 2) if number != primary(cluster))
    cluster.nodes[lost].end()
    shutil.rmtree(cluster.place / f"data-n{lost}")
    cluster.start(lost, more=["--join"])
    assert f"node {lost} is a voter of ap-southeast-2" in cluster.vdb("cluster", "recover", "--node", str(lost)).out

    leaving = primary(cluster)
    gone = cluster.vdb("cluster", "remove", "--node", str(leaving)).out
    assert f"node {leaving} is no member of ap-southeast-2" in gone
    assert leaving not in members(cluster)
    cluster.vdb("publish", "--stream", "notes", "--payload", "third")
    read = cluster.vdb("read", "--stream", "notes", "--json").objects
    assert [event["payload"] for event in read] == ["first", "second", "third"]
    for number, node in cluster.nodes.items():
        assert node.end() == 0, number
