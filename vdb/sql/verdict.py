"""What a statement is, said before it runs: a read, a write, a change of the schema, a step of the transaction.

SQLite itself says it: the text is prepared, not run, under an authorizer that records what the statement would touch,
also through triggers, views and foreign keys. The first keyword then tells apart what the authorizer doesn't (VACUUM,
ANALYZE, the modes of BEGIN). `refusals` says what isn't taken. What runs afterwards is the user's own text.

Rules
- A text that SQLite doesn't take raises SQLite's own error, unchanged.
- Preparing runs nothing: PRAGMAs, which may run while they are prepared, are denied at that moment and judged by what
  the authorizer was told.
- Verdicts are cached by text; `forget` empties the cache. A session calls it when the schema has changed, its own or,
  once it may write, the database's. A verdict that is out of date may name too few tables, and does no harm: SELECT
  never becomes a write, and what is forbidden is denied by the authorizer whenever SQLite prepares the statement
  again, which it does when the schema has changed.
- What touches TEMP objects alone is judged each time: the same text may mean a table of the database when the TEMP one
  has gone, perhaps by a rollback.
- The authorizer is installed once: installing one expires every prepared statement of the connection.

ANALYZE, REINDEX and PRAGMA optimize change the file and no row: they are writes of no table, local to the node and
never logged. `PRAGMA user_version = n` and application_id change the file's header: they are changes of the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum, auto
from types import TracebackType

from attrs import frozen

from vdb.errors import SqlRefused
from vdb.ports import Connection
from vdb.projections.store import (
    SeveralStatements,
    SqliteError,
    compile_statement,
    in_transaction,
    set_authorizer,
)
from vdb.sql import refusals as actions
from vdb.sql.keywords import (
    first_keyword,
    has_returning,
    is_empty,
    leading_words,
    parse_transaction,
    split_script,
    statement_verb,
    tokens,
)
from vdb.sql.refusals import (
    VACUUM,
    VACUUM_INTO,
    PragmaUse,
    denied_action,
    is_own_name,
    pragma_use,
    refused_action,
    refused_calls,
    refused_function,
    refused_names,
)

CACHE_SIZE = 512
"""Verdicts that a connection remembers, at most."""

CACHED_TEXT_MAX = 32_768
"""Characters of a text whose verdict is remembered: longer ones are rarely said twice."""

Action = tuple[int, str | None, str | None, str | None, str | None]
UserAuthorizer = Callable[[int, str | None, str | None, str | None, str | None], int]

_OK = 0
_DENY = 1
_NOT_AUTHORIZED = "not authorized"


class StatementKind(Enum):
    READ = auto()
    WRITE = auto()
    """Changes rows of the database, or its file."""
    SCHEMA = auto()
    """Changes the schema or the file's header; may find nothing to change (IF NOT EXISTS)."""
    TEMP = auto()
    """Changes TEMP objects alone: rows or schema."""
    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    SAVEPOINT = auto()
    RELEASE = auto()
    ROLLBACK_TO = auto()
    PRAGMA_READ = auto()
    PRAGMA_SET = auto()
    """A setting of this connection alone."""
    EXPLAIN = auto()
    EMPTY = auto()
    """Comments and white space."""


@frozen(kw_only=True)
class Verdict:
    """What a statement is. Names are as SQLite met them, in that order: spelled as in the schema, or as in the text."""

    kind: StatementKind
    returns_rows: bool = False
    """Whether it may return rows: a PRAGMA that sets may or may not."""
    reads: tuple[str, ...] = ()
    """Tables and views that are read, through triggers and foreign keys too."""
    writes: tuple[str, ...] = ()
    """Of WRITE: tables that are written, through triggers and foreign keys too, and views with INSTEAD OF triggers.
    What the statement itself writes to is always among them, a TEMP object too."""
    functions: tuple[str, ...] = ()
    begin_mode: str = ""
    """Of BEGIN: deferred, immediate or exclusive."""
    name: str = ""
    """Of a savepoint, or of a PRAGMA in lower case."""
    argument: str | None = None
    """What a PRAGMA is called with, or set to."""


