"""`":memory:"` for the DB-API: throw-away SQL databases, many of them on one node of this process.

A node of its own for each connection would take a tenth of a second and a data directory's space. So they share one, in
which each is a database with a name of its own; a name may also be given, for connections that share a database. The
node is ended and made anew once it has served many and none is in use.
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
        self.home = open_local(":memory:")
        self.served = 0
        self.users: dict[str, int] = {}


_lock = threading.Lock()
_current: list[_Scratch] = []


def open_memory(shared_name: str = "") -> tuple[LocalDatabase, Callable[[], None]]:
    """A throw-away database, and what lets go of it. Without a name it is nobody else's."""
    with _lock:
        scratch = _scratch()
        scratch.served += 1
        name = f"shared-{shared_name.encode().hex()[:48]}" if shared_name else f"memory-{scratch.served}"
        scratch.users[name] = scratch.users.get(name, 0) + 1
    try:
        database = scratch.home.sibling(name)
    except BaseException:
        _let_go(scratch, name)
        raise
    done: list[bool] = []

    def let_go() -> None:
        if not done:
            done.append(True)
            _let_go(scratch, name)

    return database, let_go


def _scratch() -> _Scratch:
    if not _current or not _current[0].home.node.is_ours:
        _current[:] = [_Scratch()]
    return _current[0]


def _let_go(scratch: _Scratch, name: str) -> None:
    with _lock:
        scratch.users[name] -= 1
        if not scratch.users[name]:
            del scratch.users[name]
        if scratch.users or scratch.served < SERVED_MAX:
            return
        _current[:] = [each for each in _current if each is not scratch]
    scratch.home.close()
