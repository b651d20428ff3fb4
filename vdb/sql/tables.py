"""What the tables of a database look like, as far as capture has to know it.

Names are as the schema spells them. Only tables of `main` that hold rows of their own are here: views, virtual tables
and their shadows, and SQLite's own tables aren't.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from attrs import frozen

from vdb.ports import Connection
from vdb.sql.keywords import Token, tokens

ROWID_NAMES = ("rowid", "oid", "_rowid_")
"""What SQLite calls the rowid, wherever no column has that name."""

_NO_ACTION = ("NO ACTION", "RESTRICT")
_ORDINARY = 0
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Cursor(Protocol):
    """A cursor that gives plain tuples, whatever the connection's owner set."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


@frozen(kw_only=True)
class KeyPart:
    """One column, or expression, of a unique index."""

    column: str | None
    expression: str
    """What is indexed, in SQL, where it isn't a column."""
    collation: str


@frozen(kw_only=True)
class ForeignKey:
    """A reference whose action changes rows of the table that has it."""

    parent: str
    """Folded."""
    on_update: bool
    """Whether a change of the parent's key changes rows here."""
    on_delete: bool


@frozen(kw_only=True)
class Table:
    """A table whose rows are captured."""

    name: str
    columns: tuple[str, ...]
    """Ordinary columns, in their declared order; generated ones aren't here."""
    readable: tuple[str, ...]
    """All columns, generated ones too."""
    stand_ins: tuple[tuple[str, str], ...]
    """Columns that are NOT NULL with a default, an expression, which REPLACE puts where a NULL would be."""
    key: tuple[str, ...]
    """Columns of the primary key, in its order."""
    key_parts: tuple[KeyPart, ...]
    """The primary key of a table WITHOUT ROWID, as its index compares it."""
    rowid: str | None
    """An expression that gives the rowid; None: WITHOUT ROWID, or all its names are taken."""
    without_rowid: bool
    unique: tuple[tuple[KeyPart, ...], ...]
    """Unique indexes, that of the primary key included; for partial ones, as if they weren't partial."""
    references: tuple[ForeignKey, ...]


@frozen(kw_only=True)
class UserTrigger:
    """A trigger that isn't ours."""

    table: str
    """Folded; a view for INSTEAD OF."""
    before: bool
    """Whether it fires before the change: what SQLite does if the text doesn't say."""
    event: str
    """INSERT, UPDATE or DELETE."""
    temporary: bool


def quote(name: str) -> str:
    """An identifier in SQL, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def fold(name: str) -> str:
    """A name as SQLite compares it: ASCII letters alone have no case."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


def read_table(cursor: Cursor, name: str) -> Table | None:
    """The table of `main` with this name; None if there is none that holds rows of its own."""
    listed = [row for row in _pragma(cursor, "table_list", name) if row[0] == "main" and row[2] == "table"]
    if not listed:
        return None
    without_rowid = bool(listed[0][4])
    described = _pragma(cursor, "table_xinfo", name)
    indexes = [row for row in _pragma(cursor, "index_list", name) if row[2]]
    unique = {row[1]: _index_parts(cursor, row[1]) for row in indexes}
    primary = next((unique[row[1]] for row in indexes if row[3] == "pk"), ())
    key = tuple(row[1] for row in sorted((row for row in described if row[5]), key=lambda row: row[5]))
    alias = key[0] if len(key) == 1 and not primary and not without_rowid else None
    return Table(
        name=name,
        columns=tuple(row[1] for row in described if row[6] == _ORDINARY),
        readable=tuple(row[1] for row in described),
        stand_ins=tuple((row[1], row[4]) for row in described if row[3] and row[4] is not None),
        key=key,
        key_parts=primary if without_rowid else (),
        rowid=None if without_rowid else _rowid_name([row[1] for row in described], alias),
        without_rowid=without_rowid,
        unique=tuple(unique.values()),
        references=_references(cursor, name),
    )


def parse_trigger(table: str, sql: str, *, temporary: bool) -> UserTrigger:
    """What a row of the schema says of a trigger. `sql` begins as SQLite stores it: CREATE TRIGGER name."""
    words = [token.upper for token, _ in zip(tokens(sql), range(6), strict=False)][3:]  # after CREATE TRIGGER name
    event = next(word for word in words if word in ("INSERT", "UPDATE", "DELETE"))
    return UserTrigger(table=fold(table), before=words[0] != "AFTER", event=event, temporary=temporary)


def _pragma(cursor: Cursor, pragma: str, name: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = cursor.execute(f"PRAGMA main.{pragma}({quote(name)})").fetchall()
    return rows


def _index_parts(cursor: Cursor, index: str) -> tuple[KeyPart, ...]:
    rows = [row for row in _pragma(cursor, "index_xinfo", index) if row[5]]
    texts = [""] * len(rows)
    if any(row[2] is None for row in rows):
        text = "SELECT +sql FROM main.sqlite_master WHERE type = 'index' AND name = ?"
        ((sql,),) = cursor.execute(text, (index,)).fetchall()
        texts = index_terms(sql)
        assert len(texts) == len(rows), "an index has as many terms as its text"
    return tuple(
        KeyPart(column=row[2], expression="" if row[2] is not None else text, collation=row[4])
        for row, text in zip(rows, texts, strict=True)
    )


def index_terms(sql: str) -> list[str]:
    """What stands between the parentheses of CREATE INDEX, term by term, without ASC and DESC."""
    found = list(tokens(sql))
    start = next(place for place, token in enumerate(found) if token.text == "(")
    terms: list[list[Token]] = [[]]
    depth = 0
    for token in found[start:]:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            break
        if depth == 1 and token.text == ",":
            terms.append([])
        elif terms[-1] or depth > 1 or token is not found[start]:
            terms[-1].append(token)
    return [_without_order(sql, term) for term in terms]


def _without_order(sql: str, term: list[Token]) -> str:
    begin = term[0].end - len(term[0].text)
    if term[-1].upper in ("ASC", "DESC"):
        term = term[:-1]
    return sql[begin : term[-1].end]


def _rowid_name(columns: list[str], alias: str | None) -> str | None:
    """How the table's rowid can be said: a name that isn't a column's, or the column that is the rowid."""
    if alias is not None:
        return quote(alias)
    taken = [column.lower() for column in columns]
    return next((name for name in ROWID_NAMES if name not in taken), None)


def _references(cursor: Cursor, name: str) -> tuple[ForeignKey, ...]:
    found: dict[int, ForeignKey] = {}
    for row in _pragma(cursor, "foreign_key_list", name):
        on_update, on_delete = row[5] not in _NO_ACTION, row[6] not in _NO_ACTION
        if on_update or on_delete:
            found[row[0]] = ForeignKey(parent=fold(row[2]), on_update=on_update, on_delete=on_delete)
    return tuple(found.values())


def plain_cursor(db: Connection) -> Cursor:
    """A cursor that gives plain tuples, whatever the connection's owner set."""
    cursor: Any = cast(Any, db).cursor()
    cursor.row_factory = None
    return cast(Cursor, cursor)
