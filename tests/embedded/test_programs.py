"""Programs of SQL do on VerityDB what they do on plain SQLite: results, errors, counts, and tables at the end.

Two sessions on a database of a node, and two connections to a plain file, do the same; what is in the log makes the
same tables again.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from vdb.embedded.crud import LocalDatabase
from vdb.embedded.memory import open_memory
from vdb.errors import DatabaseLocked, SqlRefused
from vdb.node.crud.following import read_transactions
from vdb.projections.store import SqliteError, close_sqlcipher, in_transaction, open_plain_memory, open_sqlcipher
from vdb.sql.applying import apply_transaction
from vdb.sql.host import run_inline
from vdb.sql.names import INTERNAL_TABLES

KEY = bytes(32)
SCHEMA = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES people ON UPDATE CASCADE ON DELETE SET NULL, "
    "name TEXT UNIQUE, upper TEXT AS (upper(name)))",
    "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, person INTEGER REFERENCES people ON DELETE CASCADE "
    "DEFERRABLE INITIALLY DEFERRED, text TEXT CHECK (text <> 'bad'))",
    "CREATE TABLE pairs (a TEXT COLLATE NOCASE, b REAL, c, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "CREATE TABLE plain (a, b)",
    "CREATE UNIQUE INDEX plain_a ON plain (a) WHERE b IS NOT NULL",
    "CREATE TABLE counts (what TEXT PRIMARY KEY, n INTEGER) STRICT",
    "CREATE VIEW names AS SELECT id, name FROM people",
    "CREATE TRIGGER names_in INSTEAD OF INSERT ON names BEGIN INSERT INTO people (name) VALUES (new.name); END",
    "CREATE TRIGGER counted AFTER DELETE ON notes BEGIN "
    "INSERT INTO counts SELECT 'deleted', 1 + coalesce((SELECT n FROM counts WHERE what = 'deleted'), 0); END",
    "CREATE TRIGGER ending BEFORE INSERT ON plain WHEN new.a = 'end' BEGIN SELECT raise(ROLLBACK, 'ended'); END",
    "CREATE TRIGGER failing BEFORE INSERT ON plain WHEN new.a = 'fail' BEGIN SELECT raise(FAIL, 'failed'); END",
)
LOCKED = ("database is locked",)
"""The other session writes, or has written since this one's transaction began to read: it has done nothing then."""
REFUSED = ("refused",)
"""A REPLACE where nobody could say which rows it takes: it has done nothing then."""

NUMBER = st.sampled_from(["1", "2", "3", "4", "NULL"])
NAME = st.sampled_from(["'a'", "'A'", "'b'", "'end'", "'fail'", "'bad'", "x'41'", "1.5", "NULL", "9223372036854775807"])
CONFLICT = st.sampled_from(["", "", " OR REPLACE", " OR IGNORE", " OR FAIL", " OR ROLLBACK", " OR ABORT"])
RETURNING = st.sampled_from(["", "", " RETURNING *"])
SAVEPOINT = st.sampled_from(["s", "t"])


PARTS = {"c": CONFLICT, "r": RETURNING, "n": NUMBER, "m": NUMBER, "t": NAME, "u": NAME, "s": SAVEPOINT}


def text(form: str) -> st.SearchStrategy[str]:
    """The form with each of its parts drawn."""
    parts = {name: strategy for name, strategy in PARTS.items() if f"{{{name}}}" in form}
    return st.fixed_dictionaries(parts).map(lambda found: form.format(**found))


