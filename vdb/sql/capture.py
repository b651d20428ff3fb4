"""What a session's statements did to the rows of its database: every change, whatever SQL caused it, in order.

TEMP triggers on each table that is written put both images of a row into one TEMP table. So SQLite itself undoes what
was captured with the statement, the savepoint or the transaction that it belongs to, and nothing here has to know of
them. That goes for the triggers as well: hence `prepare` looks before each statement what is in place.

    prepare()                 before each statement that writes
    before_schema_change()    before one that changes the schema, and
    after_schema_change()     after it; between the two the session's other statements stay out
    drain()                   at the end of the transaction: what it did

Rules
- The connection is in manual transaction mode. All calls are within a transaction that holds the write lock, so that
  nobody else changes the schema meanwhile; `pending` and `drain` may come outside of one, and find nothing.
- `after_schema_change` may refuse the statement that ran: the caller then undoes it, by a savepoint around the two.
- Our statements see nothing of what the connection's owner set: rows come as tuples, text as str.
- A trigger of an older layout may outlive its table (see capture_triggers). What it captures is of no known layout
  and isn't given out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

from vdb.changes import Layout, Step, Value
from vdb.errors import SqlRefused
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.store import SqliteError
from vdb.sql.altering import as_logged
from vdb.sql.capture_guard import Guard
from vdb.sql.capture_live import NO_NESTING, Live, check_capturable, check_rowids, guard_of, triggers_of
from vdb.sql.capture_rows import layout_of, read_steps, select_rows, text_or_raw
from vdb.sql.capture_triggers import (
    CREATE_CAPTURE,
    CREATE_SCRATCH,
    CREATE_STATE,
    LOG_SCHEMA,
    PREFIX,
    create_schema_trigger,
    restore_changes,
    schema_trigger_name,
    trigger_names,
)
from vdb.sql.catalog import Catalog
from vdb.sql.last_look import check_rows
from vdb.sql.names import CAPTURE_STATE_TABLE, CAPTURE_TABLE
from vdb.sql.schema_change import has_replace, parse_schema_statement
from vdb.sql.sequences import changed_sequences, read_sequences
from vdb.sql.tables import Cursor, Table, fold
from vdb.sql.untangle import untangle

_MAIN_COOKIE = "PRAGMA main.schema_version"
_TEMP_COOKIE = "PRAGMA temp.schema_version"
_STATE = f"SELECT generation, armed FROM temp.{CAPTURE_STATE_TABLE}"
_ARMED = f"SELECT armed FROM temp.{CAPTURE_STATE_TABLE}"
_ANY = f"SELECT 1 FROM temp.{CAPTURE_TABLE} LIMIT 1"
_CHANGES = "SELECT changes()"
_OURS = f"SELECT +name FROM temp.sqlite_master WHERE type = 'trigger' AND name LIKE '{PREFIX}%'"


class Capture:
    """Of one connection. `trusting` gives a context in which the connection's authorizer lets our statements pass."""

    def __init__(self, db: Connection, trusting: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._db: Any = db
        self._trusting = trusting
        cursor = cast(Any, db).cursor()
        cursor.row_factory = None  # the connection's owner may have set one
        self._cursor: Cursor = cursor
        self._seen: tuple[Any, ...] = ()
        self._generation = 0
        self._catalog: Catalog | None = None
        self._live: dict[str, Live] = {}
        self._covered: dict[tuple[tuple[str, ...] | None, bool], None] = {}
        self._nested: list[Guard] = []
        """Guards in place whose tables are entangled."""
        self._guards: dict[str, Guard] = {}
        """All that a rollback may bring back."""
        self._orphans: list[str] = []
        self._layouts: dict[int, Live] = {}
        self._replacing = False
        """Whether a REPLACE has been seen: guards cost, and most sessions never see one."""
        self._last_layout = 0
        self._selected = -1
        """For how many layouts `_select` reads."""
        self._select = ""
        self._sequences: list[tuple[Any, ...]] = []
        self._before_change = 0
        self._given = 0

    # Before and after statements ---------------------------------------------------------------------------------

    def prepare(self, writes: tuple[str, ...] | None = None, sql: str | None = None) -> None:
        """Make triggers fit the schema, before a statement that writes these tables and views; None: any.

        `writes` is what the statement itself names, as the schema or the user spells it; what foreign keys and
        triggers add is found here. `sql` is its text: None if a REPLACE may be in it.
        """
        replaces = sql is None or has_replace(sql)
        if replaces and not self._replacing:
            self._replacing = True
            self._covered.clear()
        state = self._read_state()
        self._sweep(state[2])
        if self._orphans or state[:3] != self._seen or (writes, replaces) not in self._covered:
            changes = self._changes()
            with self._trusting(), self._own_text():
                try:
                    self._fit(state, writes, replaces=replaces)
                except BaseException:
                    self._generation += 1  # no trust in what was half done
                    raise
                finally:
                    self._restore_changes(changes)
            state = self._read_state()
        assert self._catalog is not None
        if self._catalog.has_sequences and not state[3]:
            with self._trusting(), self._own_text():
                self._sequences = read_sequences(self._cursor)
                self._run(f"UPDATE {CAPTURE_STATE_TABLE} SET armed = 1")

    def before_schema_change(self, sql: str, verdict: Any = None) -> None:
        """Make way for the statement. SqlRefused if what it creates can't be captured."""
        statement = parse_schema_statement(sql)
        if statement.verb == "CREATE" and statement.kind == "VIRTUAL":
            raise SqlRefused(
                "CREATE VIRTUAL TABLE is refused: rows of a virtual table are changed past every trigger, "
                "so they can't be logged; keep them in an ordinary table"
            )
        changes = self._changes()
        drops = statement.verb == "DROP" and statement.kind == "TABLE"
        # DROP TABLE deletes rows that refer to the table's, where a foreign key says so.
        self.prepare((statement.name,) if drops else (), "")
        self._before_change = self._cookie(_MAIN_COOKIE)
        if statement.verb == "ALTER":
            with self._trusting(), self._own_text():
                self._remove(fold(statement.name))
                self._settle()
        with self._trusting():
            self._restore_changes(changes)

    def after_schema_change(self, sql: str, verdict: Any = None) -> None:
        """Log what the statement did. SqlRefused if rows of the table that it left can't be captured."""
        statement = parse_schema_statement(sql)
        if self._cookie(_MAIN_COOKIE) == self._before_change and statement.verb != "PRAGMA":
            return  # nothing to change was found, or what changed is TEMP
        changes = self._changes()
        self.prepare((), "")
        assert self._catalog is not None
        with self._trusting(), self._own_text():
            table = self._catalog.table(statement.name)
            if table is not None:
                check_rowids(table)
            if table is not None and statement.as_select:
                self._log_schema(self._created_sql(table), table)
            else:
                for text in as_logged(self._db, self._cursor, sql) if statement.verb == "ALTER" else (sql,):
                    self._log_schema(text)
            self._restore_changes(changes)

    # What was captured --------------------------------------------------------------------------------------------

    def pending(self) -> bool:
        """Whether anything was captured that hasn't been drained."""
        try:
            self._sweep_at_end()
            if self._cursor.execute(_ANY).fetchall():
                return True
        except SqliteError as error:
            _check_missing(error)
            return False
        with self._trusting():
            return self._armed() and bool(self._changed_sequences())

    def drain(self) -> tuple[tuple[Layout, ...], list[Step]]:
        """All that was captured since the last drain, or the transaction's begin, in order; and forget it."""
        try:
            self._sweep_at_end()
            rows = self._read_rows()
        except SqliteError as error:
            _check_missing(error)
            return (), []
        armed = self._armed()
        if not rows and not armed:
            return (), []
        layouts, steps = self._read_steps(rows)
        changes = self._changes()
        with self._trusting():
            if armed:
                steps += self._changed_sequences()
                self._run(f"UPDATE {CAPTURE_STATE_TABLE} SET armed = 0")
            if rows:
                self._forget_rows(len(rows), changes)
            elif changes != 1:
                self._restore_changes(changes)
        return layouts, steps

    def layout_of(self, table: str) -> int:
        """The layout by which the table's changes are captured now, once `prepare` was called for it."""
        return next(live.layout for live in self._live.values() if fold(live.table.name) == fold(table))

    @property
    def own_changes(self) -> int:
        """How many of the connection's `total_changes` are ours; neither what was undone meanwhile is
        counted, nor what guards did."""
        try:
            ((count,),) = self._cursor.execute(f"SELECT count(*) FROM temp.{CAPTURE_TABLE}").fetchall()
        except SqliteError as error:
            _check_missing(error)
            count = 0
        return self._given + int(count)

    def unnoticed(self, write: Callable[[], None]) -> None:
        """A write of ours that changes one row, within the transaction: `changes()` stays the user's."""
        changes = self._changes()
        write()
        if changes != 1:
            with self._trusting():
                self._restore_changes(changes)

    def make_way(self, *, stale_only: bool = True) -> bool:
        """Take our triggers away. `stale_only`: if they were put there for another schema, by now changed by another
        connection: they may no longer compile, nor would a statement that fires them. Whether there were any."""
        if stale_only and self._read_state()[:3] == self._seen:
            return False
        if not self._cursor.execute(_OURS).fetchall():
            return False
        mark("sql.made_way")
        changes = self._changes()
        self._sweep(self._read_state()[2])
        with self._trusting(), self._own_text():
            self._nested = []
            self._remove_all()
            self._settle()
            self._restore_changes(changes)
        self._seen = ()
        return True

    def uninstall(self) -> None:
        """Take our triggers away."""
        with self._trusting(), self._own_text():
            self._remove_all()
        self._seen = ()

    # Reading ------------------------------------------------------------------------------------------------------

    def _read_state(self) -> tuple[Any, ...]:
        """The schema's versions, whose triggers are in place, and whether sequences were read in this transaction."""
        try:
            ((generation, armed),) = self._cursor.execute(_STATE).fetchall()
        except (SqliteError, ValueError) as error:
            if not isinstance(error, ValueError):
                _check_missing(error)
            generation, armed = None, 0
        return self._cookie(_MAIN_COOKIE), self._cookie(_TEMP_COOKIE), generation, armed

    def _cookie(self, pragma: str) -> int:
        ((version,),) = self._cursor.execute(pragma).fetchall()
        return int(version)

    def _read_rows(self) -> list[tuple[Any, ...]]:
        if self._selected != len(self._layouts):
            self._selected = len(self._layouts)
            self._select = select_rows([live.table for live in self._layouts.values()])
        theirs = self._db.text_factory
        self._db.text_factory = str
        try:
            with self._trusting():
                return self._fetch(self._select)
        except SqliteError as error:
            if "decode" not in str(error):
                raise
            self._db.text_factory = text_or_raw
            with self._trusting():
                return self._fetch(self._select)
        finally:
            self._db.text_factory = theirs

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._cursor.execute(sql).fetchall()
        return rows

    def _read_steps(self, rows: list[tuple[Any, ...]]) -> tuple[tuple[Layout, ...], list[Step]]:
        used, steps = read_steps(rows, {layout: live.table for layout, live in self._layouts.items()})
        layouts = tuple(layout_of(self._layouts[number].table) for number in used)
        nestings = [self._layouts[number].nesting for number in used]
        if any(nesting.entangled for nesting in nestings):
            steps = untangle(layouts, steps, nestings)
            check_rows(self._look, [self._layouts[number].table for number in used], layouts, steps, nestings)
        return layouts, steps

    def _look(self, sql: str, parameters: Sequence[Value]) -> list[tuple[Value, ...]]:
        theirs, self._db.text_factory = self._db.text_factory, text_or_raw
        try:
            with self._trusting():
                rows: list[tuple[Value, ...]] = self._cursor.execute(sql, parameters).fetchall()
                return rows
        finally:
            self._db.text_factory = theirs

    def _armed(self) -> bool:
        """Whether sequences were read at the transaction's begin."""
        return self._catalog is not None and self._catalog.has_sequences and self._fetch(_ARMED) == [(1,)]

    def _changed_sequences(self) -> list[Step]:
        with self._own_text():
            return list(changed_sequences(self._sequences, read_sequences(self._cursor)))

    def _changes(self) -> int:
        """What `changes()` is: the user's, who must not see ours."""
        ((changes,),) = self._cursor.execute(_CHANGES).fetchall()
        return int(changes)

    # Installing ---------------------------------------------------------------------------------------------------

    def _fit(self, state: tuple[Any, ...], writes: tuple[str, ...] | None, *, replaces: bool) -> None:
        """Bring the triggers in line with the schema, for a statement that writes these."""
        if state[2] != self._generation:
            self._start_over(armed=state[3])
        elif self._orphans:
            self._drop(self._orphans)
        if self._catalog is None or state[:2] != self._seen[:2]:
            self._catalog = Catalog(self._cursor)
            self._covered.clear()
            self._replacing = self._replacing or self._catalog.may_replace
            for name, live in list(self._live.items()):
                if self._catalog.table(name) != live.table:
                    self._remove(name)
        reached = self._catalog.reach(writes)
        for name in reached:
            check_capturable(self._catalog, name, replaces=replaces)
        for name in reached:
            self._install(name, self._catalog)
        self._covered[writes, replaces] = None
        self._nested = [guard_of(live) for live in self._live.values() if live.guarded and live.nesting.entangled]
        self._guards.update({guard.name: guard for guard in self._nested})
        self._find_orphans()
        self._settle()

    def _settle(self) -> None:
        """Leave a sign that what is in place is what we know: a rollback takes it back too."""
        self._generation += 1
        self._run(f"UPDATE {CAPTURE_STATE_TABLE} SET generation = ?", (self._generation,))
        self._seen = self._read_state()[:3]

    def _start_over(self, *, armed: int) -> None:
        """Nothing is known of what is in place: the first time, or a rollback took back what we did."""
        mark("sql.capture_anew")
        self._remove_all()
        self._run(CREATE_CAPTURE)
        self._run(CREATE_STATE)
        self._run(CREATE_SCRATCH)
        self._run(f"UPDATE {CAPTURE_STATE_TABLE} SET armed = ?", (armed,))
        if not self._cursor.execute(_ANY).fetchall():
            self._layouts.clear()
            self._selected = -1
            self._guards.clear()
        self._catalog = None

    def _remove_all(self) -> None:
        self._live.clear()
        self._drop([name for (name,) in self._cursor.execute(_OURS).fetchall()])
        self._erase([name for (name,) in self._cursor.execute(_OURS).fetchall()])

    def _remove(self, name: str) -> None:
        live = self._live.pop(name, None)
        if live is not None:
            self._covered.clear()
            self._drop(trigger_names(live.layout))

    def _drop(self, triggers: Iterable[str]) -> None:
        for trigger in triggers:
            self._run(f"DROP TRIGGER IF EXISTS temp.{trigger}")

    def _install(self, name: str, catalog: Catalog) -> None:
        """See that the table's triggers are in place, and are the right ones."""
        table, nesting = catalog.table(name), catalog.nesting(name)
        assert table is not None, "a write reaches tables that are captured"
        guarded = self._replacing and not nesting.hides_replace
        live = self._live.get(name)
        if live is not None and (live.guarded, live.nesting) == (guarded, nesting):
            return
        self._remove(name)
        self._last_layout += 1
        live = Live(table=table, layout=self._last_layout, guarded=guarded, nesting=nesting)
        self._layouts[live.layout] = self._live[name] = live
        for statement in triggers_of(live):
            self._run(statement)

    def _find_orphans(self) -> None:
        """Triggers whose table another connection dropped: SQLite doesn't know them now, and may know them again."""
        ours = {trigger: None for live in self._live.values() for trigger in trigger_names(live.layout)}
        self._orphans = [name for (name,) in self._cursor.execute(_OURS).fetchall() if name not in ours]
        if self._orphans:
            mark("sql.orphaned_trigger")
            self._erase(self._orphans)
            self._orphans = []

    def _erase(self, triggers: Sequence[str]) -> None:
        """Take out of the TEMP schema what SQLite doesn't know any more, and ALTER TABLE would stumble over."""
        if triggers:
            self._run("PRAGMA writable_schema = ON")
            marks = ", ".join("?" * len(triggers))
            self._run(f"DELETE FROM temp.sqlite_master WHERE type = 'trigger' AND name IN ({marks})", tuple(triggers))
            self._run("PRAGMA writable_schema = RESET")

    # Logging ------------------------------------------------------------------------------------------------------

    def _log_schema(self, sql: str, created: Table | None = None) -> None:
        """A statement that changed the schema; `created`: a table that it filled."""
        self._last_layout += 1
        layout = self._last_layout
        if created is not None:
            self._layouts[layout] = Live(table=created, layout=layout, guarded=False, nesting=NO_NESTING)
        self._run(create_schema_trigger(layout, created))
        self._run(LOG_SCHEMA, (sql,))
        self._drop([schema_trigger_name(layout)])
        self._settle()

    def _created_sql(self, table: Table) -> str:
        """The table as CREATE TABLE AS SELECT made it."""
        text = "SELECT +sql FROM main.sqlite_master WHERE type = 'table' AND name = ?"
        ((sql,),) = self._cursor.execute(text, (table.name,)).fetchall()
        return str(sql)

    def _sweep(self, generation: int | None) -> None:
        """Let the guards of entangled tables say what the last statement left to them."""
        if not self._guards:
            return
        with self._trusting(), self._own_text():
            guards = self._nested
            if generation != self._generation:
                # A rollback brought older guards back, with what they held.
                guards = [guard for name, guard in self._guards.items() if self._has_table(name)]
            for guard in guards:
                if self._cursor.execute(f"SELECT 1 FROM temp.{guard.name} LIMIT 1").fetchall():
                    for statement in guard.sweep():
                        self._run(statement)

    def _sweep_at_end(self) -> None:
        if self._guards:
            changes = self._changes()
            self._sweep(self._read_state()[2])
            with self._trusting():
                self._restore_changes(changes)

    def _has_table(self, name: str) -> bool:
        text = "SELECT 1 FROM temp.sqlite_master WHERE type = 'table' AND name = ?"
        return bool(self._cursor.execute(text, (name,)).fetchall())

    def _forget_rows(self, count: int, changes: int) -> None:
        """Empty the capture table of its `count` rows; `changes()` is as it was."""
        self._given += count
        if 0 < changes < count:
            # The last statement is one that changes as many rows as the user's did.
            last = f"SELECT seq FROM temp.{CAPTURE_TABLE} ORDER BY seq DESC LIMIT 1 OFFSET {changes}"
            self._run(f"DELETE FROM temp.{CAPTURE_TABLE} WHERE seq <= ({last})")
        self._run(f"DELETE FROM temp.{CAPTURE_TABLE}")
        if changes == 0 or changes > count:
            self._restore_changes(changes)

    def _restore_changes(self, changes: int) -> None:
        for statement in restore_changes(changes):
            self._run(statement)

    def _run(self, sql: str, parameters: tuple[Any, ...] = ()) -> None:
        self._given += max(0, self._cursor.execute(sql, parameters).rowcount)

    @contextmanager
    def _own_text(self) -> Iterator[None]:
        """Text as str, whatever the connection's owner wants of it."""
        theirs = self._db.text_factory
        self._db.text_factory = str
        try:
            yield
        finally:
            self._db.text_factory = theirs


def _check_missing(error: BaseException) -> None:
    """A TEMP table that isn't there: nothing was installed, or it was undone. Other errors go on."""
    if "no such table" not in str(error):
        raise error
