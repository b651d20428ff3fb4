"""The database as a projection's handlers have it: their own tables, and what can be told from the log alone.

Rules
- Statements read and change rows; tables are declared with the projection. Transactions are the runner's.
- Refused is what would differ from one node, one run or one cut of batches to another: random(), the clock in all its
  forms ('now', current_timestamp, the machine's time zone), counters of a connection (changes(),
  last_insert_rowid()), the version of SQLite, and the tables that hold the projection's own state.
- SQLite itself asks (its authorizer), so it doesn't matter how a statement is written. It asks while handlers run, and
  prepares statements anew that were prepared before: nothing slips through its cache.
- What isn't caught: Python's own clock and chance, variables that live longer than an event, and the order of rows of
  a SELECT without ORDER BY. Applying the same log twice and comparing shows these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vdb.errors import HandlerRefused
from vdb.ports import Connection
from vdb.projections.store import SqliteError, open_plain_memory, replace_function, set_authorizer
from vdb.projections.tables import OWN_TABLES

Parameters = Sequence[Any] | Mapping[str, Any]

_DELETE, _INSERT, _READ, _SELECT, _UPDATE, _FUNCTION, _RECURSIVE = 9, 18, 20, 21, 23, 31, 33
"""SQLite's codes of what a statement does. All others are refused."""
_OK, _DENY = 0, 1
_ACTIONS = {
    19: "PRAGMA isn't for handlers",
    22: "the transaction is the projection's: rows and position commit together",
    24: "a handler sees the projection's own file and no other",
    25: "a handler sees the projection's own file and no other",
    32: "the transaction is the projection's: raise an error, and what the event did is undone",
}
_SCHEMA = "tables are declared with the projection; a change of them asks for its next version"
_FUNCTIONS = {
    **dict.fromkeys(("random", "randomblob"), "draws lots"),
    **dict.fromkeys(("current_timestamp", "current_date", "current_time"), "reads the clock: use context.time"),
    **dict.fromkeys(("last_insert_rowid", "changes", "total_changes"), "depends on other events: use RETURNING"),
    **dict.fromkeys(
        ("sqlite_version", "sqlite_source_id", "sqlite_compileoption_get", "sqlite_compileoption_used"),
        "differs between nodes",
    ),
    **dict.fromkeys(("load_extension", "sqlcipher_export"), "isn't for handlers"),
}
_CLOCK = "a date function reads the clock or the machine's time zone ('now', 'localtime', 'utc'): use context.time"
_DATE_FUNCTIONS = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1, "timediff": 0}
"""Where their first time value stands."""
_NOW = ("now", "subsec", "subsecond")
"""Time values that stand for the present: the latter two in the place of one."""
_RAISED = "user-defined function raised exception"


class ProjectionDb:
    """What `context.db` is. Rows are tuples. HandlerRefused says why a statement isn't for handlers."""

    __slots__ = ("_db", "_refused")

    def __init__(self, db: Connection) -> None:
        self._db: Connection = db
        self._refused = ""

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement; the rows that it changed."""
        try:
            changed: int = self._db.execute(sql, parameters).rowcount  # type: ignore[arg-type]
        except SqliteError as error:
            raise self._meaning(error) from None
        return max(0, changed)

    def executemany(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run one statement for each of `rows`; the rows that they changed."""
        try:
            changed: int = self._db.executemany(sql, rows).rowcount
        except SqliteError as error:
            raise self._meaning(error) from None
        return max(0, changed)

    def all(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """All rows that a statement gives. Say ORDER BY where their order decides what is written."""
        try:
            found: list[tuple[Any, ...]] = self._db.execute(sql, parameters).fetchall()  # type: ignore[arg-type]
        except SqliteError as error:
            raise self._meaning(error) from None
        return found

    def one(self, sql: str, parameters: Parameters = ()) -> tuple[Any, ...] | None:
        """The first row that a statement gives; None when there is none."""
        found = self.all(sql, parameters)
        return found[0] if found else None

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Handlers run inside, once; the projection's own statements outside."""
        db = self._db
        set_authorizer(db, self._authorize)
        try:
            yield
        finally:
            set_authorizer(db, None)
            self._db = _GivenBack()

    def _authorize(self, action: int, first: str | None, second: str | None, *_where: str | None) -> int:
        reason = _refusal(action, first or "", second or "")
        if reason:
            self._refused = reason
            return _DENY
        return _OK

    def _meaning(self, error: Exception) -> Exception:
        reason, self._refused = self._refused, ""
        if reason:
            return HandlerRefused(reason)
        return HandlerRefused(_CLOCK) if str(error) == _RAISED else error


class _GivenBack:
    """What a handle has left once its handlers have run."""

    def execute(self, _sql: str, _parameters: Any = ()) -> Any:
        raise HandlerRefused("the database is a handler's while it is called, and nobody's afterwards")

    executemany = execute


def refuse_clocks(db: Connection) -> None:
    """Replace the connection's date functions by ones that don't read the clock, and are otherwise the same."""
    for name, first in _DATE_FUNCTIONS.items():
        replace_function(db, name, _date_function(name, first))


def _refusal(action: int, first: str, second: str) -> str:
    """Why an action isn't for handlers; "" when it is."""
    if action in (_READ, _INSERT, _UPDATE, _DELETE):
        if first in OWN_TABLES:
            return f"{first} is the projection's own state"
        return _SCHEMA if action != _READ and first.startswith("sqlite_") else ""
    if action == _FUNCTION:
        reason = _FUNCTIONS.get(second.lower())
        return "" if reason is None else f"{second}() {reason}"
    if action in (_SELECT, _RECURSIVE):
        return ""
    return _ACTIONS.get(action, _SCHEMA)


def _date_function(name: str, first: int) -> Any:
    # SQLite's own function, where no time of a machine comes into it.
    plain: list[Connection] = []

    def call(*values: Any) -> Any:
        times = values[first : first + 2] if name == "timediff" else values[first : first + 1]
        words = [_word(value) for value in values[first:]]
        if not times or any(word in _NOW for word in words[: len(times)]):
            raise HandlerRefused(_CLOCK)
        if any(word in ("now", "localtime", "utc") for word in words):
            raise HandlerRefused(_CLOCK)
        if not plain:
            plain.append(open_plain_memory())
        return plain[0].execute(f"SELECT {name}({', '.join('?' * len(values))})", values).fetchone()[0]

    return call


def _word(value: Any) -> Any:
    # SQLite reads bytes as the text that they spell.
    text = bytes(value).decode(errors="replace") if isinstance(value, bytes | bytearray | memoryview) else value
    return text.partition("\0")[0].strip().lower() if isinstance(text, str) else text
