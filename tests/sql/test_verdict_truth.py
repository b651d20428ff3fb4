"""What a verdict says is what happens: random statements on a database with triggers, cascades and TEMP objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.projections.store import SqliteError, open_plain_memory
from vdb.sql.verdict import Classifier, StatementKind

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE grandchild (id INTEGER PRIMARY KEY, child REFERENCES child ON DELETE SET NULL);
CREATE TABLE log (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE both (id INTEGER PRIMARY KEY, name TEXT);
CREATE VIEW names AS SELECT id, name FROM parent;
CREATE TRIGGER names_in INSTEAD OF INSERT ON names BEGIN INSERT OR IGNORE INTO parent VALUES (new.id, new.name); END;
CREATE TRIGGER names_out INSTEAD OF DELETE ON names BEGIN DELETE FROM parent WHERE id = old.id; END;
CREATE TRIGGER child_log AFTER DELETE ON child BEGIN INSERT INTO log (name) VALUES (old.parent); END;
CREATE TEMP TABLE both (id INTEGER PRIMARY KEY, name TEXT);
CREATE TEMP TABLE scratch (id INTEGER PRIMARY KEY, name TEXT);
CREATE TEMP TRIGGER to_main AFTER DELETE ON scratch BEGIN DELETE FROM log; END;
CREATE TEMP TRIGGER to_temp AFTER INSERT ON parent BEGIN INSERT INTO scratch (name) VALUES (new.name); END;
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO grandchild VALUES (1, 1), (2, 3);
INSERT INTO log VALUES (1, 'x');
INSERT INTO main.both VALUES (1, 'm');
INSERT INTO temp.both VALUES (1, 't');
INSERT INTO scratch VALUES (7, 's');
"""

TABLES = ("parent", "child", "grandchild", "log", "both", "main.both", "temp.both", "scratch", "names")
MAIN = ("parent", "child", "grandchild", "log", "both", "sqlite_sequence")

TABLE = st.sampled_from(TABLES)
NUMBER = st.integers(0, 4).map(str)
NAME = st.sampled_from(["'a'", "'b'", "'z'", "NULL"])
CONFLICT = st.sampled_from(["", " OR REPLACE", " OR IGNORE", " OR FAIL"])
RETURNING = st.sampled_from(["", " RETURNING *", " RETURNING id"])
WITH = st.sampled_from(["", "WITH c AS (SELECT 1 AS id) "])
WHERE = st.one_of(st.just(""), NUMBER.map(lambda n: f" WHERE id = {n}"), st.just(" WHERE id IN (SELECT id FROM child)"))


def joined(*parts: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map("".join)


STATEMENTS = st.one_of(
    joined(WITH, "SELECT * FROM ", TABLE, WHERE),
    joined("EXPLAIN ", "DELETE FROM ", TABLE),
    joined("INSERT", CONFLICT, " INTO ", TABLE, " VALUES (", NUMBER, ", ", NAME, ")", RETURNING),
    joined("INSERT", CONFLICT, " INTO ", TABLE, " SELECT id + ", NUMBER, ", 1 FROM ", TABLE, " WHERE true", RETURNING),
    joined("REPLACE INTO ", TABLE, " VALUES (", NUMBER, ", ", NAME, ")"),
    joined(WITH, "UPDATE", CONFLICT, " ", TABLE, " SET id = id + ", NUMBER, WHERE, RETURNING),
    joined(WITH, "DELETE FROM ", TABLE, WHERE, RETURNING),
    joined("CREATE TEMP TABLE t AS SELECT * FROM ", TABLE),
    joined("CREATE TABLE IF NOT EXISTS ", TABLE, " (id)"),
    joined("DROP TABLE ", TABLE),
    joined("ALTER TABLE ", TABLE, " ADD COLUMN more"),
    joined("CREATE INDEX IF NOT EXISTS more ON ", TABLE, " (id)"),
    st.just("ANALYZE"),
    st.just("REINDEX"),
)


@contextmanager
def database(*, foreign_keys: bool) -> Iterator[Any]:
    connection: Any = open_plain_memory()
    with closing(connection):
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
        yield connection


def contents(db: Any) -> dict[str, Any]:
    """Rows of each table of the database, and its schema."""
    found = {"": db.execute("SELECT * FROM main.sqlite_master WHERE name NOT LIKE 'sqlite_stat%'").fetchall()}
    there = [name for (name,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()]
    for name in MAIN:
        found[name] = db.execute(f"SELECT * FROM main.{name} ORDER BY 1").fetchall() if name in there else None
    return found


@settings(max_examples=300)
@given(STATEMENTS, st.booleans())
def test_what_a_verdict_says_is_what_happens(sql: str, foreign_keys: bool) -> None:
    with database(foreign_keys=foreign_keys) as db:
        classifier = Classifier(db)
        before = contents(db)
        try:
            verdict = classifier.verdict(sql)
        except SqliteError:
            return
        try:
            cursor = db.execute(sql)
            assert (cursor.description is not None) == verdict.returns_rows
            cursor.fetchall()
        except SqliteError:
            pass
        after = contents(db)
        changed = [name for name in before if before[name] != after[name]]
        if verdict.kind is StatementKind.WRITE:
            # AUTOINCREMENT's own rows aren't reported: capture looks after them.
            assert [name for name in changed if name not in (*verdict.writes, "sqlite_sequence")] == []
        elif verdict.kind is not StatementKind.SCHEMA:
            assert changed == []
