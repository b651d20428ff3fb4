"""SQL databases of a node in this process: sessions that a program's own threads drive.

    database = open_local("data", keys="root.key", name="clinic")
    session = database.session()
    run_inline(session.execute("CREATE TABLE t (x)"))
    database.close()

- One node serves a data directory, however many databases and connections of this process use it: they are counted,
  and the last one to close ends it. Each `":memory:"` is a node of its own.
- SQLite is worked on in the caller's thread; only what belongs to the log hops to the node's loop.
- A program that ends without closing loses nothing that was committed.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vdb.changes import NOBODY, Attribution
from vdb.embedded.database import DEFAULT_REGION, MEMORY, EmbeddedDatabase, open
from vdb.embedded.keys import Keys
from vdb.embedded.loop_thread import LoopThread
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.databases import CrudDatabases
from vdb.sql.host import run_inline
from vdb.sql.session import LOCK_TIMEOUT, SqlSession
from vdb.types import DataClass, Region

T = TypeVar("T")

DEFAULT_NAME = "main"
"""Of the database in a data directory, unless another one is named."""


class ThreadBridge:
    """Implements `vdb.sql.host.Bridge` for a program's threads. Its coroutines never suspend."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop

    async def on_loop(self, work: Callable[[], Awaitable[T]]) -> T:
        return self._loop.call(work)

    async def off_loop(self, work: Callable[[], T]) -> T:
        return work()

    def tell(self, work: Callable[[], None]) -> None:
        self._loop.post(work)


class LocalDatabase:
    """One SQL database of a node in this process. Thread-safe; each session is for one thread at a time."""

    def __init__(self, shared: _SharedNode, database: CrudDatabase) -> None:
        self.crud = database
        """What the node knows it by: its methods run in the node's loop (`call`)."""
        self._shared = shared
        self._closed = False

    @property
    def node(self) -> EmbeddedDatabase:
        """The node, for what isn't SQL."""
        return self._shared.node

    @property
    def databases(self) -> CrudDatabases:
        """All SQL databases of the node; its methods run in the node's loop."""
        return self._shared.node.databases

    def sibling(self, name: str) -> LocalDatabase:
        """Another database of the same node and tenant, made if it is missing."""
        with _lock:
            self._shared.users += 1
        return _open_on(self._shared, name, self.crud.tenant)

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run an asynchronous function in the node's loop, and wait for it."""
        return self._shared.node.loop.call(work)

    def session(
        self, *, attribution: Attribution = NOBODY, lock_timeout: float = LOCK_TIMEOUT, **options: Any
    ) -> SqlSession:
        """A new session, driven by `run_inline` in the caller's thread. `options` are the connection's."""
        loop = self._shared.node.loop
        return loop.call(
            partial(
                self.crud.session,
                bridge=ThreadBridge(loop),
                attribution=attribution,
                lock_timeout=lock_timeout,
                **options,
            )
        )

    def end(self, session: SqlSession) -> None:
        """Roll back what is open, and close the session's connection."""
        run_inline(session.close())
        self._shared.node.loop.call(partial(self.crud.end, session))

    def close(self) -> None:
        """Let go of the node; the last to do so ends it. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            _release(self._shared)


class _SharedNode:
    """A node that several handles of this process use."""

    def __init__(self, node: EmbeddedDatabase, place: str | None) -> None:
        self.node = node
        self.place = place
        """The directory's real path; None: it is nobody else's."""
        self.users = 1


_lock = threading.Lock()
_nodes: dict[str, _SharedNode] = {}


def open_local(
    data_dir: str | os.PathLike[str],
    keys: Keys = None,
    *,
    name: str = DEFAULT_NAME,
    tenant: int = 1,
    region: Region | str = DEFAULT_REGION,
    data_class: DataClass = DataClass.PHI,
    placement: str = "",
) -> LocalDatabase:
    """Open a SQL database in a data directory; both are made if they are missing.

    Raises what `vdb.open` raises; InvalidArgument for a name that can't be one. Handles of one directory share a node,
    with the keys of the first of them.
    """
    shared = _acquire(os.fspath(data_dir), keys, region)
    return _open_on(shared, name, tenant, data_class, placement)


def _open_on(
    shared: _SharedNode, name: str, tenant: int, data_class: DataClass = DataClass.PHI, placement: str = ""
) -> LocalDatabase:
    """A database of a node that was acquired for it; lets go of the node if that fails."""
    try:
        databases = shared.node.databases

        async def find() -> CrudDatabase:
            await databases.create(tenant, name, data_class, placement, if_not_exists=True)
            return await databases.open(tenant, name)

        return LocalDatabase(shared, shared.node.loop.call(find))
    except BaseException:
        _release(shared)
        raise


def _acquire(data_dir: str, keys: Keys, region: Region | str) -> _SharedNode:
    if data_dir == MEMORY:
        return _SharedNode(open(MEMORY, keys, region=region), None)
    place = str(Path(data_dir).resolve())
    with _lock:
        shared = _nodes.get(place)
        if shared is not None and shared.node.is_ours:
            shared.users += 1
            return shared
        shared = _SharedNode(open(place, keys, region=region), place)
        _nodes[place] = shared
        return shared


def _release(shared: _SharedNode) -> None:
    with _lock:
        shared.users -= 1
        if shared.users:
            return
        if shared.place is not None and _nodes.get(shared.place) is shared:
            del _nodes[shared.place]
        shared.node.close()


@atexit.register
def _close_all() -> None:
    with _lock:
        nodes = list(_nodes.values())
        _nodes.clear()
    for shared in nodes:
        shared.node.close()