WRITES = st.one_of(
    text("INSERT{c} INTO people (id, boss, name) VALUES ({n}, {m}, {t}){r}"),
    text("INSERT{c} INTO notes (person, text) VALUES ({n}, {t}), ({m}, {t}){r}"),
    text("INSERT{c} INTO pairs VALUES ({t}, {n}, {u}){r}"),
    text("INSERT{c} INTO plain VALUES ({t}, {n}), ({u}, {m}){r}"),
    text("INSERT INTO counts VALUES ({t}, {n}) ON CONFLICT (what) DO UPDATE SET n = n + excluded.n"),
    text("INSERT INTO names (name) VALUES ({t})"),
    text("INSERT INTO plain SELECT name, id FROM people WHERE id <> {n}"),
    text("UPDATE{c} people SET id = id + 1, boss = {n} WHERE id >= {m}{r}"),
    text("UPDATE{c} pairs SET a = {t} WHERE b <> {n}{r}"),
    text("UPDATE notes SET person = {n}, text = people.name FROM people WHERE people.id = notes.person"),
    text("UPDATE plain SET a = a, b = {t} WHERE b IS {n}"),
    text("WITH some AS (SELECT {n} AS id) DELETE FROM people WHERE id IN some{r}"),
    text("DELETE FROM notes WHERE person IS {n} OR id = {m}{r}"),
    st.sampled_from(["DELETE FROM plain", "DELETE FROM pairs", "UPDATE sqlite_sequence SET seq = 1"]),
)
READS = st.sampled_from(
    [
        "SELECT id, boss, name, upper FROM people",
        "SELECT * FROM notes",
        "SELECT a, b, typeof(c) FROM pairs",
        "SELECT rowid, * FROM plain",
        "SELECT * FROM counts, names",
        "SELECT changes()",
        "SELECT absent",
    ]
)
CONTROL = st.one_of(
    st.sampled_from(["BEGIN", "BEGIN", "BEGIN IMMEDIATE", "COMMIT", "COMMIT", "ROLLBACK"]),
    text("SAVEPOINT {s}"),
    text("RELEASE {s}"),
    text("ROLLBACK TO {s}"),
)
SCHEMA_CHANGES = st.sampled_from(
    [
        "CREATE TABLE more (a PRIMARY KEY, b DEFAULT 7)",
        "CREATE TABLE more AS SELECT a, b FROM plain",
        "INSERT INTO more (a) VALUES ('m')",
        "ALTER TABLE plain ADD COLUMN added DEFAULT 'x'",
        "ALTER TABLE pairs RENAME COLUMN c TO d",
        "DROP TABLE more",
        "DROP TABLE IF EXISTS more",
        "CREATE INDEX IF NOT EXISTS notes_text ON notes (text)",
        "CREATE TEMP TABLE mine AS SELECT * FROM people",
        "INSERT INTO mine (id) VALUES (9)",
        "DROP TABLE mine",
    ]
)
SETTINGS = st.sampled_from(
    ["PRAGMA foreign_keys = ON", "PRAGMA foreign_keys = OFF", "PRAGMA recursive_triggers = ON", "PRAGMA foreign_keys"]
)
WHO = st.sampled_from([0, 0, 0, 1])


def plain_rows(rows: list[tuple[Any, ...]]) -> list[str]:
    """In an order that is the same on both sides."""
    return sorted(map(repr, rows))


