"""Reading a projection's rows: equality filters, an order, a limit, and the position that the answer stands for.

Rules
- Identifiers come from the declared tables only, values are bound: no text of a caller becomes SQL.
- Rows and positions are read in one snapshot. The key ends every order, so equal queries give equal answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from vdb.errors import InvalidArgument
from vdb.ports import Connection, Database
from vdb.projections.config import ProjectionConfig
from vdb.projections.meta import positions
from vdb.projections.tables import OWN_TABLES, Table, quote
from vdb.projections.values import SqlValue
from vdb.types import GroupId

LIMIT_MAX = 10_000
LIMIT_DEFAULT = 1_000


@frozen(kw_only=True)
class Rows:
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(repr=False)
    positions: dict[GroupId, int]
    """The next position to apply, by group: the rows hold all events before it."""


@frozen
class Query:
    """A checked query: SQL and the values to bind."""

    columns: tuple[str, ...]
    sql: str
    values: tuple[SqlValue, ...] = field(repr=False)


def make_query(
    config: ProjectionConfig,
    table: str,
    where: Mapping[str, SqlValue] | None = None,
    order_by: Sequence[str] = (),
    limit: int = LIMIT_DEFAULT,
) -> Query:
    """InvalidArgument for tables and columns that aren't declared. `-column` sorts downwards; None matches NULL."""
    found = config.table(table)
    if found is None:
        names = ", ".join(one.name for one in config.tables)
        raise InvalidArgument(f"projection {config.name!r} has no such table; its tables: {names}")
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidArgument(f"a limit lies between 1 and {LIMIT_MAX}; found {limit}")
    where = where or {}
    for column in where:
        _check_column(found, column)
    conditions = " AND ".join(f"{quote(column)} IS ?" for column in where)
    order = ", ".join(_order(found, column) for column in (*order_by, *found.key))
    columns = ", ".join(quote(column) for column in found.column_names)
    sql = f"SELECT {columns} FROM {quote(found.name)}"
    sql += f" WHERE {conditions}" if where else ""
    return Query(found.column_names, f"{sql} ORDER BY {order} LIMIT {limit}", tuple(where.values()))


async def read_rows(database: Database, config: ProjectionConfig, query: Query) -> Rows:
    """Run a query on the last committed state."""

    def work(db: Connection) -> Rows:
        db.execute("BEGIN")
        try:
            rows = db.execute(query.sql, query.values).fetchall()
            return Rows(columns=query.columns, rows=rows, positions=positions(db, config))
        finally:
            db.execute("COMMIT")

    return await database.read(work)


def dump_tables(db: Connection, *, with_meta: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, sorted by all columns: two databases hold the same if their dumps are equal."""
    names = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    dump: dict[str, list[tuple[Any, ...]]] = {}
    for (name,) in names:
        if name in OWN_TABLES and not with_meta:
            continue
        quoted = '"{}"'.format(name.replace('"', '""'))
        width = len(db.execute(f"SELECT * FROM {quoted} LIMIT 0").description)
        order = ", ".join(str(number) for number in range(1, width + 1))
        dump[name] = db.execute(f"SELECT * FROM {quoted} ORDER BY {order}").fetchall()
    return dump


async def dump_rows(database: Database, *, with_meta: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """`dump_tables` of the last committed state."""
    return await database.read(lambda db: dump_tables(db, with_meta=with_meta))


def _check_column(table: Table, column: str) -> None:
    if column not in table.column_names:
        raise InvalidArgument(f"table {table.name!r} has no such column; its columns: {', '.join(table.column_names)}")


def _order(table: Table, column: str) -> str:
    name = column.removeprefix("-")
    _check_column(table, name)
    return f"{quote(name)} DESC" if column.startswith("-") else quote(name)
