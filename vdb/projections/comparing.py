"""How the rows of one file differ from those of another: table by table, in the order of their keys.

Rules
- Both files are read page by page, so that a comparison takes little memory whatever the tables hold. Whoever wants an
  answer for one moment sees to it that nothing writes meanwhile.
- A row is known by its primary key. A table with another key or other columns is compared as if all its rows were new.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen

from vdb.ports import Connection
from vdb.projections.stored import stored_tables
from vdb.projections.tables import Table, quote
from vdb.types import GroupId

PAGE_ROWS = 1_000
Row = tuple[Any, ...]
T = TypeVar("T")


class Readable(Protocol):
    """A database, or what stands before one."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...


@frozen(kw_only=True)
class Difference:
    """A row that isn't the same on both sides."""

    table: Table
    key: Row = field(repr=False)
    before: Row | None = field(repr=False)
    """None: it isn't there."""
    after: Row | None = field(repr=False)


@define(kw_only=True)
class Comparison:
    """`differences`: the first ones; `count`: of all."""

    differences: list[Difference] = field(factory=list)
    count: int = 0

    def add(self, difference: Difference, differences_max: int) -> None:
        self.count += 1
        if len(self.differences) < differences_max:
            self.differences.append(difference)


@frozen(kw_only=True)
class RowDifferences:
    """`before` and `after`: where the two sides stood."""

    comparison: Comparison
    before: dict[GroupId, int]
    after: dict[GroupId, int]


async def compare(before: Readable, after: Readable, differences_max: int) -> Comparison:
    """All tables of the two, by name."""
    sides = [await _tables(before), await _tables(after)]
    comparison = Comparison()
    for name in sorted({**sides[0], **sides[1]}):
        old, new = (side.get(name) for side in sides)
        if old is not None and new is not None and _shape(old) == _shape(new):
            await _compare_table(old, before, after, comparison, differences_max)
            continue
        if old is not None:
            async for key, row in _rows(before, old):
                comparison.add(Difference(table=old, key=key, before=row, after=None), differences_max)
        if new is not None:
            async for key, row in _rows(after, new):
                comparison.add(Difference(table=new, key=key, before=None, after=row), differences_max)
    return comparison


@frozen(kw_only=True)
class TableDigest:
    """What a table holds, in short: equal rows have equal digests."""

    rows: int
    digest: str
    """SHA-256 over the rows in the order of their key, in hex."""


async def digest_tables(database: Readable) -> dict[str, TableDigest]:
    """Of all tables, by name."""
    found: dict[str, TableDigest] = {}
    for name, table in sorted((await _tables(database)).items()):
        count, digest = 0, hashlib.sha256()
        async for _key, row in _rows(database, table):
            count += 1
            digest.update(repr(row).encode() + b"\n")
        found[name] = TableDigest(rows=count, digest=digest.hexdigest())
    return found


async def _compare_table(
    table: Table, before: Readable, after: Readable, comparison: Comparison, differences_max: int
) -> None:
    """Merge the two sides by key."""
    olds, news = _rows(before, table), _rows(after, table)
    old, new = await anext(olds, None), await anext(news, None)
    while old is not None or new is not None:
        order = _compare_keys(None if old is None else old[0], None if new is None else new[0])
        if order == 0:
            assert old is not None
            assert new is not None
            if old[1] != new[1]:
                comparison.add(Difference(table=table, key=old[0], before=old[1], after=new[1]), differences_max)
            old, new = await anext(olds, None), await anext(news, None)
        elif order < 0:
            assert old is not None
            comparison.add(Difference(table=table, key=old[0], before=old[1], after=None), differences_max)
            old = await anext(olds, None)
        else:
            assert new is not None
            comparison.add(Difference(table=table, key=new[0], before=None, after=new[1]), differences_max)
            new = await anext(news, None)


async def _tables(database: Readable) -> dict[str, Table]:
    return {table.name: table for table in await database.read(stored_tables)}


def _shape(table: Table) -> object:
    return table.column_names, table.key


async def _rows(database: Readable, table: Table) -> AsyncIterator[tuple[Row, Row]]:
    """(key, row) of all rows, in the order of the key."""
    places = [table.column_names.index(column) for column in table.key]
    after: Row = ()
    while True:
        page = await _page(database, table, after)
        for row in page:
            after = tuple(row[place] for place in places)
            yield after, row
        if len(page) < PAGE_ROWS:
            return


async def _page(database: Readable, table: Table, after: Row) -> list[Row]:
    columns = ", ".join(map(quote, table.column_names))
    key = ", ".join(map(quote, table.key))
    beyond = f" WHERE ({key}) > ({', '.join('?' * len(table.key))})" if after else ""
    sql = f"SELECT {columns} FROM {quote(table.name)}{beyond} ORDER BY {key} LIMIT {PAGE_ROWS}"

    def work(db: Connection) -> list[Row]:
        found: list[Row] = db.execute(sql, after).fetchall()
        return found

    return await database.read(work)


def _compare_keys(old: Row | None, new: Row | None) -> int:
    """-1, 0 or 1 as SQLite orders them; a side that has ended comes last."""
    if old is None or new is None:
        return (old is None) - (new is None)
    one, other = _rank(old), _rank(new)
    return (one > other) - (one < other)


def _rank(key: Sequence[Any]) -> list[tuple[int, Any]]:
    """SQLite's order of values of any type: numbers, text, blobs."""
    return [(0 if isinstance(value, int | float) else 1 if isinstance(value, str) else 2, value) for value in key]
