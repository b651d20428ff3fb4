"""Capture beside other connections, which change the schema too; its speed; and what it installs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vdb.changes import Operation, RowChange
from vdb.errors import SqlRefused
from vdb.projections.store import SqliteError, close_sqlcipher, open_sqlcipher
from vdb.sql.capture import Capture
from vdb.sql.verdict import Classifier

KEY = b"k" * 32


class Session:
    """One connection with its capture, under the authorizer that sessions have."""

    def __init__(self, path: Path) -> None:
        self.db: Any = open_sqlcipher(str(path), KEY)
        self.classifier = Classifier(self.db)
        self.capture = Capture(self.db, self.classifier.trusting)

    def __call__(self, *statements: str) -> list[tuple[str, Operation]]:
        """One transaction; the rows that it changed."""
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("SELECT count(*) FROM main.sqlite_master").fetchall()  # SQLite notices others' changes
        for sql in statements:
            self.run(sql)
        layouts, steps = self.capture.drain()
        self.db.execute("COMMIT")
        return [(layouts[step.layout].table, step.operation) for step in steps if isinstance(step, RowChange)]

    def run(self, sql: str) -> None:
        if sql.startswith(("SAVEPOINT", "ROLLBACK", "RELEASE")):
            self.db.execute(sql)
            return
        self.classifier.forget()
        try:
            verdict = self.classifier.verdict(sql)
        except SqliteError:
            if not self.capture.make_way():
                raise
            verdict = self.classifier.verdict(sql)
        if sql.startswith(("CREATE TEMP", "DROP TRIGGER temp")):
            self.db.execute(sql)
        elif sql.startswith(("CREATE", "ALTER", "DROP")):
            self.capture.before_schema_change(sql, verdict)
            self.db.execute(sql)
            self.capture.after_schema_change(sql, verdict)
        else:
            self.capture.prepare(verdict.writes, sql)
            self.db.execute(sql).fetchall()

    def triggers(self) -> list[str]:
        rows = self.db.execute("SELECT tbl_name FROM temp.sqlite_master WHERE type = 'trigger' ORDER BY 1").fetchall()
        return [name for (name,) in rows]


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[tuple[Session, Session]]:
    both = Session(tmp_path / "x.db"), Session(tmp_path / "x.db")
    yield both
    for session in both:
        close_sqlcipher(session.db)


INSERTED = [("t", Operation.INSERT)]


def test_a_column_that_another_connection_added_or_dropped(sessions: tuple[Session, Session]) -> None:
    one, two = sessions
    one("CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 1)")
    two("ALTER TABLE t ADD COLUMN c", "INSERT INTO t VALUES (1, 1, 1)")
    assert one("INSERT INTO t VALUES (2, 2, 2)") == INSERTED
    two("ALTER TABLE t DROP COLUMN a")
    assert one("INSERT INTO t VALUES (3, 3)") == INSERTED
    two("ALTER TABLE t RENAME COLUMN b TO z")
    assert one("INSERT INTO t (z) VALUES (4)") == INSERTED


def test_a_table_that_another_connection_dropped_and_this_one_makes_again(sessions: tuple[Session, Session]) -> None:
    one, two = sessions
    one("CREATE TABLE t (a, b)", "CREATE TABLE u (x)", "INSERT INTO t VALUES (1, 1)")
    two("DROP TABLE t")
    assert one("INSERT INTO u VALUES (1)") == [("u", Operation.INSERT)]
    one("CREATE TABLE t (z)")
    assert one("INSERT INTO t VALUES (1)") == INSERTED
    # Now SQLite reads the schema anew, and knows the old triggers again.
    two("CREATE TABLE other (x)")
    assert one("INSERT INTO t VALUES (2)") == INSERTED
    assert one("SAVEPOINT s", "CREATE TABLE w (x)", "ROLLBACK TO s", "INSERT INTO t VALUES (3)") == INSERTED
    one("ALTER TABLE t RENAME TO v", "ALTER TABLE v RENAME COLUMN z TO y", "ALTER TABLE v ADD COLUMN more")
    assert one("INSERT INTO v VALUES (4, 4)") == [("v", Operation.INSERT)]


def test_a_table_that_another_connection_renamed_or_replaced(sessions: tuple[Session, Session]) -> None:
    one, two = sessions
    one("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    two("ALTER TABLE t RENAME TO t2")
    assert one("INSERT INTO t2 VALUES (1)") == [("t2", Operation.INSERT)]
    two("CREATE TABLE t (p, q)")
    assert one("INSERT INTO t VALUES (1, 2)") == INSERTED
    two("DROP TABLE t", "CREATE TABLE t (p, q)")
    assert one("INSERT INTO t VALUES (1, 2)") == INSERTED


def test_what_a_rollback_takes_back_is_put_in_place_again(sessions: tuple[Session, Session]) -> None:
    one, _ = sessions
    one("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)", "CREATE TABLE u (a)")
    one.db.execute("BEGIN IMMEDIATE")
    one.run("INSERT INTO u VALUES (1)")
    one.db.execute("ROLLBACK")
    assert one.capture.drain() == ((), [])
    assert not one.capture.pending()
    assert (
        one("SAVEPOINT s", "INSERT INTO t (a) VALUES (1)", "ROLLBACK TO s", "INSERT INTO t (a) VALUES (2)") == INSERTED
    )


def test_only_tables_that_a_write_may_reach_get_triggers(sessions: tuple[Session, Session]) -> None:
    one, _ = sessions
    one(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES P ON DELETE CASCADE)",
        "CREATE TABLE x (a)",
    )
    one("INSERT INTO c VALUES (NULL)")
    assert one.triggers() == ["c"] * 3
    one("INSERT INTO p VALUES (1)")
    assert one.triggers() == ["c"] * 3 + ["p"] * 3
    one("CREATE TRIGGER r AFTER INSERT ON p BEGIN INSERT INTO x VALUES (NEW.id); END")
    assert one("INSERT INTO p VALUES (2)") == [("p", Operation.INSERT), ("x", Operation.INSERT)]


def test_guards_come_with_the_first_replace(sessions: tuple[Session, Session]) -> None:
    one, _ = sessions
    one("CREATE TABLE t (a UNIQUE)", "INSERT INTO t VALUES (1)")
    assert one.triggers() == ["t"] * 3
    assert one("REPLACE INTO t VALUES (1)") == [("t", Operation.DELETE), ("t", Operation.INSERT)]
    assert len(one.triggers()) == 5


def test_a_temp_trigger_on_a_table(sessions: tuple[Session, Session]) -> None:
    one, _ = sessions
    one("CREATE TABLE t (a UNIQUE, n DEFAULT 0)", "INSERT INTO t (a) VALUES (1)")
    body = "UPDATE t SET n = n + 1 WHERE a = NEW.a"
    one.db.execute(f"CREATE TEMP TRIGGER mine AFTER UPDATE OF a ON main.t BEGIN {body}; END")
    assert one("UPDATE t SET a = 2") == [("t", Operation.UPDATE)] * 2
    one.db.execute("BEGIN IMMEDIATE")
    with pytest.raises(SqlRefused, match="nobody can say then which row went"):
        one.run("REPLACE INTO t (a) VALUES (2)")
    one.db.execute("ROLLBACK")
    one.db.execute("DROP TRIGGER temp.mine")
    assert one("REPLACE INTO t (a) VALUES (2)") == [("t", Operation.DELETE), ("t", Operation.INSERT)]


def test_a_cursor_that_is_open_meanwhile(sessions: tuple[Session, Session]) -> None:
    one, _ = sessions
    one("CREATE TABLE t (a UNIQUE)", "INSERT INTO t VALUES (1), (2), (3)", "CREATE TABLE u (a UNIQUE)")
    one.db.execute("BEGIN IMMEDIATE")
    cursor = one.db.execute("SELECT a FROM t")
    assert cursor.fetchone() == (1,)
    one.run("INSERT INTO u VALUES (1)")
    one.run("REPLACE INTO t VALUES (5), (6)")
    layouts, steps = one.capture.drain()
    assert len(steps) == 3
    assert len(layouts) == 2
    assert len(cursor.fetchall()) >= 2
    one.db.execute("COMMIT")


def test_twenty_thousand_rows(sessions: tuple[Session, Session]) -> None:
    one, _ = sessions
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    one("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
    assert len(one(f"{numbers} INSERT INTO t SELECT i, i, 'text' FROM n")) == 20_000
    assert one("UPDATE t SET a = a + 1")[-1] == ("t", Operation.UPDATE)
    assert len(one("DELETE FROM t")) == 20_000
