"""A last look at rows of entangled tables (see catalog.Nesting), before what was captured of them is given out.

In which order triggers and foreign keys changed a row within one statement is put together from its images, and a few
shapes can't be told apart by them. What was put together must at least end where the tables are: if it doesn't, the
transaction is refused rather than logged wrongly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from vdb.changes import Image, Layout, RawText, RowChange, SchemaChange, Step, Value
from vdb.errors import SqlRefused
from vdb.marks import mark
from vdb.sql.catalog import Nesting
from vdb.sql.net_effect import exact
from vdb.sql.tables import Table, quote

Fetch = Callable[[str, Sequence[Value]], list[tuple[Value, ...]]]
"""All rows of a query; text that isn't UTF-8 as RawText."""

_Key = tuple[Value, ...]
_Images = Counter[tuple[Hashable, ...]]
"""How often each image came to be, less how often it went; above 0: it is there."""


def check_rows(
    fetch: Fetch, tables: Sequence[Table], layouts: Sequence[Layout], steps: Sequence[Step], nestings: Sequence[Nesting]
) -> None:
    """SqlRefused if rows aren't as the steps say that they left them. `tables` and `nestings` are of the layouts."""
    by_name = {table.name: table for table in tables}
    for name, rows in _left(layouts, steps, nestings).items():
        table = by_name[name]
        names = (table.rowid,) if table.rowid is not None else tuple(map(quote, table.key))
        if not names or (table.rowid is None and not table.without_rowid):
            continue
        columns = ", ".join(map(quote, table.columns))
        query = f"SELECT {columns} FROM main.{quote(table.name)} WHERE {' AND '.join(f'{name} = ?' for name in names)}"
        for key, images in rows.items():
            unchanged = not any(images.values())
            if unchanged or any(isinstance(value, RawText) for value in key):
                continue
            if list(images.elements()) != [exact(found) for found in fetch(query, key)]:
                mark("sql.order_unknown")
                raise SqlRefused(
                    f"table {table.name!r}: a trigger and a foreign key changed one row within one statement, in an "
                    "order that can't be told: nothing of the transaction can be logged; make two statements of it"
                )


def _left(
    layouts: Sequence[Layout], steps: Sequence[Step], nestings: Sequence[Nesting]
) -> dict[str, dict[_Key, _Images]]:
    """What the steps, in whatever order, leave of each row that they changed since the schema last did, by table."""
    entangled = {layout.table: None for layout, nesting in zip(layouts, nestings, strict=True) if nesting.entangled}
    found: dict[str, dict[_Key, _Images]] = {}
    for step in steps:
        if isinstance(step, SchemaChange):
            found.clear()
        elif isinstance(step, RowChange) and (layout := layouts[step.layout]).table in entangled:
            rows = found.setdefault(layout.table, {})
            if step.before is not None:
                rows.setdefault(_key(layout, step.rowid_before, step.before), Counter())[exact(step.before)] -= 1
            if step.after is not None:
                rows.setdefault(_key(layout, step.rowid_after, step.after), Counter())[exact(step.after)] += 1
    return found


def _key(layout: Layout, rowid: int | None, image: Image) -> _Key:
    if rowid is not None:
        return (rowid,)
    return tuple(image[layout.columns.index(name)] for name in layout.key)
