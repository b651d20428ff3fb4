"""What SQLite's C API offers and the binding doesn't: called by ctypes, on the library that the binding itself is.

A connection object begins with its reference count, its type and its `sqlite3*`. That isn't promised by anybody, so it
is tried out once on connections of our own before anything relies on it: the word must be set while such a connection
is open and zero when it is closed, and what is read and set through it must be what the binding says.

Where that fails, on another Python or another build, each function does what its docstring says instead.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, cast

from attrs import frozen

from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.store import (
    EXTENSION_FILE,
    IntegrityError,
    SqliteError,
    close_sqlcipher,
    in_transaction,
    open_plain_memory,
)

ENABLE_FOREIGN_KEYS = 1002
ENABLE_TRIGGERS = 1003
DEFENSIVE = 1010
DOUBLE_QUOTED_STRINGS_IN_DML = 1013
DOUBLE_QUOTED_STRINGS_IN_DDL = 1014
"""Switches of a connection, for `config`."""

GENERIC_ERROR = 1

_Pointer = ctypes.c_void_p
_POINTER_AT = 2 * ctypes.sizeof(ctypes.c_void_p)
_DEFERRED_FOREIGN_KEYS = 10
_ASK = -1
_FUNCTIONS = (
    "sqlite3_db_config",
    "sqlite3_db_status",
    "sqlite3_extended_errcode",
    "sqlite3_get_autocommit",
    "sqlite3_limit",
    "sqlite3_set_last_insert_rowid",
    "sqlite3_total_changes",
)


@frozen
class _Library:
    functions: ctypes.CDLL

    def config(self, handle: int, switch: int, value: int) -> bool | None:
        state = ctypes.c_int(_ASK)
        code = self.functions.sqlite3_db_config(handle, switch, ctypes.c_int(value), ctypes.byref(state))
        return None if code or state.value == _ASK else bool(state.value)

    def deferred(self, handle: int) -> bool | None:
        current, highest = ctypes.c_int(_ASK), ctypes.c_int(_ASK)
        code = self.functions.sqlite3_db_status(
            handle, _DEFERRED_FOREIGN_KEYS, ctypes.byref(current), ctypes.byref(highest), 0
        )
        return None if code or current.value == _ASK else bool(current.value)


def _handle(db: Connection) -> int | None:
    """The connection's `sqlite3*`; None when it is closed."""
    where = _Pointer.from_buffer(ctypes.py_object(db)).value
    assert where is not None
    return _Pointer.from_address(where + _POINTER_AT).value


def _reached(db: Connection) -> tuple[_Library, int] | None:
    """The library, and the connection's handle; None where either is missing."""
    library = _library()
    handle = None if library is None else _handle(db)
    return None if library is None or handle is None else (library, handle)


def is_available() -> bool:
    """Whether the C API is at hand. What doesn't need it works as well."""
    return _library() is not None


def config(db: Connection, switch: int, on: bool | None = None) -> bool | None:
    """Set one of the connection's switches, or ask with None; what it is now. Else None: it isn't known.

    Takes effect within a transaction as well, also for ENABLE_FOREIGN_KEYS, whose PRAGMA doesn't.
    """
    reached = _reached(db)
    return None if reached is None else reached[0].config(reached[1], switch, _ASK if on is None else int(on))


def deferred_violations(db: Connection) -> bool:
    """Whether a COMMIT would fail now because of a foreign key.

    Else: whether any row of the database refers to none that is there, if foreign keys are enforced. That reads every
    table that has some, and counts rows as well that were written while they weren't enforced.
    """
    reached = _reached(db)
    found = None if reached is None else reached[0].deferred(reached[1])
    if found is not None:
        return found
    (enforced,) = db.execute("PRAGMA foreign_keys").fetchone()
    return bool(enforced) and db.execute("PRAGMA foreign_key_check").fetchone() is not None


def check_deferred(db: Connection) -> None:
    """IntegrityError, as SQLite's own, where a COMMIT would fail."""
    if deferred_violations(db):
        mark("sql.deferred_violation")
        raise IntegrityError("FOREIGN KEY constraint failed")


