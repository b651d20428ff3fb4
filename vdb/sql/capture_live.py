"""A table under capture: the triggers that stand on it, and which tables can't be captured at all."""

from __future__ import annotations

from attrs import frozen

from vdb.errors import SqlRefused
from vdb.marks import mark
from vdb.sql.capture_guard import Guard
from vdb.sql.capture_triggers import CHANGES, capture_steps, create_trigger
from vdb.sql.catalog import Catalog, Nesting
from vdb.sql.tables import Table

NO_NESTING = Nesting(first=False, then=False, anything=False)
_HIDDEN_REPLACE = (
    "table {} is refused where a REPLACE is about: its BEFORE triggers, TEMP triggers and foreign keys change rows "
    "while one is replaced, and nobody can say then which row went; delete the row first, or use an upsert"
)


@frozen(kw_only=True)
class Live:
    """Triggers that are in place on a table."""

    table: Table
    layout: int
    guarded: bool
    """Whether a REPLACE is captured."""
    nesting: Nesting


def check_capturable(catalog: Catalog, name: str, *, replaces: bool) -> None:
    """SqlRefused if a statement that may change the table can't be captured; `replaces`: it may be a REPLACE."""
    table = catalog.table(name)
    assert table is not None, "a write reaches tables that are captured"
    check_rowids(table)
    if (replaces or catalog.may_replace) and catalog.nesting(name).hides_replace:
        raise SqlRefused(_HIDDEN_REPLACE.format(table.name))


def check_rowids(table: Table) -> None:
    """SqlRefused if the table's rowids can't be read."""
    if table.rowid is None and not table.without_rowid:
        raise SqlRefused(
            f"table {table.name} is refused: it has columns named rowid, oid and _rowid_, so that its rows' own "
            "numbers can't be read; rename one of them, or give the table an INTEGER PRIMARY KEY"
        )


def guard_of(live: Live) -> Guard:
    """What captures the rows that a REPLACE deletes there."""
    return Guard(table=live.table, layout=live.layout, nesting=live.nesting)


def triggers_of(live: Live) -> list[str]:
    """The statements that put a table's triggers, and its guard, in place."""
    table, layout = live.table, live.layout
    steps = {event: capture_steps(table, layout, event) for event in CHANGES}
    if not live.guarded:
        return [create_trigger(table, layout, "AFTER", event, steps[event]) for event in CHANGES]
    mark("sql.guard")
    guard = guard_of(live)
    before = {event: guard.before(event) for event in CHANGES}
    return [
        guard.create(),
        *([guard.create_sweep()] if live.nesting.entangled else []),
        *(create_trigger(table, layout, "BEFORE", event, steps) for event, steps in before.items() if steps),
        *(create_trigger(table, layout, "AFTER", event, guard.after(event, steps[event])) for event in CHANGES),
    ]
