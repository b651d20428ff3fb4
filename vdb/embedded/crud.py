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
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import trio

from vdb.changes import NOBODY, Attribution
from vdb.embedded.database import DEFAULT_REGION, MEMORY, EmbeddedDatabase, open
from vdb.embedded.keys import Keys
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import InvalidArgument, NotReady, TransactionEnded, UnknownDatabase
from vdb.kernel.command import INTERNAL
from vdb.node.crud.database import CATCH_UP_SECONDS_MAX, CrudDatabase
from vdb.node.crud.databases import CrudDatabases
from vdb.node.gate.caller import Caller, embedded_caller
from vdb.node.gate.guard import Guard
from vdb.node.gate.sql_keeper import SqlKeeper
from vdb.policy.words import Action
from vdb.sql.governor import Governor
from vdb.sql.host import run_inline
from vdb.sql.names import STREAM_PREFIX
from vdb.sql.session import LOCK_TIMEOUT, SqlSession
from vdb.types import DataClass, Region
from vdb.world.using import Using

T = TypeVar("T")

_ANYTHING = (Action.QUERY, Action.APPEND, Action.SCHEMA, Action.TIME_TRAVEL)

AGAIN_SECONDS = 0.02
"""After which a session asks again for a file that is built anew."""

DEFAULT_NAME = "main"
"""Of the database in a data directory, unless another one is named."""


class ThreadBridge:
    """Implements `vdb.sql.host.Bridge` for a program's threads. Its coroutines never suspend."""

    def __init__(self, loop: LoopThread, using: Using) -> None:
        self._loop = loop
        self._using = using

    async def on_loop(self, work: Callable[[], Awaitable[T]]) -> T:
        return self._loop.call(work)

    async def off_loop(self, work: Callable[[], T]) -> T:
        self._using.enter()
        try:
            return work()
        except AssertionError:
            if not self._using.gone:
                raise
            raise TransactionEnded("the database's file was closed or is built anew: open a new session") from None
        finally:
            self._using.leave()

    def tell(self, work: Callable[[], None]) -> None:
        self._loop.post(work)


class LocalDatabase:
    """One SQL database of a node in this process. Thread-safe; each session is for one thread at a time."""

    def __init__(self, shared: _SharedNode, database: CrudDatabase, guard: Guard) -> None:
        self.guard = guard
        """What stands between this handle and the node: its methods run in the node's loop."""
        self.crud = database
        """What the node knows it by: its methods run in the node's loop (`call`)."""
        self.using: WeakKeyDictionary[SqlSession, Using] = WeakKeyDictionary()
        """Of the connections of the sessions that were made here."""
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
        return _open_on(self._shared, name, self.crud.tenant, self.guard.caller)

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run an asynchronous function in the node's loop, and wait for it."""
        return self._shared.node.loop.call(work)

    def session(
        self, *, attribution: Attribution = NOBODY, lock_timeout: float = LOCK_TIMEOUT, **options: Any
    ) -> SqlSession:
        """A new session, driven by `run_inline` in the caller's thread. `options` are the connection's.

        While the file is built anew, as by an erasure that a crash cut short, it waits for that. NotReady.
        """
        loop, using = self._shared.node.loop, Using()
        begin = partial(
            self.crud.session,
            bridge=ThreadBridge(loop, using),
            attribution=attribution,
            lock_timeout=lock_timeout,
            using=using,
            **options,
        )

        async def patiently() -> SqlSession:
            with trio.move_on_after(CATCH_UP_SECONDS_MAX):
                while True:
                    with suppress(NotReady):
                        await self.crud.catch_up(self.crud.logged_offset)  # one that is built anew has little at first
                        return await begin()
                    await trio.sleep(AGAIN_SECONDS)
            return await begin()

        session = loop.call(patiently)
        self.using[session] = using
        return session

    def governor(self, session: SqlSession, *, past: bool = False) -> Governor:
        """What asks the policy and tells the audit log for a session, driven by `run_inline` as well."""
        bridge = ThreadBridge(self._shared.node.loop, self.using[session])
        return Governor(session, bridge, self.keeper(), past=past)

    def keeper(self) -> SqlKeeper | None:
        """Of one session. None: the database is a throw-away one, and no policy holds in it by now."""
        if not self._shared.is_kept and not self._is_governed():
            return None
        return self.call(self._keeper)

    def _is_governed(self) -> bool:
        permits, place = self.guard.permits, self.guard.place(int(self.crud.tenant), STREAM_PREFIX + self.crud.name)
        return permits.settings.require_policy or permits.book.policy(place.group) is not None

    async def _keeper(self) -> SqlKeeper:
        guard, tenant, name = self.guard, int(self.crud.tenant), self.crud.name
        keeper = SqlKeeper(guard, tenant, name, guard.place(tenant, STREAM_PREFIX + name))
        keeper.position = lambda: str(self.crud.position)
        return keeper

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

    def __init__(self, node: EmbeddedDatabase, place: str | None, *, is_kept: bool = True) -> None:
        self.node = node
        self.is_kept = is_kept
        """Whether policies and the audit log have a say in what is done by SQL, from the first session on."""
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
    principal: str = "embedded",
    receipts: bool | None = None,
    is_kept: bool = True,
) -> LocalDatabase:
    """Open a SQL database in a data directory; both are made if they are missing.

    `principal`: who asks, for policies and the audit log; `receipts`: whether what is read is written down before it is
    seen (None: except in memory). `is_kept` False: nobody has a say in sessions that begin
    before there is a policy, and nothing is written down of what they do.
    Raises what `vdb.open` raises; InvalidArgument for a name that can't be one. Handles of one directory share a node,
    with the keys of the first of them; InvalidArgument if that one has said otherwise of receipts.
    """
    caller = embedded_caller(principal, "", "")
    shared = _acquire(os.fspath(data_dir), keys, region, receipts=receipts, is_kept=is_kept)
    return _open_on(shared, name, tenant, caller, data_class, placement)


def _open_on(
    shared: _SharedNode,
    name: str,
    tenant: int,
    caller: Caller,
    data_class: DataClass = DataClass.PHI,
    placement: str = "",
) -> LocalDatabase:
    """A database of a node that was acquired for it; lets go of the node if that fails."""
    try:
        databases = shared.node.databases
        guard = Guard(shared.node.guard.service, caller)

        async def find() -> CrudDatabase:
            with suppress(UnknownDatabase):
                return await permitted()
            await guard.sql.create(INTERNAL, tenant, name, data_class, placement, if_not_exists=True)
            return await permitted()

        async def permitted() -> CrudDatabase:
            databases.group_of(tenant, name)
            await guard.sql.permit_database(_ANYTHING, tenant, name, "sqlOpen")
            return await databases.open(tenant, name)

        return LocalDatabase(shared, shared.node.loop.call(find), guard)
    except BaseException:
        _release(shared)
        raise


def _acquire(data_dir: str, keys: Keys, region: Region | str, *, receipts: bool | None, is_kept: bool) -> _SharedNode:
    if data_dir == MEMORY:
        node = open(MEMORY, keys, region=region, receipts=receipts)
        return _SharedNode(node, None, is_kept=is_kept)
    place = str(Path(data_dir).resolve())
    with _lock:
        shared = _nodes.get(place)
        if shared is not None and shared.node.is_ours:
            if receipts not in (None, shared.node.guard.permits.settings.receipts):
                raise InvalidArgument(f"{data_dir} is open in this process already, and not with receipts={receipts}")
            shared.users += 1
            return shared
        node = open(place, keys, region=region, receipts=receipts)
        shared = _SharedNode(node, place, is_kept=is_kept)
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
