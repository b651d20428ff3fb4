"""`":memory:"` for the DB-API: throw-away SQL databases, many of them on one node of this process.

A node of its own for each connection would take a tenth of a second and a data directory's space. So they share one, in
which each is a database with a name of its own; a name may also be given, for connections that share a database. The
node is ended and made anew once it has served many and none is in use.

No handle of a program's leads to that node, so nobody applies a policy to it; where there is one, sessions that begin
then are asked as anywhere else. A throw-away database with a policy is `vdb.open_crud(":memory:")`, whose node is the
program's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from vdb.embedded.crud import LocalDatabase, open_local

SERVED_MAX = 100
"""Databases after which an idle node is made anew: what they held takes space until then."""


class _Scratch:
    """The node that memory databases share."""

    def __init__(self) -> None:
        self.home = open_local(":memory:", receipts=False, is_kept=False)
        self.served = 0
        self.users: dict[str, int] = {}
        """By the database's name."""
        self.shared: dict[str, str] = {}
        """Names of databases by those that programs gave; as long as somebody uses them."""

    def take(self, shared_name: str) -> str:
        name = self.shared.get(shared_name) if shared_name else None
        if name is None:
            self.served += 1
            name = f"memory-{self.served}"
            if shared_name:
                self.shared[shared_name] = name
        self.users[name] = self.users.get(name, 0) + 1
        return name

    def leave(self, name: str) -> None:
        self.users[name] -= 1
        if not self.users[name]:
            del self.users[name]
            self.shared = {given: each for given, each in self.shared.items() if each != name}


_lock = threading.Lock()
_current: list[_Scratch] = []


def open_memory(shared_name: str = "") -> tuple[LocalDatabase, Callable[[], None]]:
    """A throw-away database, and what lets go of it. Without a name it is nobody else's."""
    with _lock:
        if not _current or not _current[0].home.node.is_ours:
            _current[:] = [_Scratch()]
        scratch = _current[0]
        name = scratch.take(shared_name)
    try:
        database = scratch.home.sibling(name)
    except BaseException:
        _leave(scratch, name)
        raise
    done: list[bool] = []

    def let_go() -> None:
        if not done:
            done.append(True)
            database.close()
            _leave(scratch, name)

    return database, let_go


def _leave(scratch: _Scratch, name: str) -> None:
    with _lock:
        scratch.leave(name)
        if scratch.users or scratch.served < SERVED_MAX:
            return
        _current[:] = [each for each in _current if each is not scratch]
    scratch.home.close()
