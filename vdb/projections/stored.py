"""What a projection's file says of itself: which configuration made its rows, how far they are, and its tables.

Rows that were made by a version whose handlers aren't here are served from this alone.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from vdb.errors import ConfigError
from vdb.ports import Connection
from vdb.projections.config import ProjectionConfig, StreamSelection
from vdb.projections.handler import Context, StoredEvent
from vdb.projections.tables import META_TABLE, OWN_TABLES, Column, ColumnType, Table, check_name
from vdb.types import GroupId

_TYPES = {"INTEGER": ColumnType.INTEGER, "REAL": ColumnType.REAL}


@frozen(kw_only=True)
class Stored:
    version: int
    fingerprint: str
    positions: dict[GroupId, int]
    """The next position to apply, by group."""
    tables: tuple[Table, ...]


def read_stored(db: Connection) -> Stored | None:
    """What the file holds; None where nobody has made rows in it yet."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (META_TABLE,)).fetchone() is None:
        return None
    rows = db.execute(f"SELECT version, fingerprint, grp, position FROM {META_TABLE} ORDER BY grp").fetchall()
    if not rows:
        return None
    return Stored(
        version=rows[0][0],
        fingerprint=rows[0][1],
        positions={GroupId(group): position for _version, _fingerprint, group, position in rows},
        tables=stored_tables(db),
    )


def stored_tables(db: Connection) -> tuple[Table, ...]:
    """The tables that a person may ask for, as they are in the file: those with a primary key, by name."""
    names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    tables = (_table(db, name) for (name,) in names if name not in OWN_TABLES and _is_name(name))
    return tuple(table for table in tables if table is not None)


def _table(db: Connection, name: str) -> Table | None:
    columns: list[Column] = []
    key: dict[int, str] = {}
    for _number, column, kind, _not_null, _default, place in db.execute(f'PRAGMA table_info("{name}")').fetchall():
        if not _is_name(column):
            return None
        columns.append(Column(column, _TYPES.get(kind, ColumnType.TEXT)))
        if place:
            key[place] = column
    return Table(name=name, columns=tuple(columns), key=tuple(key[at] for at in sorted(key))) if key else None


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name, "a name"))
    except ConfigError:
        return False


@frozen
class _Rows:
    """A template that only knows its tables: the rows were made by handlers that aren't here."""

    tables: tuple[Table, ...]

    def apply(self, db: Connection, event: StoredEvent, context: Context) -> None:
        raise AssertionError("rows without their handlers stand still")

    def description(self) -> str:
        return "rows as they are"


def config_of(name: str, stored: Stored) -> ProjectionConfig:
    """What it takes to read the rows, and nothing to make more of them."""
    more: dict[str, Any] = {"streams": StreamSelection(prefixes=("",)), "template": _Rows(stored.tables)}
    return ProjectionConfig(name=name, version=stored.version, **more)