_EMPTY = Verdict(kind=StatementKind.EMPTY)
_TRANSACTION = {
    "BEGIN": StatementKind.BEGIN,
    "COMMIT": StatementKind.COMMIT,
    "ROLLBACK": StatementKind.ROLLBACK,
    "SAVEPOINT": StatementKind.SAVEPOINT,
    "RELEASE": StatementKind.RELEASE,
    "ROLLBACK TO": StatementKind.ROLLBACK_TO,
}
_TRANSACTION_WORDS = ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE")
_ROWS = ("SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE")
_SCHEMA_WORDS = ("CREATE", "DROP", "ALTER")
_PRAGMA_KINDS = {
    PragmaUse.READ: StatementKind.PRAGMA_READ,
    PragmaUse.SET: StatementKind.PRAGMA_SET,
    PragmaUse.SCHEMA: StatementKind.SCHEMA,
    PragmaUse.FILE: StatementKind.WRITE,
}
_QUERY_ONLY = "query_only"
_CHANGES_VERDICTS = ("foreign_keys", "recursive_triggers", _QUERY_ONLY)
"""PRAGMAs that change which tables a statement writes, or that aren't always taken."""

_MAIN_DROPS = (actions.DROP_TABLE, actions.DROP_INDEX, actions.DROP_VIEW, actions.DROP_TRIGGER, actions.DROP_VTABLE)
_TEMP_DROPS = (
    *(actions.DROP_TEMP_TABLE, actions.DROP_TEMP_INDEX),
    *(actions.DROP_TEMP_VIEW, actions.DROP_TEMP_TRIGGER),
)
_WRITES = (actions.INSERT, actions.UPDATE, actions.DELETE)


