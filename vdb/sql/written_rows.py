"""Whether what a statement writes may be written: its rows are held against a policy's condition when it has run.

    new rows      those that the statement inserted or changed, as it leaves them: in its transaction, before its end
    old rows      of an upsert: those that it changes must be ones that are shown. Which these are is known once it has
                  run, so it is run twice, and the first time undone

Rules
- A statement that breaks a condition is undone, and UnfitRows says so. What it was about to do isn't told: whatever an
  upsert fails with the first time, it fails with the same words.
- Rows are found by what capture has of them. They are looked at as the table has them, so that columns compare as they
  are declared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import frozen

from vdb.changes import Value
from vdb.errors import SqlRefused
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.store import SqliteError
from vdb.sql.capture import Capture
from vdb.sql.capture_triggers import CAPTURE_WIDTH, VALUE_COLUMNS, Event, code
from vdb.sql.keeping import Asked
from vdb.sql.names import CAPTURE_TABLE
from vdb.sql.savepoints import all_or_nothing
from vdb.sql.tables import Table, plain_cursor, quote

T = TypeVar("T")

_TRIED = "vdb_tried"
_LAST = f"SELECT coalesce(max(seq), 0) FROM temp.{CAPTURE_TABLE}"


class UnfitRows(Exception):
    """Rows aren't such that they may be written. For the session's keeper, which makes AccessDenied of it."""


@frozen(kw_only=True)
class RowCheck:
    """What rows of a table must be like, in SQL; each condition in parentheses."""

    table: Table
    new: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    """Of rows that an upsert changes; empty: it is none."""

    def texts(self) -> tuple[str, ...]:
        """Queries with the conditions, for whoever wants to know what they call."""
        return tuple(f"SELECT 1 FROM {_main(self.table)} WHERE {one}" for one in (*self.new, *self.old))


class Keeping:
    """Runs what writes rows on one connection, with a check where there is one."""

    def __init__(self, db: Connection, capture: Capture, trusting: Callable[[], object]) -> None:
        self._db = db
        self._capture = capture
        self._trusting = trusting
        self.check: RowCheck | None = None
        """Of the statement that runs now."""
        self.asked: list[Asked] = []
        """By which the statements of the open transaction were admitted that write."""

    def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, which runs a statement. UnfitRows, once it is undone; SqlRefused where nobody can tell."""
        check = self.check
        if check is None:
            return work()
        layout = self._capture.layout_of(check.table.name)
        touched = self._try(check, layout, work) if check.old else None
        with all_or_nothing(self._db, _TRIED):
            before = self._one(_LAST)
            result = work()
            if touched is not None and not set(self._changed(layout, before)) <= set(touched):
                mark("sql.upsert_of_others")
                raise UnfitRows("it changes other rows each time that it runs")
            if check.new and self._one(_unfit(check, layout), (before,)):
                mark("sql.unfit_row")
                raise UnfitRows("a row would be written that doesn't fulfil the condition of the rule that allows it")
        return result

    def _try(self, check: RowCheck, layout: int, work: Callable[[], T]) -> list[Value]:
        """Run the statement, undo it, and see that the rows that it changed are shown. Their numbers."""
        if check.table.rowid is None:
            raise SqlRefused(f"an upsert of {check.table.name} is refused under a filter: its rows have no numbers")
        failed = "it fails, or would change a row that isn't shown"
        try:
            with all_or_nothing(self._db, _TRIED):
                before = self._one(_LAST)
                work()
                touched = self._changed(layout, before)
                raise _Undo
        except _Undo:
            pass
        except SqliteError:
            mark("sql.upsert_failed")
            raise UnfitRows(failed) from None
        rowid = f"{_main(check.table)}.{check.table.rowid}".removeprefix("main.")
        hidden = (
            f"SELECT EXISTS (SELECT 1 FROM {_main(check.table)} WHERE {rowid} IN (SELECT value FROM json_each(?)) "
            f"AND ({' AND '.join(check.old)}) IS NOT TRUE)"
        )
        if self._one(hidden, (json.dumps(touched),)):
            mark("sql.upsert_hidden")
            raise UnfitRows(failed)
        return touched

    def _changed(self, layout: int, before: Value) -> list[Value]:
        """The numbers that rows had which were changed or deleted since."""
        codes = f"{code(layout, Event.UPDATE)}, {code(layout, Event.DELETE)}"
        sql = f"SELECT DISTINCT row_before FROM temp.{CAPTURE_TABLE} WHERE seq > ? AND code IN ({codes})"
        return [row[0] for row in self._rows(sql, (before,))]

    def _one(self, sql: str, parameters: Sequence[Value] = ()) -> Value:
        return self._rows(sql, parameters)[0][0]

    def _rows(self, sql: str, parameters: Sequence[Value]) -> list[tuple[Value, ...]]:
        with self._trusting():  # type: ignore[attr-defined]
            found: list[tuple[Value, ...]] = plain_cursor(self._db).execute(sql, tuple(parameters)).fetchall()
        return found


class _Undo(Exception):
    """Takes back what was tried."""


def _main(table: Table) -> str:
    return f"main.{quote(table.name)}"


def _unfit(check: RowCheck, layout: int) -> str:
    """Whether there is a row among those captured since that doesn't fulfil a condition."""
    table, since = check.table, f"FROM temp.{CAPTURE_TABLE} AS vdb_written WHERE seq > ?1"
    inserted, updated = code(layout, Event.INSERT), code(layout, Event.UPDATE)
    unfit = f"({' AND '.join(check.new)}) IS NOT TRUE"
    name = quote(table.name)
    if table.rowid is not None:
        rows = f"SELECT row_after {since} AND code IN ({inserted}, {updated})"
        return f"SELECT EXISTS (SELECT 1 FROM {_main(table)} WHERE {name}.{table.rowid} IN ({rows}) AND {unfit})"
    places = [table.columns.index(column) for column in table.key]
    count = len(table.columns)
    if not places or count + max(places) >= CAPTURE_WIDTH:
        raise SqlRefused(f"rows of {table.name} can't be held against a condition when they are written")
    key = ", ".join(f"{name}.{quote(column)}" for column in table.key)
    after = {inserted: places, updated: [count + place for place in places]}
    rows = " UNION ALL ".join(
        f"SELECT {', '.join(VALUE_COLUMNS[place] for place in some)} {since} AND code = {event}"
        for event, some in after.items()
    )
    return f"SELECT EXISTS (SELECT 1 FROM {_main(table)} WHERE ({key}) IN ({rows}) AND {unfit})"