class Programs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        path = str(Path(self.folder.name) / "twin.db")
        self.database: LocalDatabase
        self.database, self.let_go = open_memory()
        self.sessions = [self.database.session(lock_timeout=0.0) for _ in range(2)]
        self.twins: list[Any] = [open_sqlcipher(path, KEY) for _ in range(2)]
        for statement in SCHEMA:
            self.both(0, statement)

    @rule(who=WHO, sql=WRITES)
    def write(self, who: int, sql: str) -> None:
        self.both(who, sql)

    @rule(who=WHO, sql=READS)
    def read(self, who: int, sql: str) -> None:
        self.both(who, sql)

    @rule(who=WHO, sql=CONTROL)
    def control(self, who: int, sql: str) -> None:
        self.both(who, sql)

    @rule(who=WHO, sql=SCHEMA_CHANGES)
    def change_schema(self, who: int, sql: str) -> None:
        self.both(who, sql)

    @rule(who=WHO, sql=SETTINGS)
    def set_up(self, who: int, sql: str) -> None:
        self.both(who, sql)

    def both(self, who: int, sql: str) -> None:
        self.healthy = False
        session, twin = self.sessions[who], self.twins[who]
        ours = self.ours(session, sql)
        if ours not in (REFUSED, LOCKED):
            theirs = self.theirs(twin, sql)
            # What a statement lacks is found before the lock is asked for.
            assert ours == theirs or (theirs == LOCKED and ours[0] != "done"), (who, sql, ours, theirs)
        assert session.in_transaction == in_transaction(twin), (who, sql)
        self.healthy = True

    def ours(self, session: Any, sql: str) -> tuple[Any, ...]:
        try:
            result = run_inline(session.execute(sql))
            rows = plain_rows(result.fetchall())
            changed = result.rowcount if result.cursor is None else result.cursor.rowcount
            return self.done(sql, rows, changed, result.lastrowid)
        except DatabaseLocked:
            return LOCKED
        except SqlRefused:
            return REFUSED
        except SqliteError as error:
            session.notice()
            return self.said(error)

    def theirs(self, twin: Any, sql: str) -> tuple[Any, ...]:
        try:
            cursor = twin.execute(sql)
            rows = plain_rows(cursor.fetchall())
            return self.done(sql, rows, cursor.rowcount, cursor.lastrowid)
        except SqliteError as error:
            return self.said(error)

    def done(self, sql: str, rows: list[str], changed: int, lastrowid: int | None) -> tuple[Any, ...]:
        """The binding counts rows of RETURNING as they are fetched: such counts say nothing. What isn't a row's number
        is one of an earlier row, perhaps of one that a failed statement took back."""
        if "RETURNING" in sql:
            return "done", rows
        numbered = sql.startswith("INSERT") and "INTO pairs" not in sql and "INTO names" not in sql
        return "done", rows, changed, lastrowid if numbered and changed else None

    def said(self, error: BaseException) -> tuple[Any, ...]:
        return LOCKED if str(error) == LOCKED[0] else (type(error).__name__, str(error))

    def teardown(self) -> None:
        try:
            if not self.healthy:
                return  # a step has failed, and says more than what follows from it
            for who, twin in enumerate(self.twins):
                if in_transaction(twin):
                    self.both(who, "ROLLBACK")
            found = contents(self.sessions[1].db)
            assert found == contents(self.twins[1])
            assert self.rebuilt() == found
        finally:
            for session in self.sessions:
                self.database.end(session)
            self.let_go()
            for twin in self.twins:
                close_sqlcipher(twin)
            self.folder.cleanup()

    def rebuilt(self) -> dict[str, Any]:
        """What the log makes of nothing."""
        crud = self.database.crud
        db: Any = open_plain_memory()

        async def apply() -> None:
            async for some in read_transactions(crud.reader, crud.tenant, crud.stream, 0, crud.applied):
                for one in some:
                    db.execute("BEGIN")
                    apply_transaction(db, one.transaction)
                    db.execute("COMMIT")

        try:
            self.database.call(apply)
            return contents(db)
        finally:
            close_sqlcipher(db)


def contents(db: Any) -> dict[str, Any]:
    """The schema, and each table's rows."""
    objects = db.execute("SELECT type, name, sql FROM main.sqlite_master ORDER BY type, name").fetchall()
    kept = [row for row in objects if not any(name in (row[1] + str(row[2])) for name in INTERNAL_TABLES)]
    found: dict[str, Any] = {"": kept}
    for kind, name, sql in kept:
        if kind == "table":
            numbered = "" if "WITHOUT ROWID" in (sql or "") else "rowid, "
            found[name] = plain_rows(db.execute(f"SELECT {numbered}* FROM main.{name}").fetchall())
    return found


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(
    max_examples=40, stateful_step_count=30, phases=[Phase.generate], report_multiple_bugs=False
)
