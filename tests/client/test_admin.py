"""Looking after a cluster: one contract for the face with an event loop and for the one without."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import trio

import vdb
from vdb.client.admin import ClusterAdmin
from vdb.client.sync_admin import SyncClusterAdmin
from vdb.errors import InvalidArgument, LearnerBehind

GROUP = "ap-southeast-2"
DISK = bytes(range(16))
Call = Callable[..., Any]


def public(kind: type) -> dict[str, Any]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


def test_both_faces_have_the_same_methods() -> None:
    with_loop, without = public(ClusterAdmin), public(SyncClusterAdmin)
    assert list(without) == list(with_loop)
    for name, member in with_loop.items():
        assert inspect.getdoc(without[name]) == inspect.getdoc(member), name
        if inspect.isfunction(member):
            assert inspect.signature(without[name]) == inspect.signature(member), name


@pytest.fixture(params=["async", "sync"])
def on_face(request: pytest.FixtureRequest, tcp_node: tuple[Any, str]) -> Callable[[Callable[[Any, Call], None]], None]:
    """`body(node, call)`, where `call(method, ...)` calls a method of the face and gives its result."""
    node, address = tcp_node

    def run(body: Callable[[Any, Call], None]) -> None:
        if request.param == "sync":
            with vdb.connect_sync(address, retry_for=5) as client:
                body(node, lambda method, /, *args, **named: getattr(client.cluster, method)(*args, **named))
            return

        def call(method: str, /, *args: Any, **named: Any) -> Any:
            async def main() -> Any:
                async with vdb.connect(address, retry_for=5) as client:
                    return await getattr(client.cluster, method)(*args, **named)

            return trio.run(main)

        body(node, call)

    return run


def test_changes_of_members(on_face: Any) -> None:
    def body(node: Any, call: Call) -> None:
        named = {"name": "n3", "peer_address": "n3:7150", "address": "n3:7140", "disk_id": DISK}
        assert call("add", GROUP, 3, **named) == 1
        assert call("promote", GROUP, 3) == 2
        assert call("recover", GROUP, 2, DISK) == 3
        assert call("remove", GROUP, 0) == 4
        assert call("abdicate", GROUP) is None
        assert node.changes == [
            ("add", GROUP, 3, "n3", "n3:7150", "n3:7140", DISK),
            ("promote", GROUP, 3),
            ("recover", GROUP, 2, DISK),
            ("remove", GROUP, 0),
            ("abdicate", GROUP),
        ]

    on_face(body)


def test_a_refused_change(on_face: Any) -> None:
    def body(node: Any, call: Call) -> None:
        node.refusals = [LearnerBehind("node 3 lacks 12 ops")]
        with pytest.raises(LearnerBehind, match="node 3 lacks 12 ops"):
            call("promote", GROUP, 3)
        assert node.changes == []

    on_face(body)


def test_status_of_all_nodes(on_face: Any, tcp_node: tuple[Any, str], free_tcp_port: int) -> None:
    def body(node: Any, call: Call) -> None:
        (report,) = call("statuses")
        assert (report.address, report.status.node, report.problem) == (tcp_node[1], "fake", "")
        assert call("status_of", tcp_node[1]).node == "fake"
        nobody = f"127.0.0.1:{free_tcp_port}"
        with pytest.raises(vdb.VerityError, match=nobody):
            call("status_of", nobody)

    on_face(body)


def test_a_closed_client_changes_nothing(tcp_node: tuple[Any, str]) -> None:
    client = vdb.connect_sync(tcp_node[1])
    assert client.cluster.addresses == [tcp_node[1]]
    client.close()
    with pytest.raises(InvalidArgument, match="closed"):
        client.cluster.promote(GROUP, 3)
    assert tcp_node[0].changes == []
