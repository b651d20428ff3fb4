"""Cursors: a statement that was run, and its rows.

Most statements are reads of a text that was seen before, with parameters of SQLite's own types: those go straight to
SQLite. Everything else takes the long way, where parameters are adapted, a transaction is begun, the session runs the
statement, and a cursor that is used from within its own statement is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vdb.dbapi.adapting import each_of, known, parameters_of
from vdb.dbapi.converting import Plan, converted, plain_description, plan_of
from vdb.dbapi.errors import Error, ProgrammingError, translated
from vdb.dbapi.state import CLOSED, ConnectionState, Facts
from vdb.dbapi.telling import ToldRows
from vdb.errors import VerityError
from vdb.projections.store import open_plain_memory
from vdb.sql.results import Result
from vdb.sql.verdict import StatementKind
from vdb.world.threads import thread_ident

C = TypeVar("C", bound="Cursor")

_READS = (StatementKind.READ, StatementKind.EXPLAIN, StatementKind.PRAGMA_READ)
_RECURSIVE = "Recursive use of cursors not allowed."
_NOT_INITIALISED = "Base Cursor.__init__ not called."


class Cursor:
    """PEP 249's cursor, with what Python's `sqlite3` adds."""

    connection: Any = None
    arraysize = 1
    _state: ConnectionState = CLOSED
    """The connection's; CLOSED once the cursor is closed."""
    _source: Any = None
    """Where rows come from: a cursor of SQLite's, or a result."""
    _own: Any = None
    """A cursor of SQLite's that is used again and again for reads."""
    _fetch_own: Any = None
    _next: Any = None
    """Fetches the next row where rows go to the program as SQLite gives them; else None."""
    _recode: Any = None
    """The program's text factory, for rows that came as str: VerityDB's own statements ran beside this one."""
    _row_factory: Any = None
    _plan: Plan | None = None
    _shape: Any = None
    _lastrowid: int | None = None
    _locked = False

    def __init__(self, connection: Any, /) -> None:
        if self.connection is not None or not isinstance(connection, ConnectionState) or connection.backend is None:
            self._check_making(connection)
        self.connection = self._state = connection
        self._own = self._next = self._row_factory = None

    def _check_making(self, connection: Any) -> None:
        if self._locked:
            raise ProgrammingError(_RECURSIVE)
        if not isinstance(connection, ConnectionState):
            raise TypeError(f"Cursor() argument 1 must be a Connection, not {type(connection).__name__}")
        connection.ready()
        self._reset()

    # Running -----------------------------------------------------------------------------------------------------

    def execute(self: C, sql: str, parameters: Any = (), /) -> C:
        """Run one statement."""
        state = self._state
        thread = state.thread
        if sql in state.reads and (thread is None or thread == thread_ident()) and type(parameters) is tuple:
            plain = known.plain
            for each in parameters:
                if type(each) not in plain:
                    break
            else:
                own = self._own
                if own is None:
                    own = self._own = state.db.cursor()
                    self._fetch_own = own.fetchone
                if state.special:
                    self._read_specially(sql, parameters)
                    return self
                using = state.using
                using.inside += 1
                if using.gone:
                    using.wait()
                try:
                    own.execute(sql, parameters)
                except Error as error:
                    self._source = self._next = None
                    raise state.told(error) from None
                finally:
                    using.inside -= 1
                self._source = own
                self._next = self._fetch_own if self._row_factory is None else None
                return self
        self._execute(sql, parameters, many=False)
        return self

    def _read_specially(self, sql: str, parameters: tuple[Any, ...]) -> None:
        """Run a read straight on SQLite, from which the program's own functions may be called."""
        if self._locked:
            raise ProgrammingError(_RECURSIVE)
        state, own = self._state, self._own
        state.check_held()
        self._source = self._next = None
        state.turn.acquire()
        self._locked = True
        state.busy += 1
        state.using.enter()
        try:
            own.execute(sql, parameters)
        except Error as error:
            raise state.told(error) from None
        finally:
            state.using.leave()
            self._locked = False
            state.busy -= 1
            state.turn.release()
        self._source = own
        self._plan = plan_of(own.description, state.detect_types) if state.detect_types else None
        if self._plan is None and self._row_factory is None:
            self._next = self._fetch_own

    def executemany(self: C, sql: str, parameters: Any, /) -> C:
        """Run one statement that changes rows, once for each of several parameters."""
        self._execute(sql, parameters, many=True)
        return self

    def executescript(self: C, script: str, /) -> C:
        """Run all statements of a text. An open transaction is committed before, unless `autocommit` is set."""
        state = self._ready()
        if not isinstance(script, str):
            raise TypeError(f"executescript() argument must be str, not {type(script).__name__}")
        self._reset()
        with self._lock():
            state.run_script(script)
        return self

    def _write(self, state: ConnectionState, sql: str, parameters: Any, facts: Facts) -> None:
        """Run a statement that changes rows, and was run before."""
        backend = state.backend
        assert backend is not None
        self._source = self._own = self._shape = self._plan = self._next = self._recode = None
        state.turn.acquire()
        try:
            state.check_alone()
            self._locked = True
            state.busy += 1
            state.within += 1
        except BaseException:
            state.turn.release()
            raise
        try:
            if facts.changes_rows and state.begin is not None and not backend.in_transaction:
                state.within -= 1
                try:
                    state.begin_now(state.begin)
                finally:
                    state.within += 1
            bound = parameters_of(parameters)
            state.attribute(backend)
            result = backend.execute(sql, bound)
        except (Error, VerityError) as error:
            raise state.seen(error) from (error if isinstance(error, VerityError) else error.__cause__)
        finally:
            self._locked = False
            state.busy -= 1
            state.within -= 1
            state.turn.release()
        self._source = result if result.cursor is None else result.cursor
        if result.lastrowid is not None:
            self._lastrowid = result.lastrowid
        if result.description is not None:
            self._plan = plan_of(result.description, state.detect_types) if state.detect_types else None
            self._simplify()

    def _execute(self, sql: str, parameters: Any, *, many: bool) -> None:
        state = self._ready()
        known_facts = state.facts.get(sql) if state.direct and not many and type(sql) is str else None
        if known_facts is not None and known_facts.kind is StatementKind.WRITE:
            self._write(state, sql, parameters, known_facts)
            return
        if not isinstance(sql, str):
            raise TypeError(f"execute() argument 1 must be str, not {type(sql).__name__}")
        rows = each_of(parameters) if many else iter(())
        self._reset()
        with self._lock():
            facts = state.facts_of(sql)
            if many and facts.kind in _READS:
                raise ProgrammingError("executemany() can only execute DML statements.")
            if facts.changes_rows:
                state.begin_if_wanted()
            with state.traced(sql):
                source = state.run_many(sql, rows, facts) if many else state.run(sql, parameters_of(parameters), facts)
        if facts.kind is StatementKind.EMPTY:
            return
        self._source = source
        if state.text_wanted is not str and state.db is not None and facts.kind is not StatementKind.READ:
            self._recode = state.text_wanted
        self._plan = plan_of(source.description, state.detect_types) if state.detect_types else None
        self._simplify()
        if not many and facts.kind not in _READS and source.lastrowid is not None:
            self._lastrowid = source.lastrowid

    # Fetching ----------------------------------------------------------------------------------------------------

    def fetchone(self) -> Any:
        """The next row, or None."""
        fetch = self._next
        if fetch is not None:
            state = self._state
            thread = state.thread
            if (thread is None or thread == thread_ident()) and not state.careful:
                using = state.using
                using.inside += 1
                if using.gone:
                    using.wait()
                try:
                    return fetch()
                except Error as error:
                    raise state.told(error) from None
                finally:
                    using.inside -= 1
        rows = self._fetch(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows, `arraysize` unless said otherwise; none at the end."""
        return self._fetch(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return self._fetch(None)

    def __iter__(self) -> Iterator[Any]:
        if self._next is None or self._state.careful:
            return self
        self._ready()
        return self._rows()

    def __next__(self) -> Any:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def _rows(self) -> Iterator[Any]:
        """The rows as SQLite gives them, as long as no other statement is run; then that one's."""
        fetch, using = self._next, self._state.using
        try:
            while fetch is not None and fetch is self._next:
                using.inside += 1
                if using.gone:
                    using.wait()
                try:
                    row = fetch()
                finally:
                    using.inside -= 1
                if row is None:
                    return
                yield row
        except Error as error:
            raise self._state.told(error) from None
        while (row := self.fetchone()) is not None:
            yield row

    def _fetch(self, count: int | None) -> list[Any]:
        """Up to `count` rows, or all, as the program wants them."""
        state = self._ready()
        source = self._source
        if source is None:
            return []
        wanted = state.text_wanted
        db = None if wanted is str or self._recode is not None else state.db
        state.turn.acquire()
        if db is not None:
            before, db.text_factory = db.text_factory, wanted
        self._locked = True
        state.busy += 1
        using = None if isinstance(source, ToldRows) else state.using  # those wait for the loop in between
        if using is not None:
            using.enter()
        try:
            if count is None:
                rows = source.fetchall()
            elif count == 1:
                row = source.fetchone()
                rows = [] if row is None else [row]
            else:
                rows = source.fetchmany(count)
            recode = self._recode
            if recode is not None:
                rows = [tuple(recode(each.encode()) if type(each) is str else each for each in row) for row in rows]
            plan = self._plan
            if plan is not None:
                rows = [converted(row, plan) for row in rows]
            factory = self._row_factory
            return rows if factory is None else [factory(self, row) for row in rows]
        except Error as error:
            raise state.told(error) from None
        except VerityError as error:
            raise translated(error) from error
        finally:
            if using is not None:
                using.leave()
            self._locked = False
            state.busy -= 1
            if db is not None:
                db.text_factory = before
            state.turn.release()

    # What it says of itself --------------------------------------------------------------------------------------

    @property
    def description(self) -> tuple[tuple[Any, ...], ...] | None:
        """The result's columns, by name; None if the statement gives no rows."""
        source = self._source
        return None if source is None else plain_description(source.description, self._state.detect_types)

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed; -1 for other statements."""
        return -1 if self._source is None else int(self._source.rowcount)

    @property
    def lastrowid(self) -> int | None:
        """The rowid of the row that was inserted last."""
        return self._lastrowid

    @property
    def row_factory(self) -> Any:
        """Called with the cursor and a row, a tuple; what it returns is what is fetched."""
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._row_factory = factory
        self._simplify()

    def shape(self) -> Any:
        """A cursor of SQLite's with this one's columns."""
        if self._state.db is not None and self._source is self._own and not self._state.detect_types:
            return self._own
        if self._shape is None:
            description = self.description or ()
            names = ", ".join(f'NULL AS "{_quoted(column[0])}"' for column in description)
            # The cursor keeps its connection; it is never stepped.
            self._shape = open_plain_memory().execute(f"SELECT {names or 'NULL'} LIMIT 0")
        return self._shape

    # The rest of PEP 249 -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give the statement back. The cursor can't be used any more."""
        if self.connection is None:
            raise ProgrammingError(_NOT_INITIALISED)
        if self._locked:
            raise ProgrammingError(_RECURSIVE)
        self.connection.check_thread()
        if self.connection.backend is None:
            self._state = CLOSED
            raise ProgrammingError("Cannot operate on a closed database.")
        ended = None if self._source is None else Result(description=self.description, rowcount=self.rowcount)
        self._reset()
        self._state = CLOSED
        self._source = ended  # what it did can be asked for still

    def setinputsizes(self, sizes: Any, /) -> None:
        """Required by PEP 249; does nothing."""

    def setoutputsize(self, size: Any, column: Any = None, /) -> None:
        """Required by PEP 249; does nothing."""

    # Guards --------------------------------------------------------------------------------------------------------

    def _ready(self) -> ConnectionState:
        if self.connection is None:
            raise ProgrammingError(_NOT_INITIALISED)
        if self._locked:
            raise ProgrammingError(_RECURSIVE)
        self.connection.ready()
        state = self._state
        if state is CLOSED:
            raise ProgrammingError("Cannot operate on a closed cursor.")
        return state

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._locked = True
        try:
            yield
        finally:
            self._locked = False

    def _reset(self) -> None:
        """Let go of the statement before."""
        self._source = self._own = self._shape = self._plan = self._next = self._recode = None

    def _simplify(self) -> None:
        """Whether rows go to the program as SQLite gives them."""
        simple = (
            self._source is not None
            and self._row_factory is None
            and self._plan is None
            and self._state.text_wanted is str
            and self._state.db is not None
            and not self._state.is_kept
        )
        self._next = self._source.fetchone if simple else None


def _quoted(name: str) -> str:
    return name.replace('"', '""')
