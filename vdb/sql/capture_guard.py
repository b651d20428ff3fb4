"""The rows that REPLACE deletes: SQLite fires no trigger for them unless recursive triggers are on.

A table's guard is a TEMP table of candidates. Before a row is written, the rows that share a unique key with it are put
there; after it was written, those candidates that are gone were replaced, and are captured as deleted.

    vdb_capture_guard_<layout>(kind, row, c0, c1, ..)     see `Kind`

Rules
- Too many candidates do no harm: what decides is whether the row is still there. So partial indexes count as whole.
- A row whose deletion fires a trigger is captured by that one, which takes it off the candidates: so nothing is
  captured twice, whatever recursive_triggers is.
- A write that begins may not end: IGNORE and upserts skip it. Candidates that it leaves are superfluous, not wrong.
- Simple tables: nothing changes the table between a write's begin and its end, so each write begins with an empty
  guard. Entangled ones (see catalog.Nesting): writes nest, candidates are kept until they are gone, follow what
  happens to them, and each row that is written while another write is open becomes one. Each statement begins with an
  empty guard there. A row that an outer write has moved or deleted already, and not yet captured, isn't gone.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from vdb.sql.capture_triggers import Event, code, columns, insert_rows, insert_values, rowid, sweep_trigger_name
from vdb.sql.catalog import Nesting
from vdb.sql.tables import KeyPart, Table, quote


class Kind(IntEnum):
    """What a row of a guard is."""

    CANDIDATE = 0
    OPEN = 1
    """A write that has begun."""
    CHANGING = 2
    """A row, as it was, that an outer write has changed already: it isn't gone."""
    ARRIVED = 3
    """A row, as it is since then: who was there before is gone."""
    LATER = 4
    """A candidate that was written since then: nobody but the row that arrived may be there now."""


_CANDIDATE, _OPEN, _CHANGING, _ARRIVED, _LATER = (str(int(kind)) for kind in Kind)


