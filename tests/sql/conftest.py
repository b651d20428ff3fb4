"""What the tests of capture share: three databases that must stay the same.

`captured` runs the user's SQL under capture, `twin` runs it alone, and `replica` gets nothing but what was drained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vdb.changes import Layout, RawText, RowChange, SchemaChange, SequenceChange, Step
from vdb.errors import SqlRefused
from vdb.projections.store import SqliteError, open_plain_memory
from vdb.sql import sqlite_api
from vdb.sql.altering import change_schema
from vdb.sql.capture import Capture
from vdb.sql.capture_rows import text_or_raw

_SCHEMA_WORDS = ("CREATE", "DROP", "ALTER")
_CONTROL_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "SELECT")
_ROWID_NAMES = ("rowid", "oid", "_rowid_")


_FOREIGN = "IntegrityError: FOREIGN KEY constraint failed"


class Incomparable(Exception):
    """SQLite promises nothing here, and what it does depends on there being triggers: the two go different ways."""


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Twins:
    """See the module's docstring. Every statement is within a transaction, as a session sees to it."""

    incomparable = Incomparable

    def __init__(self) -> None:
        self.captured: Any = open_plain_memory()
        self.twin: Any = open_plain_memory()
        self.replica: Any = open_plain_memory()
        self.capture = Capture(self.captured)
        self.captured.text_factory = self.twin.text_factory = text_or_raw
        self.layouts: tuple[Layout, ...] = ()
        self.steps: list[Step] = []
        self._failed = False

    def __call__(self, *statements: str) -> None:
        """Run statements, each of which must succeed."""
        for sql in statements:
            error = self.run(sql)
            assert error is None, f"{sql}: {error}"

    def run(self, sql: str, parameters: tuple[Any, ...] = ()) -> str | None:
        """Run one statement on both, compare what it gives, and say what it failed with."""
        if sql == "COMMIT":
            return self._commit()
        if sql.startswith("SAVEPOINT"):
            self.begin()  # its RELEASE isn't a commit then
        ours = self._outcome(lambda: self._captured(sql, parameters))
        if isinstance(ours, str) and ours.startswith("SqlRefused"):
            self._failed = True
            return ours
        theirs = self._outcome(lambda: self._result(self.twin, sql, parameters))
        self._compare(sql, ours, theirs)
        assert self.captured.in_transaction == self.twin.in_transaction
        if isinstance(ours, str):
            # What a failed statement leaves in last_insert_rowid() isn't promised, and differs.
            ((last,),) = self.twin.execute("SELECT last_insert_rowid()").fetchall()
            sqlite_api.set_last_insert_rowid(self.captured, last)
        return ours if isinstance(ours, str) else None

    def refused(self, sql: str) -> str:
        """Why capture doesn't take a statement."""
        self.begin()
        with pytest.raises(SqlRefused) as caught:
            self._captured(sql, ())
        return str(caught.value)

    def begin(self) -> None:
        for db in (self.captured, self.twin):
            if not db.in_transaction:
                db.execute("BEGIN")

    def check(self) -> list[Step]:
        """Commit, and see that all three hold the same. Gives what was drained."""
        error = self._commit()
        assert error is None, error
        return self.steps

    def close(self) -> None:
        for db in (self.captured, self.twin, self.replica):
            db.close()

    def _captured(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        word = sql.split(maxsplit=1)[0].upper()
        if word in _CONTROL_WORDS:
            return self._result(self.captured, sql, parameters)
        self.begin()
        if word not in _SCHEMA_WORDS:
            self.captured.execute(f"EXPLAIN {sql}", parameters).fetchall()  # its errors come first, as in a session
            self.capture.prepare(None, sql)
            return self._result(self.captured, sql, parameters)
        self.captured.execute("SAVEPOINT vdb_schema")
        try:
            self.capture.before_schema_change(sql)
            result = self._result(self.captured, sql, parameters)
            self.capture.after_schema_change(sql)
        except BaseException:
            if self.captured.in_transaction:
                self.captured.execute("ROLLBACK TO vdb_schema")
                self.captured.execute("RELEASE vdb_schema")
            raise
        self.captured.execute("RELEASE vdb_schema")
        return result

    def _result(self, db: Any, sql: str, parameters: tuple[Any, ...]) -> Any:
        if sql.split(maxsplit=1)[0].upper() not in _CONTROL_WORDS and not db.in_transaction:
            db.execute("BEGIN")
        cursor = db.execute(sql, parameters)
        count = cursor.rowcount if cursor.description is None else None  # the binding's is of a moment before the end
        rows = cursor.fetchall()
        changes = db.execute("SELECT changes(), last_insert_rowid()").fetchall()
        return rows, count, cursor.lastrowid, changes

    def _compare(self, sql: str, ours: Any, theirs: Any) -> None:
        if ours != theirs and _FOREIGN in (ours, theirs):
            # SQLite's own mistakes in counting what violates a foreign key, which depend on there being triggers:
            # plain REPLACE lets some in, OR IGNORE counts rows that it leaves out, and a row that refers to itself
            # in another storage class is found or not.
            raise Incomparable(sql)
        if ours == "IntegrityError: constraint failed" and "REPLACE" in sql:
            # A cascade deleted the very row for which another was replaced: an error where there are triggers.
            raise Incomparable(sql)
        if sql.startswith(("UPDATE", "WITH")) and isinstance(ours, str) != isinstance(theirs, str):
            # In which order an UPDATE visits its rows, and so which one is in another's way.
            found = ours if isinstance(ours, str) else theirs
            assert "UNIQUE constraint failed" in found or "REPLACE" in str(self._schema()), f"{sql}: {ours} != {theirs}"
            raise Incomparable(sql)
        if isinstance(ours, tuple) and isinstance(theirs, tuple) and self._failed:
            # What a failed statement leaves in changes() isn't promised, and differs.
            ours, theirs = ours[:-1], theirs[:-1]
            self._failed = sql.split(maxsplit=1)[0] not in ("INSERT", "REPLACE", "UPDATE", "DELETE", "WITH")
        self._failed = self._failed or isinstance(ours, str)
        assert ours == theirs, f"{sql}: {ours} != {theirs}"

    def _schema(self) -> Any:
        return self.twin.execute("SELECT sql FROM main.sqlite_master").fetchall()

    def _outcome(self, work: Any) -> Any:
        try:
            return work()
        except (SqliteError, SqlRefused) as error:
            return f"{type(error).__name__}: {error}"

    def _commit(self) -> str | None:
        self.layouts, self.steps = (), []
        pending = self.capture.pending()
        self.captured.execute("SAVEPOINT before_drain") if self.captured.in_transaction else None
        layouts, steps = self.capture.drain()
        assert pending == bool(steps)
        ours = self._outcome(lambda: self._result(self.captured, "COMMIT", ()))
        theirs = self._outcome(lambda: self._result(self.twin, "COMMIT", ()))
        self._compare("COMMIT", ours, theirs)
        if isinstance(ours, str):
            # Deferred foreign keys: the session would have asked before it drained.
            if self.captured.in_transaction:
                self.captured.execute("ROLLBACK")
                self.twin.execute("ROLLBACK")
            return ours
        self.layouts, self.steps = layouts, steps
        replay(self.replica, layouts, steps)
        found = contents(self.captured)
        for name, other in (("twin", self.twin), ("replica", self.replica)):
            different = difference(found, contents(other))
            assert different == {}, f"captured and {name} differ: {different}"
        return None


def contents(db: Any) -> dict[str, Any]:
    """The whole database: schema, and each table's rows with rowids and storage classes."""
    with _raw_text(db):
        schema = db.execute(
            "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"
        ).fetchall()
        found: dict[str, Any] = {"schema": sorted(schema, key=str)}
        for kind, name, _, _ in schema:
            if kind == "table":
                rows = db.execute(f"SELECT {_identity(db, name)}, * FROM main.{_quote(name)}").fetchall()
                typed = [tuple((type(value).__name__, value) for value in row) for row in rows]
                found[name] = sorted(typed, key=repr)
        if "sqlite_sequence" in found:
            found["sqlite_sequence"] = sorted(row[1:] for row in found["sqlite_sequence"])
    return found


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What two databases differ in."""
    names = {**one, **other}
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def replay(db: Any, layouts: tuple[Layout, ...], steps: list[Step]) -> None:
    """Apply steps by their net effect: first all old rows go, then all new ones come. Each old row must be there."""
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("BEGIN")
    net: dict[Any, tuple[Any, Any]] = {}
    with _raw_text(db):
        for step in steps:
            if isinstance(step, RowChange):
                _fold(net, layouts[step.layout], step)
                continue
            _apply(db, net)
            net = {}
            if isinstance(step, SchemaChange):
                change_schema(db, db, step.sql)
            else:
                _set_sequence(db, step)
        _apply(db, net)
    db.execute("COMMIT")


def _fold(net: dict[Any, tuple[Any, Any]], layout: Layout, step: RowChange) -> None:
    def row(rowid: int | None, image: Any) -> Any:
        if layout.rowid:
            assert rowid is not None
            return (layout, rowid)
        return (layout, *(image[layout.columns.index(name)] for name in layout.key))

    if step.before is not None:
        key = row(step.rowid_before, step.before)
        assert len(step.before) == len(layout.columns)
        first, last = net.get(key, (step.before, step.before))
        assert _typed(last) == _typed(step.before), f"{layout.table}: {last} was there, {step.before} is said"
        net[key] = (first, None)
    if step.after is not None:
        key = row(step.rowid_after, step.after)
        assert len(step.after) == len(layout.columns)
        first, last = net.get(key, (None, None))
        assert last is None, f"{layout.table}: {key[1:]} was there already"
        net[key] = (first, step.after)


def _apply(db: Any, net: dict[Any, tuple[Any, Any]]) -> None:
    if not net:
        return
    counted = db.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'").fetchall()
    sequences = db.execute("SELECT name, seq FROM sqlite_sequence").fetchall() if counted else []
    triggers = db.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER main.{_quote(name)}")
    for key, (first, _) in net.items():
        if first is not None:
            _delete(db, key, first)
    for key, (_, last) in net.items():
        if last is not None:
            _insert(db, key, last)
    for _, sql in triggers:
        db.execute(sql)
    if counted:
        db.execute("DELETE FROM sqlite_sequence")
        db.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", sequences)


def _delete(db: Any, key: Any, image: Any) -> None:
    layout = key[0]
    table = f"main.{_quote(layout.table)}"
    if layout.rowid:
        condition, values = f"{_rowid(db, layout.table)} = ?", key[1:]
    else:
        condition = " AND ".join(
            f"{_quote(name)} = {_place(value)}" for name, value in zip(layout.key, key[1:], strict=True)
        )
        values = tuple(_plain(value) for value in key[1:])
    names = ", ".join(map(_quote, layout.columns))
    there = db.execute(f"SELECT {names} FROM {table} WHERE {condition}", values).fetchall()
    assert [_typed(row) for row in there] == [_typed(image)], f"{layout.table}: {there} is there, {image} is said"
    db.execute(f"DELETE FROM {table} WHERE {condition}", values)


def _insert(db: Any, key: Any, image: Any) -> None:
    layout = key[0]
    names = [_quote(name) for name in layout.columns]
    values = [_place(value) for value in image]
    given = [_plain(value) for value in image]
    if layout.rowid and _rowid(db, layout.table) not in names:
        names.append(_rowid(db, layout.table))
        values.append("?")
        given.append(key[1])
    sql = f"INSERT INTO main.{_quote(layout.table)} ({', '.join(names)}) VALUES ({', '.join(values)})"
    db.execute(sql, given)


def _place(value: Any) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, RawText) else "?"


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, RawText) else value


def _set_sequence(db: Any, step: SequenceChange) -> None:
    db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (step.table,))
    if step.value is not None:
        db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (step.table, step.value))


def _rowid(db: Any, table: str) -> str:
    described = db.execute(f"PRAGMA main.table_xinfo({_quote(table)})").fetchall()
    taken = [row[1].lower() for row in described]
    free = next((name for name in _ROWID_NAMES if name not in taken), None)
    return free or _quote(next(row[1] for row in described if row[5]))


def _identity(db: Any, table: str) -> str:
    listed = db.execute(f"PRAGMA main.table_list({_quote(table)})").fetchall()
    return "NULL" if any(row[0] == "main" and row[4] for row in listed) else _rowid(db, table)


def _typed(image: Any) -> Any:
    return None if image is None else [(type(value), value) for value in image]


@contextmanager
def _raw_text(db: Any) -> Iterator[None]:
    theirs, db.text_factory = db.text_factory, text_or_raw
    rows, db.row_factory = db.row_factory, None
    try:
        yield
    finally:
        db.text_factory = theirs
        db.row_factory = rows


@pytest.fixture
def twins() -> Iterator[Twins]:
    """Three empty databases."""
    found = Twins()
    yield found
    found.close()
