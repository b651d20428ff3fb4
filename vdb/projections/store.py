"""The one door to sqlcipher3: opens encrypted files the way all of VerityDB uses them.

- The key is raw (32 bytes): no passphrase derivation. It is checked at once; `WrongKey` when it doesn't fit.
- `isolation_level` None: transactions begin and end by SQL, never by the driver's guess.
- WAL with synchronous=NORMAL: a commit may be lost with the power. That is harmless here, because rows and position
  commit together and the log has the rest.
- Untrusted schema: triggers and views call no function that isn't declared harmless. Cells are checked when pages load.
  Temporary tables stay in memory: nothing unencrypted ever reaches the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import sqlcipher3
from sqlcipher3 import _sqlite3, dbapi2

from vdb.errors import DatabaseDamaged, DiskFailed, DiskFull, VerityError, WrongKey
from vdb.ports import Connection

KEY_SIZE = 32
"""Bytes of a raw key."""

Binding = dbapi2
"""The binding's DB-API module: its exceptions and its `Row`, for the package that gives programs a DB-API of ours."""

SqliteError = dbapi2.Error
"""What every failure inside SQLite derives from."""

IntegrityError = dbapi2.IntegrityError
"""A constraint doesn't hold."""

EXTENSION_FILE: str = _sqlite3.__file__
"""The library that holds SQLite's own C API."""

SeveralStatements = dbapi2.Warning
"""What the binding raises for a text of more than one statement. No SqliteError."""

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
)

_FULL = ("database or disk is full",)
_FAILED = ("disk I/O error", "unable to open database file")
# Whole messages: "malformed JSON" and its like are a statement's own fault.
_DAMAGED = ("database disk image is malformed", "malformed database schema", "file is not a database")


def open_sqlcipher(path: str, key: bytes, *, read_only: bool = False, busy_ms: int = 0, **options: Any) -> Connection:
    """Open or create the encrypted file at `path`; usable from any one thread at a time.

    `busy_ms`: how long SQLite waits for a lock that another connection has for a moment (while it recovers or ends the
    write-ahead file); writers agree with each other elsewhere. `options` go to the binding's `connect`
    (`detect_types`, `cached_statements`).
    Raises WrongKey when `key` isn't the file's (or its first page is damaged, which looks the same), DatabaseDamaged,
    and DiskFailed or DiskFull when the disk fails. A read-only connection refuses to write; the file must exist.
    """
    if len(key) != KEY_SIZE:
        raise WrongKey(f"the key of a database has {KEY_SIZE} bytes; found {len(key)}")
    try:
        connection = sqlcipher3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000, **options
        )
    except SqliteError as error:
        raise storage_error(error, path) or error from None
    try:
        connection.execute("PRAGMA cipher_log_level = NONE")  # SQLCipher would write to standard error
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        _check_key(connection, path)
        for pragma in (*_PRAGMAS, f"PRAGMA busy_timeout = {busy_ms}"):
            connection.execute(pragma)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except SqliteError as error:
        connection.close()
        raise storage_error(error, path) or error from None
    except BaseException:
        connection.close()
        raise
    return cast(Connection, connection)


def open_plain_memory() -> Connection:
    """An unencrypted database in memory: holds no data, computes SQL expressions."""
    return cast(Connection, sqlcipher3.connect(":memory:", isolation_level=None, check_same_thread=False))


def close_sqlcipher(connection: Connection) -> None:
    """Close; a transaction that is open is rolled back."""
    cast(sqlcipher3.Connection, connection).close()


def in_transaction(connection: Connection) -> bool:
    """Whether a transaction is open; a connection that was closed, as for a file that is built anew, has none."""
    try:
        return bool(cast(sqlcipher3.Connection, connection).in_transaction)
    except sqlcipher3.ProgrammingError:
        return False


def set_authorizer(connection: Connection, callback: Callable[..., int] | None) -> None:
    """Have SQLite ask `callback` about each action of a statement that it prepares. Expires prepared statements.

    None: nobody is asked any more.
    """
    cast(sqlcipher3.Connection, connection).set_authorizer(callback)


def replace_function(connection: Connection, name: str, function: Callable[..., Any]) -> None:
    """Have a function of SQL, of any number of arguments, be this one."""
    cast(sqlcipher3.Connection, connection).create_function(name, -1, function, deterministic=True)


def set_text_factory(connection: Connection, factory: Callable[[bytes], Any]) -> None:
    """Have the connection give text as what `factory` makes of its bytes."""
    cast(sqlcipher3.Connection, connection).text_factory = factory


def total_changes(connection: Connection) -> int:
    """Rows that the connection has changed since it was opened; 0 of one that was closed, as for a file that is built
    anew."""
    try:
        return int(cast(sqlcipher3.Connection, connection).total_changes)
    except sqlcipher3.ProgrammingError:
        return 0


def interrupt(connection: Connection) -> None:
    """Have the statement that runs on the connection fail as interrupted. From any thread; the connection is open."""
    cast(sqlcipher3.Connection, connection).interrupt()


def copy_database(source: Connection, target: Connection) -> None:
    """Make `target`, which nobody else uses, what `source` sees: page for page, so that rowids stay what they are."""
    cast(sqlcipher3.Connection, source).backup(cast(sqlcipher3.Connection, target))


def compile_statement(connection: Connection, sql: str) -> None:
    """Have SQLite prepare a statement, past the binding's cache, and drop it. Raises what SQLite says of it."""
    cast(sqlcipher3.Connection, connection)(sql)


def storage_error(error: BaseException, path: str) -> VerityError | None:
    """The error of `vdb.errors` that says what a failure of SQLite's means; None if it is the statement's own fault."""
    message = str(error)
    if any(text in message for text in _FULL):
        return DiskFull(f"no space left on the disk: {path}")
    if any(text in message for text in _DAMAGED):
        return DatabaseDamaged(f"{path}: {message.partition(' (')[0]}")
    if any(text in message for text in _FAILED):
        return DiskFailed(f"{path}: {message}")
    return None


def _check_key(connection: Connection, path: str) -> None:
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except dbapi2.DatabaseError as error:
        if "not a database" not in str(error):
            raise
        raise WrongKey(f"{path}: the key doesn't fit, or the file isn't an encrypted database") from None