class Classifier:
    """Verdicts for one connection, which is in manual transaction mode and has nobody's functions yet.

    Not for several threads at once.
    """

    def __init__(self, db: Connection, *, cache_size: int = CACHE_SIZE, trusted: bool = False) -> None:
        self._db = db
        self._authorizer = _Authorizer()
        self._authorizer.trust = int(trusted)
        # Two generations are a cheap LRU: what is asked for moves to the young one; a full young one becomes the old.
        self.make_way: Callable[[], bool] = lambda: False
        """Takes away TEMP triggers of ours that no longer compile; whether there were any."""
        self._young: dict[str, Verdict] = {}
        self._old: dict[str, Verdict] = {}
        self._generation = max(1, cache_size // 2)
        set_authorizer(db, self._authorizer)
        with self.trusting():
            self._provided = dict.fromkeys(_registered(db))
            """Functions that came with the library or from the world: every node has them."""

    @property
    def user_authorizer(self) -> UserAuthorizer | None:
        """Asked after ours about what the user's statements do; its answer is SQLite's: 0, 1 (deny) or 2 (ignore)."""
        return self._authorizer.user

    @user_authorizer.setter
    def user_authorizer(self, authorizer: UserAuthorizer | None) -> None:
        self._authorizer.user = authorizer
        set_authorizer(self._db, self._authorizer)  # expires what was prepared under the one before

    def trusting(self) -> _Trust:
        """For `with`: statements within are VerityDB's own, and nothing is refused. May be nested."""
        return _Trust(self._authorizer)

    def forget(self) -> None:
        """Forget all verdicts: the schema has changed."""
        self._young.clear()
        self._old.clear()

    def cached(self, sql: str) -> Verdict | None:
        """The verdict, if it is known: nothing is asked of SQLite."""
        found = self._young.get(sql)
        if found is None:
            found = self._old.get(sql)
            if found is not None:
                self._remember(sql, found)
        return found

    def verdict(self, sql: str) -> Verdict:
        """What the statement is. SqlRefused says why VerityDB doesn't take it; SQLite's errors pass unchanged.

        A text of two statements is the binding's own `SeveralStatements`.
        """
        found = self.cached(sql)
        if found is None:
            try:
                found = self._judge(sql)
            except SqliteError:
                if not self.make_way():
                    raise
                found = self._judge(sql)
            if found.kind is StatementKind.TEMP:
                if first_keyword(sql) in _SCHEMA_WORDS:
                    self.forget()
            elif found.name in _CHANGES_VERDICTS:
                self.forget()
            elif not self._authorizer.trust and len(sql) <= CACHED_TEXT_MAX:
                self._remember(sql, found)
        return found

    def record(self, sql: str, own: Collection[str] = ()) -> tuple[Action, ...]:
        """What the statement would touch, as SQLite's authorizer is told: action, two arguments, database, source.

        What capture's triggers add is left out, but not what is read through VerityDB's common tables in `own`. A
        PRAGMA is only named. Raises what SQLite says of the text.
        """
        recorded: list[Action] = []
        self._authorizer.recording = recorded
        try:
            compile_statement(self._db, sql)
        except SqliteError as error:
            if not recorded or recorded[-1][0] != actions.PRAGMA or str(error) != _NOT_AUTHORIZED:
                raise
        finally:
            self._authorizer.recording = None
        return tuple(action for action in recorded if not is_own_name(action[4]) or action[4] in own)

    def _remember(self, sql: str, verdict: Verdict) -> None:
        if len(self._young) >= self._generation:
            self._old, self._young = self._young, {}
        self._young[sql] = verdict

    def _judge(self, sql: str) -> Verdict:
        recorded = self.record(sql)
        words = leading_words(sql, 3)
        if not words:
            # SQLite took it: there are no tokens but semicolons.
            assert is_empty(sql), "a statement that SQLite takes begins with a word"
            return _EMPTY
        if not self._authorizer.trust:
            _check_actions(recorded, words)
        first = words[0]
        if first in _ROWS:
            return _rows(sql, recorded, first)
        if first == "PRAGMA":
            found = _pragma(sql, recorded)
            if found.name == _QUERY_ONLY and found.argument is not None and in_transaction(self._db):
                raise SqlRefused("PRAGMA query_only can't be set within a transaction: VerityDB writes at its end, too")
            return found
        if first in _TRANSACTION_WORDS:
            return _transaction(sql)
        if first in _SCHEMA_WORDS:
            if not self._authorizer.trust:
                self._check_schema(sql, recorded, words)
            return _schema(sql, recorded, words)
        if first == "EXPLAIN":
            return Verdict(kind=StatementKind.EXPLAIN, returns_rows=True, reads=_reads(recorded))
        if first in ("ANALYZE", "REINDEX"):
            return Verdict(kind=StatementKind.WRITE)
        if first == "VACUUM":
            raise _vacuum(sql)
        raise SqlRefused(f"{first} is refused: it isn't a statement that VerityDB knows")

    def _check_schema(self, sql: str, recorded: tuple[Action, ...], words: tuple[str, ...]) -> None:
        reason = refused_names(sql)
        as_select = words[0] == "CREATE" and any(action[0] == actions.SELECT for action in recorded)
        if reason is None and words[0] != "DROP" and not as_select and not _is_temp(sql, recorded, words):
            mine = self.user_functions()
            reason = refused_calls(sql, mine)
            if reason is None:
                called = (name.lower() for name in _functions(recorded))
                reason = next((refused_function(name) for name in called if name in mine), None)
        if reason is not None:
            raise SqlRefused(reason)

    def user_functions(self) -> dict[str, None]:
        """Functions that this connection registered, in lower case."""
        with self.trusting():
            found = _registered(self._db)
        return {name.lower(): None for name in found if name not in self._provided}


class _Authorizer:
    """What SQLite asks. It doesn't know the connection, which holds it."""

    __slots__ = ("recording", "trust", "user")

    def __init__(self) -> None:
        self.recording: list[Action] | None = None
        self.trust = 0
        self.user: UserAuthorizer | None = None

    def __call__(self, action: int, first: str | None, second: str | None, db: str | None, source: str | None) -> int:
        if self.recording is not None:
            self.recording.append((action, first, second, db, source))
            return _DENY if action == actions.PRAGMA else _OK
        if self.trust:
            return _OK
        if denied_action(action, first, second, source) is not None:
            return _DENY
        if self.user is not None and not is_own_name(source):
            return self.user(action, first, second, db, source)
        return _OK


class _Trust:
    """See `Classifier.trusting`."""

    __slots__ = ("_authorizer",)

    def __init__(self, authorizer: _Authorizer) -> None:
        self._authorizer = authorizer

    def __enter__(self) -> None:
        self._authorizer.trust += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._authorizer.trust -= 1


def _registered(db: Connection) -> list[str]:
    """Functions that aren't SQLite's own, or that stand in for one of its own."""
    # The PRAGMA itself, as a SELECT from it would begin the transaction's snapshot.
    names = (row[0] for row in db.execute("PRAGMA function_list").fetchall() if not row[1])
    texts = (name.decode() if isinstance(name, bytes) else name for name in names)  # the owner may want text as bytes
    return list(dict.fromkeys(texts))


def _check_actions(recorded: tuple[Action, ...], words: tuple[str, ...]) -> None:
    direct = words[0] in _ROWS
    for action, first, second, _, source in recorded:
        reason = refused_action(action, first, second, source)
        if reason is None and direct and action in _WRITES and (first or "").startswith("sqlite_stat"):
            reason = f"table {first} can't be written: it is each node's own; run ANALYZE"
        if reason is None and action == actions.DROP_TABLE and (first or "").startswith("sqlite_stat"):
            reason = f"table {first} can't be dropped: it is each node's own"
        if reason is not None:
            raise SqlRefused(reason)


def _rows(sql: str, recorded: tuple[Action, ...], first: str) -> Verdict:
    written: dict[str, None] = {}
    kind = StatementKind.READ
    for action, table, _, db, _ in recorded:
        if action in _WRITES and table is not None:
            written[table] = None
            if db != "temp":
                kind = StatementKind.WRITE
            elif kind is StatementKind.READ:
                kind = StatementKind.TEMP
    if first == "WITH":
        first = statement_verb(sql)
    reads = first in ("SELECT", "VALUES")
    if not reads and kind is StatementKind.READ:
        kind = StatementKind.WRITE
    return Verdict(
        kind=kind,
        returns_rows=reads or has_returning(sql),
        reads=_reads(recorded),
        writes=tuple(written) if kind is StatementKind.WRITE else (),
        functions=_functions(recorded),
    )


def _pragma(sql: str, recorded: tuple[Action, ...]) -> Verdict:
    if len(split_script(sql)) > 1:  # the binding, which would have said so, was stopped at the first
        raise SeveralStatements("You can only execute one statement at a time.")
    _, name, argument, _, _ = next(action for action in recorded if action[0] == actions.PRAGMA)
    assert name is not None, "a PRAGMA has a name"
    use = pragma_use(name, argument)
    kind = _PRAGMA_KINDS[use] if isinstance(use, PragmaUse) else StatementKind.PRAGMA_SET
    rows = kind in (StatementKind.PRAGMA_READ, StatementKind.PRAGMA_SET)
    return Verdict(kind=kind, returns_rows=rows, name=name.lower(), argument=argument)


def _transaction(sql: str) -> Verdict:
    parsed = parse_transaction(sql)
    assert parsed is not None, "what SQLite takes as a transaction statement is one"
    return Verdict(kind=_TRANSACTION[parsed.verb], begin_mode=parsed.mode, name=parsed.name)


def _schema(sql: str, recorded: tuple[Action, ...], words: tuple[str, ...]) -> Verdict:
    kind = StatementKind.TEMP if _is_temp(sql, recorded, words) else StatementKind.SCHEMA
    return Verdict(kind=kind, reads=_reads(recorded), functions=_functions(recorded))


def _is_temp(sql: str, recorded: tuple[Action, ...], words: tuple[str, ...]) -> bool:
    """Whether a change of the schema is of TEMP objects alone."""
    if words[1:2] in (("TEMP",), ("TEMPORARY",)):
        return True
    if not recorded:  # IF [NOT] EXISTS finds nothing to do
        return any(token.name.lower() == "temp" for token in tokens(sql))
    if words[0] == "CREATE":
        return any(action == actions.INSERT and db == "temp" for action, _, _, db, _ in recorded)
    if words[0] == "ALTER":
        return any(action == actions.ALTER_TABLE and first == "temp" for action, first, _, _, _ in recorded)
    codes = [action[0] for action in recorded]
    return not any(code in _MAIN_DROPS for code in codes) and any(code in _TEMP_DROPS for code in codes)


def _vacuum(sql: str) -> SqlRefused:
    into = any(token.upper == "INTO" for token in tokens(sql))
    return SqlRefused(f"VACUUM INTO is refused: {VACUUM_INTO}" if into else f"VACUUM is refused: {VACUUM}")


_MASTER = ("sqlite_master", "sqlite_temp_master")


def _reads(recorded: tuple[Action, ...]) -> tuple[str, ...]:
    found = (table for action, table, _, _, _ in recorded if action == actions.READ)
    return tuple(dict.fromkeys(table for table in found if table and table not in _MASTER))


def _functions(recorded: tuple[Action, ...]) -> tuple[str, ...]:
    found = (name for action, _, name, _, _ in recorded if action == actions.FUNCTION)
    return tuple(dict.fromkeys(name for name in found if name))
