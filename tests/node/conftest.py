"""Nodes in this process, on throw-away directories of the real disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import evolve

from vdb.crypto.root import RootKeys
from vdb.limits import Limits
from vdb.node.config import NodeConfig
from vdb.node.node import Node
from vdb.node.observer import SILENT, Observer
from vdb.ports import Listener, World
from vdb.types import Region
from vdb.world import make_world

REGION = Region("ap-southeast-2")
KEYS = RootKeys(bytes(range(32)))
SMALL = Limits(
    message_size_max=64 * 1024, wal_slots=24, checkpoint_interval=8, pipeline_max=3, segment_size=4096, sessions_max=4
)

Start = Callable[..., AbstractAsyncContextManager[Node]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`async with start() as node`: again and again on the same data directory."""

    @asynccontextmanager
    async def run(
        *,
        limits: Limits = SMALL,
        keys: RootKeys = KEYS,
        region: Region = REGION,
        folder: Path | None = None,
        observer: Observer = SILENT,
        **settings: object,
    ) -> AsyncIterator[Node]:
        config = NodeConfig(region=region, root_keys=keys, limits=limits, **{"address": None, **settings})
        node = Node(make_world(folder or tmp_path / "data", region), config, observer)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            yield node
            nursery.cancel_scope.cancel()

    return run


class ScarceListener:
    """The Listener port, over another: the first calls of `accept` raise these errors, one each."""

    def __init__(self, listener: Listener, errors: list[OSError]) -> None:
        self._listener = listener
        self._errors = errors

    @property
    def address(self) -> str:
        return self._listener.address

    async def accept(self) -> trio.abc.Stream:
        if self._errors:
            await trio.lowlevel.checkpoint()
            raise self._errors.pop(0)
        return await self._listener.accept()

    async def aclose(self) -> None:
        await self._listener.aclose()


class ScarceNetwork:
    """The Network port, over another, with scarce listeners."""

    def __init__(self, world: World, errors: list[OSError]) -> None:
        self._network = world.network
        self._errors = errors
        self.connect = world.network.connect
        self.peer_names = world.network.peer_names
        self.peer = world.network.peer

    async def listen(self, address: str) -> ScarceListener:
        return ScarceListener(await self._network.listen(address), self._errors)


@pytest.fixture
def scarce() -> Callable[[World, list[OSError]], World]:
    """The same world, but what its listeners accept fails with these errors first; they are taken from the list."""
    return lambda world, errors: evolve(world, network=ScarceNetwork(world, errors))


@pytest.fixture
def small_limits() -> Limits:
    return SMALL


@pytest.fixture
def keys() -> RootKeys:
    return KEYS


@pytest.fixture
def region() -> Region:
    return REGION
