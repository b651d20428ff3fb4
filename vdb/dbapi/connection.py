"""Connections: PEP 249's, with what Python's `sqlite3` adds, and on whose behalf transactions are made.

Transactions are begun as `sqlite3` does it. With `autocommit=LEGACY_TRANSACTION_CONTROL`, the default, one begins by
itself before INSERT, UPDATE, DELETE and REPLACE, in the mode that `isolation_level` says; None leaves it to the
program. With `autocommit=False` one is always open; with True none begins by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

from vdb.dbapi import errors
from vdb.dbapi.attribution import own_attribution
from vdb.dbapi.blob import Blob
from vdb.dbapi.callbacks import Callbacks
from vdb.dbapi.constants import LEGACY_TRANSACTION_CONTROL
from vdb.dbapi.copying import copy_database, deserialize, dump, serialize
from vdb.dbapi.cursor import Cursor
from vdb.dbapi.errors import OperationalError, ProgrammingError, translated
from vdb.dbapi.opening import open_backend
from vdb.dbapi.state import opened
from vdb.errors import VerityError
from vdb.sql.diffing import TableDiff
from vdb.sql.explanation import Explanation
from vdb.sql.history import Version
from vdb.sql.moment import AnyMoment, parse_moment
from vdb.world.threads import thread_ident

C = TypeVar("C", bound="Connection")

_LEVELS = ("", "DEFERRED", "IMMEDIATE", "EXCLUSIVE")
_ROWS_AT_ONCE = 250


class Connection(Callbacks):
    """One session with a database. See `vdb.dbapi.connect` for the arguments."""

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    row_factory: Any = None
    """Given to each cursor."""

    def __new__(cls: type[C], *_: Any, **__: Any) -> C:
        connection = super().__new__(cls)
        connection.reads, connection.facts, connection.limits = {}, {}, {}
        return connection

    def __init__(
        self,
        database: Any,
        timeout: float = 5.0,
        detect_types: int = 0,
        isolation_level: str | None = "",
        check_same_thread: bool = True,
        factory: Any = None,
        cached_statements: int = 128,
        uri: bool = False,
        *,
        autocommit: bool | int = LEGACY_TRANSACTION_CONTROL,
        keys: Any = None,
        tenant: int = 1,
        name: str = "main",
        region: str | None = None,
        actor: str = "",
        purpose: str = "",
        metadata: Mapping[str, str] | None = None,
        as_of: Any = None,
        principal: str = "embedded",
        receipts: bool | None = None,
    ) -> None:
        begin = _begin(isolation_level)
        if autocommit not in (True, False, LEGACY_TRANSACTION_CONTROL):
            raise ValueError("autocommit must be True, False, or LEGACY_TRANSACTION_CONTROL")
        if self.busy:
            raise ProgrammingError("Cannot open a connection anew while one of its statements runs.")
        if self.opened:
            self._forget()
        super().__init__()
        backend = open_backend(
            database,
            uri=uri,
            timeout=timeout,
            cached_statements=cached_statements,
            keys=keys,
            tenant=tenant,
            name=name,
            region=region,
            as_of=as_of,
            principal=principal,
            receipts=receipts,
        )
        self.opened, self.forked = True, False
        self.backend = backend
        opened(self)
        self.db = None if backend.session is None else backend.session.db
        self.using = backend.using
        self.thread = thread_ident() if check_same_thread else None
        self.read_only, self.is_kept = backend.read_only, backend.is_kept
        self.detect_types = detect_types
        self.careful = not check_same_thread
        self.special = self.careful or bool(detect_types)
        self.text_wanted = str
        self.settle()
        self.row_factory = None
        self._isolation_level = isolation_level
        self._autocommit = autocommit
        self.begin = begin if autocommit == LEGACY_TRANSACTION_CONTROL and autocommit is not False else None
        self.attribution = own_attribution(actor, purpose, metadata)
        if autocommit is False:
            self.begin_now("BEGIN")

    # Statements --------------------------------------------------------------------------------------------------

    def cursor(self, factory: Any = Cursor) -> Any:
        """A new cursor."""
        self.ready()
        if factory is Cursor:
            cursor = Cursor(self)
        else:
            cursor = factory(self)
            if not issubclass(type(cursor), Cursor):
                raise TypeError(f"factory must return a cursor, not {type(cursor).__name__}")
        if self.row_factory is not None:
            cursor.row_factory = self.row_factory
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Run one statement in a new cursor."""
        if self.backend is None or type(self) is not Connection or self.row_factory is not None:
            return self.cursor().execute(sql, parameters)
        return Cursor(self).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run one statement for each of several parameters, in a new cursor."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str, /) -> Any:
        """Run all statements of a text, in a new cursor."""
        return self.cursor().executescript(script)

    def __call__(self, *arguments: str) -> Statement:
        """A statement, once SQLite has prepared it."""
        self.ready()
        (sql,) = arguments
        if not isinstance(sql, str):
            raise TypeError(f"argument 1 must be str, not {type(sql).__name__}")
        self.facts_of(sql)
        return Statement._made(sql)

    def history(self, table: str, key: Any) -> Sequence[Version]:
        """The versions of a row, the oldest first: what it was, when, by whom and why. `key`: of its primary key, or
        its rowid where the table has none; a tuple for several columns."""
        backend = self.ready()
        with self.running():
            return backend.history(table, key)

    def explain(self, sql: str, /) -> Explanation:
        """What a statement would read, write and log. It isn't run."""
        backend = self.ready()
        with self.running():
            return backend.explain(sql)

    def diff(self, first: AnyMoment, second: AnyMoment) -> Sequence[TableDiff]:
        """Which rows differ between two moments: what turns those of the first into those of the second."""
        backend = self.ready()
        with self.running():
            return backend.diff(parse_moment(first), parse_moment(second))

    def restore(self, name: str, moment: AnyMoment) -> None:
        """Make a new database `name` beside this one, as this one was. An error if there is one of this name."""
        backend = self.ready()
        with self.running():
            self.attribute(backend)
            backend.restore(name, parse_moment(moment))

    # Transactions ------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit what is open: returns when it is in the log."""
        backend = self.ready()
        if self._autocommit is True:
            return
        with self.turn:
            if backend.in_transaction:
                with self.traced("COMMIT"), self.asking():
                    backend.commit()
            else:
                backend.notice()
        if self._autocommit is False:
            self.begin_now("BEGIN")

    def rollback(self) -> None:
        """Roll back what is open."""
        backend = self.ready()
        if self._autocommit is True:
            return
        with self.turn:
            if backend.in_transaction:
                with self.traced("ROLLBACK"), self.asking():
                    backend.rollback()
            else:
                backend.notice()
        if self._autocommit is False:
            self.begin_now("BEGIN")

    def __enter__(self: C) -> C:
        self.alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> Literal[False]:
        if kind is not None:
            self.rollback()
            return False
        try:
            self.commit()
        except BaseException:
            if self.backend is not None:
                self.rollback()
            raise
        return False

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.alive().in_transaction

    @property
    def total_changes(self) -> int:
        """Rows that were inserted, updated or deleted since the connection was opened."""
        backend = self.alive()
        with self.turn:
            return backend.total_changes

    @property
    def isolation_level(self) -> str | None:
        """How transactions begin by themselves: "", DEFERRED, IMMEDIATE or EXCLUSIVE; None: they don't."""
        self.alive()
        return self._isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        begin = _begin(level)
        backend = self.alive()
        if level is None:
            self.check_thread()
            if self._autocommit == LEGACY_TRANSACTION_CONTROL and backend.in_transaction:
                self.commit()
        self._isolation_level = level if level is None else str.__str__(level)
        self.begin = begin if self._autocommit == LEGACY_TRANSACTION_CONTROL else None

    @property
    def autocommit(self) -> bool | int:
        """Whether each statement is a transaction; LEGACY_TRANSACTION_CONTROL: `isolation_level` says it."""
        self.alive()
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool | int) -> None:
        backend = self.ready()
        if value not in (True, False, LEGACY_TRANSACTION_CONTROL):
            raise ValueError("autocommit must be True, False, or LEGACY_TRANSACTION_CONTROL")
        if value is True and backend.in_transaction:
            with self.asking():
                backend.commit()
        self._autocommit = value
        self.begin = _begin(self._isolation_level) if value == LEGACY_TRANSACTION_CONTROL else None
        if value is False and not backend.in_transaction:
            self.begin_now("BEGIN")

    # Rows ----------------------------------------------------------------------------------------------------------

    @property
    def text_factory(self) -> Any:
        """What makes text of bytes; str unless set."""
        return self.text_wanted

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        self.text_wanted = factory
        if factory is not str:
            self.careful = self.special = True
        self.settle()

    def blobopen(self, table: str, column: str, row: int, /, *, readonly: bool = False, name: str = "main") -> Blob:
        """Read a value piece by piece. Writing is refused: use UPDATE."""
        self.ready()
        return Blob._opened(self, table, column, row, name)

    # On whose behalf -----------------------------------------------------------------------------------------------

    @property
    def actor(self) -> str:
        """Who makes the transactions that begin from now on."""
        return self.attribution.actor

    @actor.setter
    def actor(self, actor: str) -> None:
        self.attribution = own_attribution(actor, self.purpose, self.metadata)

    @property
    def purpose(self) -> str:
        """What they are made for."""
        return self.attribution.purpose

    @purpose.setter
    def purpose(self, purpose: str) -> None:
        self.attribution = own_attribution(self.actor, purpose, self.metadata)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What else is said of them."""
        return self.attribution.metadata

    @metadata.setter
    def metadata(self, metadata: Mapping[str, str]) -> None:
        self.attribution = own_attribution(self.actor, self.purpose, metadata)

    # The whole -----------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Stop the statement that runs, from any thread."""
        if not self.opened:
            raise ProgrammingError("Base Connection.__init__ not called.")
        if self.backend is None:
            raise ProgrammingError("Cannot operate on a closed database.")
        self.backend.interrupt()

    def iterdump(self) -> Iterator[str]:
        """The statements that make the same database, without VerityDB's own tables."""
        self.ready()
        return dump(self)

    def backup(
        self,
        target: Any,
        *,
        pages: int = -1,
        progress: Callable[[int, int, int], Any] | None = None,
        name: str = "main",
        sleep: float = 0.250,
    ) -> None:
        """Make another connection's database, this package's or Python's `sqlite3`'s, the same as this one.

        By SQL, a table at a time; `pages` counts tables, the schema as one of them.
        """
        self.ready()
        if not (isinstance(target, Connection) or type(target).__name__ == "Connection"):
            raise TypeError(f"backup() argument 1 must be a Connection, not {type(target).__name__}")
        if target is self:
            raise ValueError("target cannot be the same connection instance")
        if progress is not None and not callable(progress):
            raise TypeError("progress argument must be a callable")
        if target.in_transaction:
            raise OperationalError("target is in transaction")
        if name not in ("main", "temp"):
            raise OperationalError(f"unknown database {name}")
        if not isinstance(target, Connection):
            copy_database(self, target, pages=pages, progress=progress)
            return
        with target.turn, target.in_any_thread():
            copy_database(self, target, pages=pages, progress=progress)

    def serialize(self, *, name: str = "main") -> bytes:
        """The bytes of a SQLite file, not encrypted, with the same tables and rows."""
        self.ready()
        return serialize(self, name)

    def deserialize(self, data: Any, /, *, name: str = "main") -> None:
        """Make this connection's database the same as that of a SQLite file, given as its bytes."""
        self.ready()
        deserialize(self, data, name)

    def close(self) -> None:
        """Roll back what is open, and end. Closing twice is harmless."""
        if not self.opened:
            raise ProgrammingError("Base Connection.__init__ not called.")
        self.check_thread()
        if self.busy or self.called.held:
            raise ProgrammingError("Cannot close a connection while one of its statements runs.")
        backend, self.backend, self.db = self.backend, None, None
        self.reads, self.facts = {}, {}
        if backend is not None:
            try:
                backend.close()
            except VerityError as error:
                raise translated(error) from error

    def _forget(self) -> None:
        """Begin anew, on another database."""
        self.opened = False
        backend, self.backend, self.db = self.backend, None, None
        if backend is not None:
            backend.close()

    def __del__(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.abandon()


class Statement:
    """What calling a connection gives: a statement that SQLite takes."""

    def __new__(cls) -> Statement:
        raise TypeError(f"cannot create '{cls.__module__}.{cls.__name__}' instances")

    @classmethod
    def _made(cls, sql: str) -> Statement:
        statement = object.__new__(cls)
        statement.sql = sql
        return statement

    sql: str


def _begin(level: str | None) -> str | None:
    """How a transaction begins at an isolation level."""
    if level is None:
        return None
    if not isinstance(level, str):
        raise TypeError("isolation_level must be str or None")
    known = str.upper(str.__str__(level))
    if known not in _LEVELS:
        raise ValueError("isolation_level string must be '', 'DEFERRED', 'IMMEDIATE', or 'EXCLUSIVE'")
    return f"BEGIN {known}"
