"""Where the system has no file for one more connection, those who wait get theirs later, and the node goes on."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from sim.runner import run
from sim.world import SimUniverse
from vdb.client.client import Client
from vdb.crypto.root import RootKeys
from vdb.node.config import NodeConfig
from vdb.node.doors import accepting
from vdb.node.doors.accepting import Accepting
from vdb.node.node import Node
from vdb.types import Region
from vdb.world import make_world

REGION = Region("ap-southeast-2")
Scarce = Callable[..., Any]


def no_files() -> OSError:
    return OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def at_door(scarce: Scarce) -> Callable[[list[OSError], Callable[[Accepting], Any]], None]:
    """`body(door)` in simulated time, where one client waits at the door and `accept` fails with these errors first."""

    def run_body(errors: list[OSError], body: Callable[[Accepting], Any]) -> None:
        async def main() -> None:
            universe = SimUniverse(1)
            try:
                world = scarce(universe.node("n0", REGION).boot(), errors)
                listener = await world.network.listen("n0:1")
                async with await world.network.connect("n0:1"):
                    await body(Accepting(listener, "clients"))
                await listener.aclose()
            finally:
                universe.close()

        run(1, main, budget_s=1000)

    return run_body


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_shortage_is_waited_for_and_told_once(number: int, at_door: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def body(door: Accepting) -> None:
        began = trio.current_time()
        async with await door.next():
            assert trio.current_time() - began == pytest.approx(5 * accepting.RETRY_SECONDS, abs=0.05)

    with caplog.at_level(logging.WARNING, "vdb.node"):
        at_door([OSError(number, "none left") for _ in range(5)], body)
    (record,) = caplog.records
    assert record.message == "accept.no_capacity"
    assert record.fields == {"door": "clients", "address": "n0:1", "reason": "none left"}


def test_a_shortage_that_lasts_is_told_again(at_door: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def body(door: Accepting) -> None:
        async with await door.next():
            pass

    count = int(2.5 * accepting.TOLD_AGAIN_SECONDS / accepting.RETRY_SECONDS)
    with caplog.at_level(logging.WARNING, "vdb.node"):
        at_door([no_files() for _ in range(count)], body)
    assert len(caplog.records) == 3


def test_other_errors_of_accept_are_errors(at_door: Any) -> None:
    async def body(door: Accepting) -> None:
        with pytest.raises(PermissionError):
            await door.next()

    at_door([OSError(errno.EPERM, "no")], body)


async def test_a_node_outlives_a_shortage_at_the_door_of_its_clients(scarce: Scarce, tmp_path: Path) -> None:
    errors = [no_files() for _ in range(3)]
    world = scarce(make_world(tmp_path / "data", REGION), errors)
    node = Node(world, NodeConfig(region=REGION, root_keys=RootKeys(bytes(32)), address="127.0.0.1:0"))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(node.run)
        async with Client(lambda: world.network.connect(address), entropy=world.entropy) as client:
            await client.create_stream("notes")
            assert (await client.status()).region == REGION.name
        nursery.cancel_scope.cancel()
    assert errors == []
