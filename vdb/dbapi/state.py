"""What a connection's cursors work on: its session, who may use it, and what is known of each statement's text.

`reads` names the statements that may go straight to SQLite. It is empty while the connection isn't open, and while
something has to be set before each of them, or told. `careful` says that code of the program's may run inside of SQLite
(functions, collations, handlers), or that several threads may use the connection: then each step is guarded against
statements that use their own cursor, or close their own connection, from within, and one thread works at a time. (The
binding asks for its values with the interpreter's lock held, and SQLite asks the authorizer, which needs that lock.)
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field, frozen

from vdb.changes import NOBODY, Attribution
from vdb.dbapi.attribution import current
from vdb.dbapi.backend import Backend, LocalBackend
from vdb.dbapi.constants import LEGACY_TRANSACTION_CONTROL
from vdb.dbapi.errors import DataError, Error, OperationalError, ProgrammingError, Warning, completed, translated
from vdb.errors import ForkedHandle, VerityError
from vdb.projections.store import compile_statement
from vdb.sql.hiding import without_own
from vdb.sql.keywords import leading_words, split_script, tokens
from vdb.sql.results import Result
from vdb.sql.sqlite_api import limit
from vdb.sql.verdict import StatementKind
from vdb.world.guard import after_fork
from vdb.world.threads import RLock, thread_ident
from vdb.world.using import Using

TEXTS_MAX = 512
"""Statements that a connection knows, at most."""

TEXT_SIZE_MAX = 32_768
"""Characters of a statement that is remembered."""

SQL_LENGTH_MAX = 1_000_000_000
"""SQLite's own limit."""

_CHANGES_ROWS = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_WRITES = (StatementKind.WRITE, StatementKind.SCHEMA)
_HARMLESS = (StatementKind.READ, StatementKind.EXPLAIN, StatementKind.PRAGMA_READ, StatementKind.EMPTY)
_GONE = "Cannot operate on a closed database."
_ANEW = "Its file is built anew, since something in it was erased or damaged, or its key has changed: connect again"
_SEVERAL = "You can only execute one statement at a time."


@frozen
class Facts:
    """What a statement's text says."""

    kind: StatementKind
    changes_rows: bool
    """Whether it begins as one that a transaction is begun for."""
    returns_rows: bool


@frozen
class Failure:
    """A program's function raised an error inside of SQLite, which knows only that it failed."""

    error: BaseException
    text: str
    """What the program is told; empty: what SQLite says."""


@define
class Traced:
    """A statement whose runs the trace callback is told of, each once: SQLite tells of its triggers as well."""

    beginning: str
    due: bool = True

    def each(self, parameters: Iterable[Any]) -> Iterator[Any]:
        """The parameters; each of them is a run."""
        for each in parameters:
            self.due = True
            yield each

    def is_due(self, statement: str) -> bool:
        """Whether this is the statement, and to be told."""
        due = self.due and statement.startswith(self.beginning)
        self.due = self.due and not due
        return due


@define
class Called:
    """What a connection shares with the functions that SQLite calls, which must not keep it alive."""

    failure: Failure | None = None
    tracer: Callable[[str], Any] | None = None
    held: int = 0
    """Callbacks that run now within which the connection can't be used."""
    authorizes: bool = False
    """Whether the program has an authorizer."""
    authorizing: bool = False
    """Whether it is asked: about the program's own statements alone."""
    tracing: list[Traced] = field(factory=list)
    """The statements that the program runs now, one within another."""


