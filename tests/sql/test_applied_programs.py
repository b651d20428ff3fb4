"""What is applied is what was captured: random programs, by every way that SQLite has to change rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Protocol, cast

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.changes import Layout, Operation, RawText, RowChange, SchemaChange, SequenceChange, Transaction
from vdb.errors import SqlRefused
from vdb.ports import Connection
from vdb.projections.store import SqliteError, open_plain_memory
from vdb.sql import sqlite_api
from vdb.sql.applying import Applier
from vdb.sql.capture import Capture
from vdb.sql.net_effect import exact, key_of
from vdb.sql.tables import read_table
from vdb.wire.sql import TransactionReader, encode_transaction

ID = bytes(16)

SCHEMA = (
    "CREATE TABLE plain (a, b)",
    "CREATE TABLE people (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES people ON UPDATE CASCADE ON DELETE SET NULL, "
    "name TEXT UNIQUE, upper TEXT AS (upper(name)) STORED, n NUMERIC)",
    "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT COLLATE NOCASE UNIQUE)",
    "CREATE TABLE pairs (a TEXT COLLATE NOCASE, b REAL, c BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "CREATE TABLE strict_ones (id TEXT PRIMARY KEY, i INT, r REAL, x ANY, b BLOB CHECK (b IS NOT x'00')) STRICT",
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people ON DELETE CASCADE ON UPDATE CASCADE, "
    "oid TEXT, changed INTEGER DEFAULT 0)",
    "CREATE TABLE log_of_notes (what TEXT)",
    "CREATE TRIGGER touched AFTER UPDATE OF oid ON notes BEGIN "
    "UPDATE notes SET changed = changed + 1 WHERE id = new.id; END",
    "CREATE TRIGGER logged AFTER DELETE ON notes BEGIN INSERT INTO log_of_notes VALUES ('gone ' || old.id); END",
)

SMALL = st.integers(0, 5)
NAMES = st.sampled_from(["a", "A", "b", "B", "c", "1", "1.0", ""])
ANY = (
    st.none()
    | SMALL
    | st.sampled_from([0.0, -0.0, 1.0, 2.5, float("inf"), -(2**63), 2**63 - 1, 2**53 + 1])
    | NAMES
    | st.sampled_from([b"", b"a", b"\xff\x00"])
    | st.just("nul\0in it")
)
MAYBE = st.none() | SMALL


def statement(sql: str, *parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.just(sql), st.tuples(*parameters))


PROGRAMS = st.lists(
    st.one_of(
        statement("INSERT INTO plain VALUES (?, ?), (?, ?)", ANY, ANY, ANY, ANY),
        statement("INSERT INTO plain VALUES (CAST(? AS TEXT), 1)", st.sampled_from([b"\xff", b"\xfe\x80", b"ok"])),
        statement("INSERT INTO plain (rowid, a) VALUES (?, ?)", SMALL, ANY),
        statement("UPDATE plain SET rowid = ?, b = ? WHERE rowid = ?", SMALL, ANY, SMALL),
        statement("UPDATE plain SET a = b, b = a"),
        statement("DELETE FROM plain WHERE rowid = ?", SMALL),
        statement("INSERT OR IGNORE INTO people (id, boss, name, n) VALUES (?, ?, ?, ?)", SMALL, MAYBE, NAMES, ANY),
        statement("INSERT OR REPLACE INTO people (id, boss, name, n) VALUES (?, ?, ?, ?)", SMALL, MAYBE, NAMES, ANY),
        statement("UPDATE people SET id = ? WHERE id = ?", SMALL, SMALL),
        statement("UPDATE people SET id = id + ?", SMALL),
        statement("UPDATE people SET boss = id"),
        statement("UPDATE OR REPLACE people SET name = ? WHERE id = ?", NAMES, SMALL),
        statement("DELETE FROM people WHERE id = ?", SMALL),
        statement("INSERT INTO counted (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = excluded.a || 'x'", NAMES),
        statement("INSERT OR REPLACE INTO counted (id, a) VALUES (?, ?)", SMALL, NAMES),
        statement("UPDATE counted SET a = a || '!'"),
        statement("DELETE FROM counted"),
        statement("DELETE FROM sqlite_sequence"),
        statement("UPDATE sqlite_sequence SET seq = ? WHERE name = 'counted'", SMALL),
        statement("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)", NAMES, SMALL, ANY),
        statement("UPDATE pairs SET a = ?, c = ? WHERE a = ?", NAMES, ANY, NAMES),
        statement("UPDATE OR REPLACE pairs SET b = b + ?", SMALL),
        statement("DELETE FROM pairs WHERE b > ?", SMALL),
        statement(
            "REPLACE INTO strict_ones VALUES (?, ?, ?, ?, ?)", NAMES, MAYBE, MAYBE, ANY, st.sampled_from([b"", b"z"])
        ),
        statement("UPDATE strict_ones SET x = ?, id = id || 'y'", ANY),
        statement("INSERT OR IGNORE INTO notes (id, person, oid) VALUES (?, ?, ?)", SMALL, MAYBE, NAMES),
        statement("REPLACE INTO notes (id, person, oid) VALUES (?, ?, ?)", SMALL, MAYBE, NAMES),
        statement("UPDATE notes SET oid = ? WHERE id = ?", NAMES, SMALL),
        statement("DELETE FROM notes WHERE id < ?", SMALL),
        statement("ALTER TABLE plain ADD COLUMN more DEFAULT 'new'"),
        statement("ALTER TABLE plain RENAME COLUMN b TO bb"),
        statement("ALTER TABLE counted RENAME TO counted_again"),
        statement("ALTER TABLE notes DROP COLUMN changed"),
        statement("DROP TRIGGER IF EXISTS touched"),
        statement("CREATE TABLE IF NOT EXISTS later AS SELECT a AS x, rowid AS y FROM plain"),
        statement("CREATE INDEX IF NOT EXISTS by_a ON plain (a)"),
        statement("DROP TABLE people"),
        statement("SAVEPOINT s"),
        statement("ROLLBACK TO s"),
        statement("COMMIT"),
    ),
    max_size=25,
)
SCHEMA_WORDS = ("CREATE", "ALTER", "DROP")
CONTROL_WORDS = ("SAVEPOINT", "ROLLBACK")


@contextmanager
def opened() -> Iterator[Connection]:
    db = open_plain_memory()
    with closing(cast(Any, db)):
        yield db


class Recorder(Protocol):
    """What a source asks of whoever sees what its statements did."""

    def prepare(self, writes: tuple[str, ...] | None = None, sql: str | None = None) -> None: ...
    def before_schema_change(self, sql: str) -> None: ...
    def after_schema_change(self, sql: str) -> None: ...
    def drain(self) -> tuple[tuple[Layout, ...], list[Any]]: ...


class Comparison:
    """The other way to find out what happened: every table before and after. Slow, and simple."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._layouts: list[Layout] = []
        self._steps: list[Any] = []
        self._seen = self._read()

    def prepare(self, writes: tuple[str, ...] | None = None, sql: str | None = None) -> None:
        """Look at what the statement before did, unless that was undone."""
        self.look()

    def before_schema_change(self, sql: str) -> None:
        self.look()

    def after_schema_change(self, sql: str) -> None:
        after = self._read()
        same = [name for name, (layout, _) in self._seen.items() if layout and after.get(name, ("",))[0] == layout]
        self._compare(same, after)  # DROP TABLE deletes rows of others
        self._steps.append(SchemaChange(sql=sql))
        self._seen = after

    def drain(self) -> tuple[tuple[Layout, ...], list[Any]]:
        self.look()
        found = tuple(self._layouts), self._steps
        self._layouts, self._steps = [], []
        return found

    def look(self) -> None:
        after = self._read()
        self._compare([name for name in self._seen if name in after], after)
        self._seen = after

    def _compare(self, names: list[str], after: dict[str, tuple[Layout | None, dict[Any, Any]]]) -> None:
        for name in names:
            layout, old = self._seen[name]
            new = after[name][1]
            if layout is None:
                self._steps += [SequenceChange(table=key, value=None) for key in old if key not in new]
                self._steps += [SequenceChange(table=key, value=new[key]) for key in new if old.get(key) != new[key]]
                continue
            self._layouts.append(layout)
            for key in dict.fromkeys([*old, *new]):
                if exact(old.get(key, ())) != exact(new.get(key, ())):
                    self._steps.append(change(len(self._layouts) - 1, layout, key, old.get(key), new.get(key)))

    def _read(self) -> dict[str, tuple[Layout | None, dict[Any, Any]]]:
        found: dict[str, tuple[Layout | None, dict[Any, Any]]] = {}
        for (name,) in self._db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            if name == "sqlite_sequence":
                found[name] = None, dict(self._db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
                continue
            table = read_table(cast(Any, self._db), name)
            assert table is not None
            layout = Layout(table=name, columns=table.columns, key=table.key, rowid=not table.without_rowid)
            columns = [
                f"CASE WHEN typeof({c}) = 'text' THEN CAST({c} AS BLOB) ELSE {c} END, typeof({c})"
                for c in layout.columns
            ]
            key = table.rowid if table.rowid is not None else "NULL"
            found[name] = (
                layout,
                {
                    key_of(layout, (row[0], image)): image
                    for row in self._db.execute(f"SELECT {key}, {', '.join(columns)} FROM {name}").fetchall()
                    for image in [tuple(map(value, row[1::2], row[2::2]))]
                },
            )
        return found


def value(data: Any, kind: str) -> Any:
    if kind != "text":
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return RawText(data)


def change(index: int, layout: Layout, key: Any, before: Any, after: Any) -> RowChange:
    operation = Operation.INSERT if before is None else Operation.DELETE if after is None else Operation.UPDATE
    return RowChange(
        layout=index,
        operation=operation,
        rowid_before=key if layout.rowid and before is not None else None,
        rowid_after=key if layout.rowid and after is not None else None,
        before=before,
        after=after,
    )


class Source:
    """A database whose transactions are recorded."""

    def __init__(self, db: Connection, recorder: Callable[[Connection], Recorder]) -> None:
        self.db = db
        self.recorder = recorder(db)
        self.transactions: list[Transaction] = []
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        for sql in SCHEMA:
            self.run(sql)
        self.commit()

    def run(self, sql: str, parameters: tuple[Any, ...] = ()) -> None:
        word = sql.split()[0]
        if word == "COMMIT":
            self.commit()
        elif word in CONTROL_WORDS:
            with suppress(SqliteError):
                self.db.execute(sql)
        elif word in SCHEMA_WORDS:
            self.db.execute("SAVEPOINT ddl")
            try:
                self.recorder.before_schema_change(sql)
                self.db.execute(sql)
                self.recorder.after_schema_change(sql)
            except (SqliteError, SqlRefused):
                self.db.execute("ROLLBACK TO ddl")
            self.db.execute("RELEASE ddl")
        else:
            with suppress(SqliteError, SqlRefused):
                self.recorder.prepare(None, sql)
                self.db.execute(sql, parameters)

    def commit(self) -> None:
        if sqlite_api.deferred_violations(self.db):
            self.db.execute("ROLLBACK")
            self.recorder.drain()
        else:
            layouts, steps = self.recorder.drain()
            if steps:
                self.transactions.append(Transaction(id=ID, layouts=layouts, steps=tuple(steps)))
            self.db.execute("COMMIT")
        self.db.execute("BEGIN IMMEDIATE")


def shape(db: Connection) -> list[tuple[Any, ...]]:
    return list(db.execute("SELECT type, name, tbl_name, sql FROM main.sqlite_master ORDER BY type, name"))


def rows(db: Connection) -> dict[str, list[str]]:
    found = {}
    tables = db.execute("SELECT name, sql LIKE '%WITHOUT ROWID%' FROM main.sqlite_master WHERE type = 'table'")
    for table, without in tables.fetchall():
        columns = [row[1] for row in db.execute(f"PRAGMA table_xinfo({table})").fetchall()]
        shown = [f"typeof({name}), hex({name}), CASE typeof({name}) WHEN 'real' THEN {name} END" for name in columns]
        rowid = [] if without or table == "sqlite_sequence" else ["_rowid_"]
        listed = db.execute(f"SELECT {', '.join(rowid + shown)} FROM main.{table}").fetchall()
        found[table] = sorted(map(repr, listed))
    return found


def through_the_log(transaction: Transaction) -> Transaction:
    reader = TransactionReader()
    found = None
    for payload in encode_transaction(transaction, {"notes": "person", "plain": "a"}):
        found = reader.feed(payload.data)
    assert found is not None
    return found


def shuffled(transaction: Transaction, seed: int) -> Transaction:
    """The same, with the row changes between two changes of the schema in another order."""
    chance = random.Random(seed)
    steps: list[Any] = []
    run: list[Any] = []
    for step in (*transaction.steps, None):
        if isinstance(step, RowChange):
            run.append(step)
            continue
        chance.shuffle(run)
        steps += run
        run = []
        if step is not None:
            steps.append(step)
    return evolve(transaction, steps=tuple(steps))


def replay(db: Connection, transactions: list[Transaction]) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    applier = Applier(db)
    for transaction in transactions:
        db.execute("BEGIN")
        applier.apply(transaction)
        db.execute("COMMIT")


Program = list[tuple[str, tuple[Any, ...]]]


def recorded(db: Connection, recorder: Callable[[Connection], Recorder], program: Program) -> list[Transaction]:
    source = Source(db, recorder)
    for sql, parameters in program:
        source.run(sql, parameters)
    source.commit()
    db.execute("COMMIT")
    return source.transactions


@settings(max_examples=150)
@given(program=PROGRAMS, seed=st.integers(0, 1000))
def test_what_is_applied_is_what_was_captured(program: Program, seed: int) -> None:
    with opened() as source, opened() as db, opened() as other:
        transactions = recorded(source, Capture, program)
        assert [through_the_log(transaction) for transaction in transactions] == transactions
        replay(db, transactions)
        assert shape(db) == shape(source)
        assert rows(db) == rows(source)
        replay(other, [shuffled(transaction, seed) for transaction in transactions])
        assert rows(other) == rows(source)


@settings(max_examples=150)
@given(program=PROGRAMS, seed=st.integers(0, 1000), with_api=st.booleans())
def test_what_is_applied_is_what_was_found_by_comparing(program: Program, seed: int, with_api: bool) -> None:
    program = [each for each in program if "AS SELECT" not in each[0] and each[0].split()[0] not in CONTROL_WORDS]
    with opened() as source, opened() as db, pytest.MonkeyPatch.context() as patch:
        transactions = [through_the_log(transaction) for transaction in recorded(source, Comparison, program)]
        if not with_api:
            patch.setattr(sqlite_api, "_library", lambda: None)
        replay(db, [shuffled(transaction, seed) for transaction in transactions])
        assert shape(db) == shape(source)
        assert rows(db) == rows(source)
