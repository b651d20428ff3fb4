"""Findings about migrations."""

from __future__ import annotations

import pytest

from vdb.sql.lint import lint


def texts(sql: str, *, phi: bool = False) -> list[str]:
    return [finding.text() for finding in lint({"0001_a.sql": sql}, phi=phi)]


TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);\n"


@pytest.mark.parametrize(
    "sql",
    [
        TABLE,
        TABLE + "CREATE TABLE u (id INTEGER PRIMARY KEY, at DEFAULT CURRENT_TIMESTAMP, r DEFAULT (random()));",
        TABLE + "CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END;",
        TABLE + "CREATE VIEW v AS SELECT 1 AS a; "
        "CREATE TRIGGER x INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (new.a); END;",
        TABLE + "UPDATE t SET a = 1 WHERE id = 2; DELETE FROM t WHERE 1; WITH c AS (SELECT 1) DELETE FROM t WHERE a;",
        TABLE + "UPDATE OR REPLACE t SET a = 1 WHERE id = 2; ALTER TABLE t ADD COLUMN b;",
    ],
)
def test_nothing_to_say(sql: str) -> None:
    assert texts(sql) == []


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("SELECT x", "error: 0001_a.sql, line 1: no such column: x"),
        ("BEGIN", "error: 0001_a.sql, line 1: BEGIN is refused: a migration is one transaction by itself"),
        (TABLE + "CREATE VIEW v AS SELECT f(a) FROM t", "error: view v can't be read: no such function: f"),
        (
            TABLE + "CREATE TRIGGER x AFTER UPDATE ON t BEGIN SELECT f(1); END",
            "error: a trigger on t fails at UPDATE: no such function: f",
        ),
        (
            TABLE + "CREATE TRIGGER x AFTER DELETE ON t BEGIN DELETE FROM u; END",
            "error: a trigger on t fails at DELETE: no such table: main.u",
        ),
        (
            TABLE + "UPDATE t SET a = 1",
            "warning: 0001_a.sql, line 2: changes every row of t: each one becomes an event of its own in the log",
        ),
        (
            TABLE + "\nDELETE FROM t;",
            "warning: 0001_a.sql, line 3: deletes every row of t: each one becomes an event of its own in the log",
        ),
        (TABLE + "DROP TABLE t", "warning: 0001_a.sql, line 2: drops table t: its rows stay in history"),
        (
            TABLE + "ALTER TABLE t DROP COLUMN a",
            "warning: 0001_a.sql, line 2: drops a column of t: its values stay in history",
        ),
        ("CREATE TABLE t (a)", "warning: table t has no primary key: its history is found by rowid alone"),
        (
            "CREATE TABLE t (a STRING(8) PRIMARY KEY)",
            "warning: column t.a has type STRING(8), which SQLite takes for a number: '007' becomes 7; write TEXT",
        ),
    ],
)
def test_findings(sql: str, finding: str) -> None:
    assert texts(sql) == [finding]


def test_tables_without_a_subject_column() -> None:
    files = TABLE + "CREATE TABLE patients (id TEXT PRIMARY KEY);\n-- vdb: subject Patients.id\n"
    assert texts(files, phi=True) == [
        "warning: table t has no subject column: its rows fall under the database's key, and can't be erased per "
        "subject; say `-- vdb: subject t.COLUMN` if a column names the subject"
    ]
    assert texts(files) == []


def test_errors_come_first() -> None:
    found = lint({"0001_a.sql": TABLE + "DELETE FROM t;", "0002_b.sql": "SELECT f()"}, phi=False)
    assert [finding.severity.value for finding in found] == ["error", "warning"]
    assert [finding.text() for finding in lint({"x.sql": ""})] == [
        "error: x.sql: a migration is named NNNN_name.sql, four digits and a name"
    ]