class ConnectionState:
    """The part of a connection that its cursors see."""

    backend: Backend | None = None
    """None: not opened, or closed."""
    db: Any = None
    """SQLite's own connection, where the session is in this process."""
    using = Using()
    """Says that the connection is at work: around what goes straight to SQLite."""
    thread: int | None = 0
    """The thread that may use it; None: any."""
    opened = False
    forked = False
    direct = False
    """Whether statements may be run at once: nothing has to be set before, or told."""
    careful = False
    special = False
    """Whether a read needs more than to be run: it may call code of the program's, or its rows are converted."""
    busy = 0
    """Statements that run now, one within another."""
    within = 0
    """Those of them that the session runs."""
    read_only = False
    is_kept = False
    """Whether a policy or the audit log has a say: no read goes straight to SQLite."""
    detect_types = 0
    begin: str | None = None
    """How a transaction is begun before a statement that changes rows; None: it isn't."""
    text_wanted: Any = str
    sql_length_max = SQL_LENGTH_MAX
    attribution: Attribution = NOBODY
    autocommit: Any = LEGACY_TRANSACTION_CONTROL

    def __init__(self) -> None:
        self.reads: dict[str, bool] = {}
        self.facts: dict[str, Facts] = {}
        self.limits: dict[int, int] = {}
        """Limits that the program has set."""
        self.called = Called()
        self.turn = RLock()
        """Of the threads that use the connection, where several may: one at a time."""

    def ready(self) -> Backend:
        """The session, for a statement or a setting. ProgrammingError in a wrong thread, or where there is none."""
        if self.opened and not self.forked:
            self.check_thread()
        return self.alive()

    def alive(self) -> Backend:
        """The session, for what may be asked in any thread. ProgrammingError where there is none."""
        if not self.opened:
            raise ProgrammingError("Base Connection.__init__ not called.")
        if self.forked:
            raise translated(ForkedHandle("this connection was opened before a fork: connect anew in the child"))
        if self.backend is None:
            raise ProgrammingError("Cannot operate on a closed database.")
        self.check_held()
        return self.backend

    def check_held(self) -> None:
        """ProgrammingError within a handler, a trace, an authorizer or a collation: SQLite is in the midst of it."""
        if self.called.held:
            raise ProgrammingError("A connection can't be used from within its own handlers and collations.")

    def check_alone(self) -> None:
        """OperationalError while a statement that changes something runs, from within a function that it calls."""
        if self.within:
            raise completed(OperationalError("cannot change anything from within a statement that changes something"))

    def check_thread(self) -> None:
        """ProgrammingError in a thread that may not use the connection."""
        here = thread_ident()
        if self.thread is not None and self.thread != here:
            raise ProgrammingError(
                "SQLite objects created in a thread can only be used in that same thread. The object was created in "
                f"thread id {self.thread} and this is thread id {here}."
            )

    @contextmanager
    def in_any_thread(self) -> Iterator[None]:
        """What copies a database writes here for another connection, in that one's thread."""
        thread, self.thread = self.thread, None
        try:
            yield
        finally:
            self.thread = thread

    def settle(self) -> None:
        """Something was set: find out anew how statements are run."""
        called = self.called
        self.reads, self.facts = {}, {}
        self.direct = (
            self.db is not None
            and not self.is_kept
            and self.text_wanted is str
            and not self.limits
            and called.tracer is None
            and not called.authorizes
        )

    def beware(self) -> None:
        """Python code may run inside of SQLite from now on, and other sessions can't run our statements."""
        self.careful = self.special = True
        session = None if self.backend is None else self.backend.session
        if session is not None:
            session.shares = False
            session.generation += 1

    def facts_of(self, sql: str) -> Facts:
        """What the statement is. Raises what SQLite, or VerityDB, says against it."""
        found = self.facts.get(sql)
        if found is None:
            check_text(sql, self.sql_length_max)
            backend = self.ready()
            with self.limited(), self.running():
                verdict = backend.verdict(sql)
            _check_alone(sql)
            if self.read_only and verdict.kind in _WRITES:
                raise completed(OperationalError("attempt to write a readonly database"))
            words = leading_words(sql, 1)
            found = Facts(verdict.kind, bool(words) and words[0] in _CHANGES_ROWS, verdict.returns_rows)
            if len(sql) <= TEXT_SIZE_MAX:
                self._remember(sql, found)
        return found

    @contextmanager
    def running(self) -> Iterator[None]:
        """While SQLite works for the program: errors are those of the DB-API, and nobody closes the connection."""
        with self.turn:
            self.busy += 1
            try:
                yield
            except (Error, Warning, VerityError) as error:
                raise self.seen(error) from (error if isinstance(error, VerityError) else error.__cause__)
            finally:
                self.busy -= 1

    @contextmanager
    def asking(self, *, changes: bool = True) -> Iterator[None]:
        """While the session runs a statement: functions and generators that it calls can read, and change nothing."""
        with self.turn:
            if changes:
                self.check_alone()
            self.within += 1
            try:
                with self.running():
                    yield
            finally:
                self.within -= 1

    def seen(self, error: BaseException) -> BaseException:
        """What the program sees of an error of the session's."""
        if isinstance(error, VerityError):
            return translated(error)
        if isinstance(error, Error):
            return self.told(error)
        return ProgrammingError(_SEVERAL) if str(error) == _SEVERAL else error

    def told(self, error: Error) -> BaseException:
        """What the program sees of an error of SQLite's."""
        failure, self.called.failure = self.called.failure, None
        if self.backend is not None:
            self.backend.notice()
            if str(error) == _GONE or (self.using.gone and str(error) == "interrupted"):
                return completed(ProgrammingError(f"{_GONE} {_ANEW}"))
        if failure is None:
            return completed(error)
        if isinstance(failure.error, MemoryError):
            return failure.error
        if isinstance(failure.error, OverflowError):
            return completed(DataError("string or blob too big"))
        return completed(OperationalError(failure.text) if failure.text else error)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While SQLite makes rows for the program: text is as the program wants it, limits are the program's."""
        db = self.db
        before = db.text_factory
        db.text_factory = self.text_wanted
        try:
            with self.limited(), self.running():
                yield
        finally:
            db.text_factory = before

    @contextmanager
    def limited(self) -> Iterator[None]:
        """While the program's limits count: what VerityDB runs itself has SQLite's own."""
        before = [(category, limit(self.db, category, value)) for category, value in self.limits.items()]
        try:
            yield
        finally:
            for category, value in before:
                limit(self.db, category, value)

    @contextmanager
    def traced(self, sql: str) -> Iterator[None]:
        """While this statement of the program's runs: the trace callback is told of it."""
        called = self.called
        if called.tracer is None:
            yield
            return
        called.tracing.append(Traced(_traceable(without_own(sql))))
        try:
            yield
        finally:
            called.tracing.pop()

    def run(self, sql: str, parameters: Any, facts: Facts) -> Any:
        """Run one statement: a cursor of SQLite's, or a result."""
        backend = self.ready()
        if facts.kind is StatementKind.READ and isinstance(backend, LocalBackend):
            with self.asking(changes=False):
                if self.is_kept:
                    self.attribute(backend)
                admission = backend.admit(sql, names=self.text_wanted is str)
            with self.reading(), self.authorized():
                return backend.read(admission, parameters)
        with self.asking(changes=facts.kind not in _HARMLESS):
            self._prepare(backend, sql)
            return _source(backend.execute(sql, parameters))

    def run_many(self, sql: str, parameters: Iterable[Any], facts: Facts) -> Any:
        """Run one statement for each of the parameters. Rows that it returns are thrown away."""
        backend = self.ready()
        if facts.returns_rows:
            return self._run_each(sql, parameters, facts)
        if self.called.tracing:
            parameters = self.called.tracing[-1].each(parameters)
        with self.asking():
            self._prepare(backend, sql)
            return _source(backend.executemany(sql, parameters))

    def _run_each(self, sql: str, parameters: Iterable[Any], facts: Facts) -> Result:
        """The binding refuses statements that return rows once the first has run: so they are run one by one."""
        found = Result(rowcount=0)
        for each in parameters:
            one = self.run(sql, each, facts)
            found = Result(description=one.description, rowcount=found.rowcount + one.rowcount)
        return found

    def _prepare(self, backend: Backend, sql: str) -> None:
        if self.called.authorizes:
            self._ask_authorizer(sql)
        if self.db is None:
            backend.read_text_as(self.text_wanted)
        self.attribute(backend)

    @contextmanager
    def authorized(self) -> Iterator[None]:
        """While SQLite prepares a statement of the program's: its authorizer is asked."""
        before, self.called.authorizing = self.called.authorizing, True
        try:
            yield
        finally:
            self.called.authorizing = before

    def _ask_authorizer(self, sql: str) -> None:
        """Ask the program's authorizer about a statement that runs with what VerityDB adds to it."""
        with self.authorized():
            compile_statement(self.db, sql)

    def run_script(self, script: str) -> None:
        """Run all statements of a text; their rows are thrown away."""
        if "\0" in script:
            raise ValueError("embedded null character")
        check_text(script, self.sql_length_max)
        backend = self.ready()
        if self.autocommit == LEGACY_TRANSACTION_CONTROL and backend.in_transaction:
            with self.traced("COMMIT"), self.asking():
                backend.commit()
        for sql in split_script(script):
            facts = self.facts_of(sql)
            with self.traced(sql):
                source = self.run(sql, (), facts)
                with self.running():
                    source.fetchall()

    def begin_if_wanted(self) -> None:
        """Begin a transaction before a statement that changes rows, unless one is open."""
        backend = self.ready()
        with self.turn:
            if self.begin is not None and not backend.in_transaction:
                self.begin_now(self.begin)

    def begin_now(self, sql: str) -> None:
        """Begin a transaction."""
        backend = self.ready()
        with self.traced(sql), self.asking():
            self.attribute(backend)
            backend.execute(sql)

    def attribute(self, backend: Backend) -> None:
        """Say on whose behalf the transaction is, unless it has written already."""
        session = backend.session
        if session is None or not session.holds_lease:
            backend.attribute(current(self.attribution))

    def _remember(self, sql: str, facts: Facts) -> None:
        if len(self.facts) >= TEXTS_MAX:
            self.facts = {}
            self.reads = {}
        self.facts[sql] = facts
        if facts.kind is StatementKind.READ and self.direct and without_own(sql) is sql:
            self.reads[sql] = True


