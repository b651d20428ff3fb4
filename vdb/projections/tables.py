"""The tables of a projection, as values. All SQL identifiers of the package come from here, checked and quoted.

Rules
- A name is lower-case letters, digits and '_', so it can hold no SQL; it is quoted all the same.
- Every table is STRICT with a primary key of NOT NULL columns: the rows are a set of keyed values, and their order
  by key is total.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from vdb.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
META_TABLE = "projection_meta"
PARKED_TABLE = "projection_parked"
OWN_TABLES = (META_TABLE, PARKED_TABLE)
"""The tables of a file that aren't its projection's rows."""
COLUMNS_MAX = 200


def check_name(name: str, what: str) -> str:
    """A name for a projection, table or column; ConfigError says what it may hold."""
    if not _NAME.fullmatch(name) or name.startswith("sqlite_") or name in OWN_TABLES:
        raise ConfigError(
            f"{what}: expected at most 63 of the characters a-z, 0-9 and '_', a letter first; found {name!r}"
        )
    return name


def quote(name: str) -> str:
    """The identifier in SQL. Only checked names come here."""
    assert _NAME.fullmatch(name), "an unchecked name on its way into SQL"
    return f'"{name}"'


class ColumnType(Enum):
    """How a JSON value is stored. The values are the words of configuration files."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    """0 or 1."""
    TIME = "time"
    """ISO 8601 text in, microseconds UTC stored."""
    JSON = "json"
    """Any value, as JSON text."""

    @property
    def sql(self) -> str:
        if self in (ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.TIME):
            return "INTEGER"
        return "REAL" if self is ColumnType.REAL else "TEXT"


@frozen
class Column:
    name: str
    type: ColumnType = ColumnType.TEXT

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "a column")


Columns = Mapping[str, "ColumnType | str"] | Iterable["Column | str"]
"""Name to type (a word of `ColumnType`, or a value of it), or columns; a bare name is a text column."""


def _columns(given: Columns) -> tuple[Column, ...]:
    if isinstance(given, Mapping):
        return tuple(Column(name, _type(name, kind)) for name, kind in given.items())
    return tuple(Column(one) if isinstance(one, str) else one for one in given)


def _type(column: str, kind: ColumnType | str) -> ColumnType:
    try:
        return ColumnType(kind)
    except ValueError:
        words = ", ".join(repr(known.value) for known in ColumnType)
        raise ConfigError(f"column {column!r}: expected a type of {words}; found {kind!r}") from None


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _indexes(given: Iterable[str | Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(_names(one) for one in given)


@frozen
class Table:
    """`Table("census", columns={"patient": "text", "days": "integer"}, key="patient")`."""

    name: str
    columns: tuple[Column, ...] = field(kw_only=True, converter=_columns)
    key: tuple[str, ...] = field(kw_only=True, converter=_names)
    """Names of the columns of the primary key."""
    indexes: tuple[tuple[str, ...], ...] = field(kw_only=True, default=(), converter=_indexes)
    column_names: tuple[str, ...] = field(init=False, repr=False)
    _upserts: dict[tuple[str, ...], str] = field(init=False, repr=False, eq=False, factory=dict)
    """Statements made so far, by their columns."""
    _increments: dict[tuple[str, ...], str] = field(init=False, repr=False, eq=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "a table")
        names = tuple(column.name for column in self.columns)
        if len(dict.fromkeys(names)) != len(names):
            raise ConfigError(f"table {self.name!r}: a column stands twice")
        if len(names) > COLUMNS_MAX:
            raise ConfigError(f"table {self.name!r}: expected at most {COLUMNS_MAX} columns, found {len(names)}")
        for name in (*self.key, *(name for index in self.indexes for name in index)):
            if name not in names:
                raise ConfigError(f"table {self.name!r}: its key or index names {name!r}, which isn't a column")
        object.__setattr__(self, "column_names", names)

    def ddl(self) -> tuple[str, ...]:
        """The statements that create the table and its indexes."""
        columns = ", ".join(
            f"{quote(column.name)} {column.type.sql}{' NOT NULL' if column.name in self.key else ''}"
            for column in self.columns
        )
        create = f"CREATE TABLE {quote(self.name)} ({columns}, PRIMARY KEY ({_list(self.key)})) STRICT"
        indexes = (
            f"CREATE INDEX {quote(f'{self.name[:40]}_index_{number}')} ON {quote(self.name)} ({_list(index)})"
            for number, index in enumerate(self.indexes, 1)
        )
        return (create, *indexes)

    def upsert_sql(self, columns: tuple[str, ...]) -> str:
        """Insert these columns (the key's among them), or update them where the key is there already."""
        sql = self._upserts.get(columns)
        if sql is None:
            sql = self._upserts[columns] = self._make_upsert(columns)
        return sql

    def _make_upsert(self, columns: tuple[str, ...]) -> str:
        values = ", ".join("?" * len(columns))
        updates = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in columns if name not in self.key)
        action = f"UPDATE SET {updates}" if updates else "NOTHING"
        return (
            f"INSERT INTO {quote(self.name)} ({_list(columns)}) VALUES ({values}) "
            f"ON CONFLICT ({_list(self.key)}) DO {action}"
        )

    def increment_sql(self, columns: tuple[str, ...]) -> str:
        """Insert these columns (the key's among them), or add them to what is there."""
        sql = self._increments.get(columns)
        if sql is None:
            values = ", ".join("?" * len(columns))
            updates = ", ".join(
                f"{quote(name)} = coalesce({quote(self.name)}.{quote(name)}, 0) + excluded.{quote(name)}"
                for name in columns
                if name not in self.key
            )
            action = f"UPDATE SET {updates}" if updates else "NOTHING"
            sql = self._increments[columns] = (
                f"INSERT INTO {quote(self.name)} ({_list(columns)}) VALUES ({values}) "
                f"ON CONFLICT ({_list(self.key)}) DO {action}"
            )
        return sql

    def delete_sql(self) -> str:
        condition = " AND ".join(f"{quote(name)} = ?" for name in self.key)
        return f"DELETE FROM {quote(self.name)} WHERE {condition}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(quote(name) for name in names)