@frozen(kw_only=True)
class Guard:
    """The SQL of one table's guard."""

    table: Table
    layout: int
    nesting: Nesting

    @property
    def name(self) -> str:
        return f"vdb_capture_guard_{self.layout}"

    def create(self) -> str:
        """The table of candidates."""
        names = ["kind", "row", *(f"c{number}" for number in range(len(self.table.columns)))]
        return f"CREATE TEMP TABLE {self.name} ({', '.join(names)})"

    def sweep(self) -> list[str]:
        """For an entangled table's, after each statement: captures what is gone though no write saw it go."""
        return [f"UPDATE temp.{self.name} SET kind = kind", f"DELETE FROM temp.{self.name}"]

    def create_sweep(self) -> str:
        """The trigger that `sweep` fires. A cascade may delete the row for which another was replaced."""
        values = [f"OLD.c{number}" for number in range(len(self.table.columns))]
        steps = insert_values(code(self.layout, Event.DELETE), "OLD.row", "NULL", values)
        when = f"OLD.kind IN ({_CANDIDATE}, {_LATER}) AND NOT EXISTS ({self._unchanged('OLD')})"
        name = sweep_trigger_name(self.layout)
        return f"CREATE TEMP TRIGGER {name} AFTER UPDATE ON temp.{self.name} WHEN {when} BEGIN {'; '.join(steps)}; END"

    def before(self, event: Event) -> list[str]:
        """Steps before a change: collect candidates. Empty: there is nothing to be done."""
        changing = []
        if self.nesting.then and event is not Event.INSERT:
            changing.append(self._collect(_CHANGING, "OLD", ""))
        if self.nesting.then and event is Event.UPDATE:
            moves = f"WHERE NOT {self._same_row('OLD', 'NEW')}"
            changing.append(self._collect(_ARRIVED, "NEW", moves))
        if event is Event.DELETE:
            return changing
        row = quote(self.table.name)
        conditions = [f"({' OR '.join(self._conflicts(row))})"]
        if event is Event.UPDATE:
            conditions.append(f"NOT {self._same_row(row, 'OLD')}")
        begin = f"DELETE FROM {self.name}"
        if self.nesting.entangled:
            begin = f"INSERT INTO {self.name} (kind) VALUES ({_OPEN})"
            known = f"SELECT 1 FROM {self.name} AS g WHERE g.kind = {_CANDIDATE} AND {self._same('g', row)}"
            conditions.append(f"NOT EXISTS ({known})")
        source = f"main.{row} AS {row} WHERE {' AND '.join(conditions)}"
        return [*changing, begin, self._collect(_CANDIDATE, row, f"FROM {source}")]

    def after(self, event: Event, capture: list[str]) -> list[str]:
        """Steps after a change, around those that capture it: what is gone before, new candidates behind."""
        if event is Event.DELETE:
            return [f"DELETE FROM {self.name} WHERE {self._about('OLD')}", *capture]
        gone = self._gone(event)
        log = insert_rows(
            code(self.layout, Event.DELETE),
            f"{self.name}.row",
            "NULL",
            [f"{self.name}.c{number}" for number in range(len(self.table.columns))],
            f"temp.{self.name} AS {self.name} WHERE {gone}",
            f"{self.name}.rowid",
        )
        if not self.nesting.entangled:
            return [log, f"DELETE FROM {self.name}", *capture]
        forget = gone
        if event is Event.UPDATE:
            forget = f"{gone} OR {self._about('OLD')} OR {self._sign(_ARRIVED, 'NEW')}"
        last = f"SELECT max(g.rowid) FROM {self.name} AS g WHERE g.kind = {_OPEN}"
        still_open = f"EXISTS (SELECT 1 FROM {self.name} AS g WHERE g.kind = {_OPEN})"
        # As it is now, which isn't NEW where a foreign key has changed it since. It may be known from there.
        row = quote(self.table.name)
        known = f"SELECT 1 FROM {self.name} AS g WHERE g.kind IN ({_CANDIDATE}, {_LATER}) AND {self._same('g', row)}"
        written = (
            f"FROM main.{row} AS {row} WHERE {self._same_row(row, 'NEW')} AND {still_open} AND NOT EXISTS ({known})"
        )
        return [
            log,
            f"DELETE FROM {self.name} WHERE {forget}",
            f"DELETE FROM {self.name} WHERE rowid = ({last})",
            *capture,
            self._collect(_LATER if self.nesting.then else _CANDIDATE, row, written),
        ]

    def _about(self, row: str) -> str:
        """Whether what is in the guard is about this row, OLD."""
        about = f"kind IN ({_CANDIDATE}, {_LATER}) AND {self._same(self.name, row)}"
        return f"{about} OR {self._sign(_CHANGING, row)}"

    def _sign(self, kind: str, row: str) -> str:
        """The last sign of this kind: writes that are further out may have left one of the same row."""
        signs = f"SELECT max(g.rowid) FROM {self.name} AS g WHERE g.kind = {kind} AND {self._same('g', row)}"
        return f"rowid = ({signs})"

    def _gone(self, event: Event) -> str:
        """Whether a candidate isn't there any more, or was where the new row is now."""
        table = quote(self.table.name)
        there = f"SELECT 1 FROM main.{table} AS {table} WHERE {self._same(self.name, table)}"
        replaced = f"kind = {_CANDIDATE} AND {self._same(self.name, 'NEW')}"
        gone = f"kind IN ({_CANDIDATE}, {_LATER}) AND ({replaced} OR NOT EXISTS ({there}))"
        if event is Event.UPDATE:
            gone = f"{gone} AND NOT {self._same(self.name, 'OLD')}"
        if self.nesting.then:
            gone = f"{gone} AND NOT EXISTS ({self._same_row_as(_CHANGING)})"
            gone = f"{gone} OR kind = {_CANDIDATE} AND EXISTS ({self._taken()})"
        return f"({gone})"

    def _taken(self) -> str:
        """Whether a row has arrived at the candidate's place. Its sign follows that of the row as it was.

        A write that IGNORE skipped has left both signs too, and then the row still is where it was.
        """
        table = quote(self.table.name)
        there = f"SELECT 1 FROM main.{table} AS {table} WHERE {self._same('g', table)}"
        return (
            f"SELECT 1 FROM {self.name} AS a JOIN {self.name} AS g ON g.rowid = a.rowid - 1 WHERE a.kind = {_ARRIVED} "
            f"AND {self._same_candidate('a')} AND g.kind = {_CHANGING} AND NOT EXISTS ({there})"
        )

    def _unchanged(self, guard: str) -> str:
        """The table's row, if it is as the candidate has it."""
        table = quote(self.table.name)
        values = ", ".join(f"{guard}.c{number}" for number in range(len(self.table.columns)))
        image = f"({', '.join(columns(self.table, table))}) IS ({values})"
        return f"SELECT 1 FROM main.{table} AS {table} WHERE {self._same(guard, table)} AND {image}"

    def _same_row_as(self, kind: str) -> str:
        return f"SELECT 1 FROM {self.name} AS g WHERE g.kind = {kind} AND {self._same_candidate('g')}"

    def _collect(self, kind: str, row: str, source: str) -> str:
        names = ["kind", "row", *(f"c{number}" for number in range(len(self.table.columns)))]
        values = [kind, rowid(self.table, row), *columns(self.table, row)]
        return f"INSERT INTO {self.name} ({', '.join(names)}) SELECT {', '.join(values)} {source}"

    def _conflicts(self, row: str) -> list[str]:
        """Conditions under which a row of the table stands in the way of NEW."""
        found = [] if self.table.rowid is None else [f"{row}.{self.table.rowid} = NEW.{self.table.rowid}"]
        for key in self.table.unique:
            found.append(" AND ".join(self._equal(part, row) for part in key))
        return found

    def _equal(self, part: KeyPart, row: str) -> str:
        table = self.table
        if part.column is not None and part.column not in table.columns and table.stand_ins:
            return "1"  # a generated column, of a value that isn't there yet
        if part.column is not None:
            same = f"{row}.{quote(part.column)} = {self._new(part.column)} COLLATE {quote(part.collation)}"
            if part.column in table.columns:
                return same
            # SQLite computes a generated column of NEW from those that the trigger names: the others are NULL then.
            named = ", ".join(f"NEW.{quote(column)}" for column in table.columns)
            return f"{same} AND ({named}) IS ({named})"
        # The index's expression names columns alone: once they are the row's, once NEW's.
        new = ", ".join(f"{self._new(column)} AS {quote(column)}" for column in table.readable)
        of_new = f"(SELECT {part.expression} FROM (SELECT {new}) AS {row})"
        return f"({part.expression}) = {of_new} COLLATE {quote(part.collation)}"

    def _new(self, column: str) -> str:
        """What will be in the new row: where a NULL isn't allowed, REPLACE writes the default."""
        default = dict(self.table.stand_ins).get(column)
        value = f"NEW.{quote(column)}"
        return value if default is None else f"coalesce({value}, ({default}))"

    def _same(self, guard: str, row: str) -> str:
        """Whether a candidate and a row (OLD, NEW or an alias) are the same one."""
        if self.table.rowid is not None:
            return f"{guard}.row = {row}.{self.table.rowid}"
        places = [(self.table.columns.index(str(part.column)), part) for part in self.table.key_parts]
        parts = (
            f"{guard}.c{place} = {row}.{quote(str(part.column))} COLLATE {quote(part.collation)}"
            for place, part in places
        )
        return f"({' AND '.join(parts)})"

    def _same_candidate(self, other: str) -> str:
        if self.table.rowid is not None:
            return f"{other}.row = {self.name}.row"
        places = ((self.table.columns.index(str(part.column)), part.collation) for part in self.table.key_parts)
        parts = (f"{other}.c{place} = {self.name}.c{place} COLLATE {quote(how)}" for place, how in places)
        return f"({' AND '.join(parts)})"

    def _same_row(self, one: str, other: str) -> str:
        if self.table.rowid is not None:
            return f"({one}.{self.table.rowid} = {other}.{self.table.rowid})"
        parts = (
            f"{one}.{quote(str(part.column))} = {other}.{quote(str(part.column))} COLLATE {quote(part.collation)}"
            for part in self.table.key_parts
        )
        return f"({' AND '.join(parts)})"