_all: weakref.WeakSet[ConnectionState] = weakref.WeakSet()
_of_the_parent: list[Backend | None] = []
"""What a forked child inherited, kept so that SQLite closes none of it: the files are the parent's."""


def opened(state: ConnectionState) -> None:
    """Remember a connection, so that it ends in a forked child."""
    _all.add(state)


def _end_in_child() -> None:
    for state in list(_all):
        _of_the_parent.append(state.backend)
        state.backend, state.forked, state.careful = None, True, True
        state.reads, state.facts = {}, {}


after_fork(_end_in_child)

CLOSED = ConnectionState()
"""What a cursor works on that isn't made yet, or is closed."""


def check_text(sql: str, maximum: int) -> None:
    """Refuse texts that can't be statements."""
    if len(sql) > maximum or len(sql.encode()) > maximum:
        raise DataError("query string is too large")
    if "\0" in sql:
        raise ProgrammingError("the query contains a null character")


def _check_alone(sql: str) -> None:
    """Refuse a text of several statements: SQLite prepares the first of them, and what follows may be anything."""
    if ";" in sql and len(split_script(sql)) > 1:
        raise ProgrammingError(_SEVERAL)


def _traceable(sql: str) -> str:
    """The beginning of a statement, up to its first parameter: SQLite traces it with the values filled in."""
    first = next((token for token in tokens(sql) if token.kind == "variable"), None)
    return sql.rstrip("; \t\r\n") if first is None else sql[: first.end - len(first.text)]


def _source(result: Result) -> Any:
    """What rows are fetched from."""
    return result if result.cursor is None else result.cursor