def set_last_insert_rowid(db: Connection, rowid: int) -> bool:
    """Have `last_insert_rowid()` say this on the connection. Else nothing happens; whether it did."""
    reached = _reached(db)
    if reached is None:
        return False
    reached[0].functions.sqlite3_set_last_insert_rowid(reached[1], rowid)
    return True


def extended_errcode(db: Connection) -> int:
    """SQLite's extended code of what failed last on the connection. Else the generic one."""
    reached = _reached(db)
    return GENERIC_ERROR if reached is None else int(reached[0].functions.sqlite3_extended_errcode(reached[1]))


def limit(db: Connection, category: int, value: int | None = None) -> int | None:
    """Set a run-time limit of the connection (SQLITE_LIMIT_*), or ask with None; what it was. Else None.

    None as well for a category that SQLite doesn't have.
    """
    reached = _reached(db)
    if reached is None:
        return None
    before = int(reached[0].functions.sqlite3_limit(reached[1], category, _ASK if value is None else value))
    return None if before < 0 else before


# Trying it out --------------------------------------------------------------------------------------------------


@cache
def _library() -> _Library | None:
    """The library, if it passes."""
    try:
        functions = ctypes.CDLL(EXTENSION_FILE)
        for name in _FUNCTIONS:
            getattr(functions, name)
    except (OSError, AttributeError):
        return None
    _declare(functions)
    library = _Library(functions)
    return library if _finds_pointers() and _agrees(library) else None


def _declare(functions: ctypes.CDLL) -> None:
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    functions.sqlite3_db_config.argtypes = [pointer, integer]  # and more, that its C type doesn't name
    functions.sqlite3_db_status.argtypes = [
        pointer,
        integer,
        ctypes.POINTER(integer),
        ctypes.POINTER(integer),
        integer,
    ]
    functions.sqlite3_set_last_insert_rowid.argtypes = [pointer, ctypes.c_int64]
    functions.sqlite3_set_last_insert_rowid.restype = None
    functions.sqlite3_limit.argtypes = [pointer, integer, integer]
    for name in ("sqlite3_extended_errcode", "sqlite3_get_autocommit", "sqlite3_total_changes"):
        getattr(functions, name).argtypes = [pointer]


def _finds_pointers() -> bool:
    """Whether the word is a pointer while a connection is open, and nothing when it isn't. Follows no pointer."""
    first, second = open_plain_memory(), open_plain_memory()
    open_words = [_handle(db) for db in (first, second)]
    close_sqlcipher(first)
    close_sqlcipher(second)
    closed_words = [_handle(db) for db in (first, second)]
    alignment = ctypes.sizeof(ctypes.c_void_p)
    return (
        None not in open_words
        and open_words[0] != open_words[1]
        and all(word is not None and word % alignment == 0 for word in open_words)
        and closed_words == [None, None]
    )


def _agrees(library: _Library) -> bool:
    """Whether what is read and set through the pointer is what the binding says."""
    db = open_plain_memory()
    try:
        return _agrees_on(library, db)
    except SqliteError:
        return False
    finally:
        close_sqlcipher(db)


def _agrees_on(library: _Library, db: Connection) -> bool:
    functions, handle = library.functions, _handle(db)
    assert handle is not None
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    db.execute("CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    db.execute("CREATE TRIGGER copies AFTER INSERT ON parent BEGIN INSERT INTO child VALUES (1); END")
    outside = bool(functions.sqlite3_get_autocommit(handle))
    db.execute("BEGIN")
    quiet = library.config(handle, ENABLE_TRIGGERS, 0)
    db.execute("INSERT INTO parent VALUES (1)")
    copied = db.execute("SELECT count(*) FROM child").fetchone()[0]
    before = library.deferred(handle)
    db.execute("INSERT INTO child VALUES (2)")
    after = library.deferred(handle)
    inside = not functions.sqlite3_get_autocommit(handle) and in_transaction(db)
    functions.sqlite3_set_last_insert_rowid(handle, -(2**40))
    (rowid,) = db.execute("SELECT last_insert_rowid()").fetchone()
    changes = int(functions.sqlite3_total_changes(handle))
    db.execute("ROLLBACK")
    return (
        outside
        and inside
        and (quiet, copied, before, after) == (False, 0, False, True)
        and rowid == -(2**40)
        and changes == cast(Any, db).total_changes
    )
