"""What a schema holds, and how two of them differ.

A schema is read from SQLite itself: its tables, indexes, views and triggers, and the columns of its tables. Two texts
of an object are the same if they differ in white space, comments, quotes around names and the case of words alone.
VerityDB's own tables, and SQLite's, aren't part of it.
"""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from vdb.ports import Connection
from vdb.sql.keywords import tokens
from vdb.sql.refusals import is_own_name

_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM main.sqlite_master "
    "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY type, name"
)
_COLUMNS = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid"


@frozen(kw_only=True)
class Column:
    """A column of a table, as SQLite describes it."""

    name: str
    type: str
    """As declared; empty where it isn't."""
    not_null: bool
    default: str | None
    key: int
    """Its place in the primary key, from 1; 0: it isn't in it."""
    generated: bool

    def text(self) -> str:
        """As one would declare it."""
        words = [self.name, self.type, "NOT NULL" if self.not_null else ""]
        words += [f"DEFAULT {self.default}" if self.default is not None else "", "generated" if self.generated else ""]
        words.append(f"primary key {self.key}" if self.key else "")
        return " ".join(filter(None, words))


@frozen(kw_only=True)
class SchemaObject:
    """A table, an index, a view or a trigger."""

    type: str
    name: str
    table: str
    """The table that an index or a trigger is on."""
    sql: str = field(repr=False)
    columns: tuple[Column, ...] = ()
    """Of a table."""

    def same(self, other: SchemaObject) -> bool:
        """Whether both mean the same."""
        return normal_text(self.sql) == normal_text(other.sql)


Schema = dict[tuple[str, str], SchemaObject]
"""Objects by type and name, the name in lower case."""


class Change(Enum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@frozen(kw_only=True)
class Difference:
    """An object that is in one schema alone, or differs."""

    change: Change
    type: str
    name: str
    details: tuple[str, ...] = ()
    """What differs in a table, a line each."""

    def text(self) -> str:
        """One line."""
        line = f"{self.change.value} {self.type} {self.name}"
        return f"{line}: {'; '.join(self.details)}" if self.details else line


def read_schema(db: Connection) -> Schema:
    """The schema of a database."""
    found: Schema = {}
    for kind, name, table, sql in db.execute(_OBJECTS).fetchall():
        if is_own_name(name):
            continue
        columns = _columns(db, name) if kind == "table" else ()
        found[kind, name.lower()] = SchemaObject(type=kind, name=name, table=table, sql=sql, columns=columns)
    return found


def compare(before: Schema, after: Schema) -> list[Difference]:
    """What makes `after` of `before`: removed, changed and added objects, tables first."""
    order = ("table", "index", "view", "trigger")
    result = []
    for key in sorted({**before, **after}, key=lambda key: (order.index(key[0]), key[1])):
        old, new = before.get(key), after.get(key)
        if old is None:
            assert new is not None
            result.append(Difference(change=Change.ADDED, type=new.type, name=new.name))
        elif new is None:
            result.append(Difference(change=Change.REMOVED, type=old.type, name=old.name))
        elif not old.same(new):
            result.append(Difference(change=Change.CHANGED, type=new.type, name=new.name, details=_details(old, new)))
    return result


def normal_text(sql: str) -> str:
    """The text of an object with one space between tokens, names without quotes and words in lower case."""
    return " ".join(token.text if token.kind == "text" else token.name.lower() for token in tokens(sql))


def _columns(db: Connection, table: str) -> tuple[Column, ...]:
    return tuple(
        Column(name=name, type=kind, not_null=bool(not_null), default=default, key=key, generated=hidden > 1)
        for name, kind, not_null, default, key, hidden in db.execute(_COLUMNS, (table,)).fetchall()
    )


def _details(old: SchemaObject, new: SchemaObject) -> tuple[str, ...]:
    if old.type != "table":
        return ()
    before = {column.name.lower(): column for column in old.columns}
    after = {column.name.lower(): column for column in new.columns}
    lines = []
    for name in {**before, **after}:
        if name not in after:
            lines.append(f"column {before[name].name} removed")
        elif name not in before:
            lines.append(f"column {after[name].text()} added")
        elif before[name] != after[name]:
            lines.append(f"column {before[name].text()} is now {after[name].text()}")
    return tuple(lines) or ("its constraints or the order of its columns",)
