"""ALTER TABLE does what it does by two settings of the connection, so the log has them beside the statement.

With `PRAGMA legacy_alter_table`, a table that is renamed keeps its old name in views and triggers, and in the foreign
keys of others unless `PRAGMA foreign_keys` is on. Programs set it to put a new table in an old one's place.

Rules
- Where it is off, nothing depends on either, and the log has the statement alone.
- Where it is on, statements around it set both, as they were; what applies the log has them off otherwise.
- `PRAGMA foreign_keys` does nothing within a transaction, so it is set by the C API. Without that the statement is
  refused, as nobody could do it again.
"""

from __future__ import annotations

from vdb.errors import SqlRefused
from vdb.ports import Connection
from vdb.sql import sqlite_api
from vdb.sql.sqlite_api import ENABLE_FOREIGN_KEYS
from vdb.sql.tables import Cursor

LEGACY = "PRAGMA legacy_alter_table"
ENFORCED = "PRAGMA foreign_keys"


def as_logged(db: Connection, cursor: Cursor, sql: str) -> tuple[str, ...]:
    """An ALTER TABLE that the connection ran, as statements that do the same anywhere. SqlRefused."""
    if not _is_on(cursor, LEGACY):
        return (sql,)
    if not _is_on(cursor, ENFORCED):
        return (_set(LEGACY, True), sql, _set(LEGACY, False))
    if sqlite_api.config(db, ENABLE_FOREIGN_KEYS) is None:
        raise SqlRefused(
            "ALTER TABLE is refused with legacy_alter_table and foreign_keys both on: this build of SQLite can't do it "
            "again on other nodes; set PRAGMA foreign_keys = OFF before the transaction"
        )
    return (_set(LEGACY, True), _set(ENFORCED, True), sql, _set(ENFORCED, False), _set(LEGACY, False))


def change_schema(db: Connection, cursor: Cursor, sql: str) -> None:
    """Do what the log says, within a transaction. What SQLite says of it passes."""
    if sql not in (_set(ENFORCED, True), _set(ENFORCED, False)):
        cursor.execute(sql)
        return
    on = sql == _set(ENFORCED, True)
    assert sqlite_api.config(db, ENABLE_FOREIGN_KEYS, on) is on, "foreign keys can't be switched within a transaction"


def legacy_off(cursor: Cursor) -> bool:
    """Set the modern ALTER TABLE; whether the legacy one was on."""
    was = _is_on(cursor, LEGACY)
    if was:
        cursor.execute(_set(LEGACY, False))
    return was


def set_legacy(cursor: Cursor, on: bool) -> None:
    """Choose the legacy ALTER TABLE or the modern one."""
    cursor.execute(_set(LEGACY, on))


def _set(pragma: str, on: bool) -> str:
    return f"{pragma} = {'ON' if on else 'OFF'}"


def _is_on(cursor: Cursor, pragma: str) -> bool:
    ((value,),) = cursor.execute(pragma).fetchall()
    return bool(value)
