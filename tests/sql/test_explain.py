"""What a statement will read, write and log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vdb.errors import SqlRefused
from vdb.projections.store import SqliteError, close_sqlcipher, open_plain_memory
from vdb.sql.explain import explain
from vdb.sql.explanation import Explanation, Write
from vdb.sql.remarks import remarks
from vdb.sql.verdict import Classifier

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE);
CREATE TABLE log (line TEXT);
CREATE VIEW names AS SELECT name FROM parent;
CREATE TRIGGER names_in INSTEAD OF INSERT ON names BEGIN INSERT INTO parent (name) VALUES (new.name); END;
CREATE TRIGGER child_log AFTER INSERT ON child BEGIN INSERT INTO log VALUES (new.parent); END;
CREATE TEMP TABLE scratch (a);
PRAGMA foreign_keys = ON;
"""


@pytest.fixture
def db() -> Iterator[Any]:
    connection: Any = open_plain_memory()
    connection.executescript(SCHEMA)
    yield connection
    close_sqlcipher(connection)


def explained(db: Any, sql: str) -> Explanation:
    return explain(db, Classifier(db), sql, {"parent": "id"})


def text(db: Any, sql: str) -> list[str]:
    return [f"{heading:9} {line}".rstrip() for heading, line in explained(db, sql).lines()]


def test_a_read(db: Any) -> None:
    assert text(db, "SELECT name FROM names WHERE name = :name") == [
        "statement read",
        "reads     parent (name), through names",
        "          names (name)",
        "logs      nothing",
        "plan      SCAN parent",
    ]


def test_a_write_with_cascades(db: Any) -> None:
    assert text(db, "DELETE FROM parent WHERE id = ?2 AND name = ?") == [
        "statement write",
        "reads     parent (id, name)",
        "          child (parent)",
        "writes    parent: delete",
        "          child: delete, through a foreign key",
        "logs      Delete of each row of parent, under the subject in its column id",
        "          Delete of each row of child, under the database's key",
        "plan      SEARCH parent USING INTEGER PRIMARY KEY (rowid=?)",
        "          SCAN child",
    ]


def test_a_write_with_triggers(db: Any) -> None:
    found = explained(db, "INSERT INTO child (parent) VALUES (1)")
    assert found.writes == (
        Write(table="child", operation="insert"),
        Write(table="log", operation="insert", through="trigger child_log"),
    )


def test_a_write_to_a_view_logs_what_its_trigger_writes(db: Any) -> None:
    found = explained(db, "INSERT INTO names VALUES ('a')")
    assert [(write.table, write.view) for write in found.writes] == [("names", True), ("parent", False)]
    assert found.logs == ("Insert of each row of parent, under the subject in its column id",)


def test_replace(db: Any) -> None:
    expected = (
        "Update of each row of parent, under the subject in its column id",
        "Delete of each row that REPLACE removes",
    )
    assert set(expected) <= set(explained(db, "UPDATE OR REPLACE parent SET id = 1, name = 'a' WHERE id = 2").logs)


def test_what_logs_nothing(db: Any) -> None:
    for sql in ("INSERT INTO scratch VALUES (1)", "BEGIN", "PRAGMA foreign_keys", "ANALYZE", "EXPLAIN DELETE FROM log"):
        assert explained(db, sql).logs == ()
    assert text(db, "INSERT INTO scratch VALUES (1)") == [
        "statement temp",
        "writes    scratch (temporary): insert",
        "logs      nothing",
    ]


def test_a_change_of_the_schema(db: Any) -> None:
    assert text(db, "DROP TABLE log") == [
        "statement schema",
        "logs      the statement itself, as a change of the schema, and rows that it changes",
        "remark    drops table log: its rows stay in history",
    ]


def test_for_machines(db: Any) -> None:
    assert explained(db, "UPDATE parent SET name = upper(?)").as_json() == {
        "kind": "WRITE",
        "returns_rows": False,
        "functions": ["upper"],
        "reads": [],
        "writes": [{"table": "parent", "operation": "update", "columns": ["name"], "through": ""}],
        "logs": ["Update of each row of parent, under the subject in its column id"],
        "plan": ["SCAN parent"],
        "remarks": ["changes every row of parent: each one becomes an event of its own in the log"],
    }


def test_nothing_runs(db: Any) -> None:
    explained(db, "INSERT INTO log VALUES (1)")
    explained(db, "DROP TABLE log")
    assert db.execute("SELECT count(*) FROM log").fetchone() == (0,)


def test_no_plan_where_parameters_are_of_two_kinds(db: Any) -> None:
    assert explained(db, "SELECT * FROM log WHERE line IN (?, :b)").plan == ()


def test_errors(db: Any) -> None:
    with pytest.raises(SqlRefused, match="ATTACH is refused"):
        explained(db, "ATTACH 'x' AS x")
    with pytest.raises(SqliteError, match="no such table: nowhere"):
        explained(db, "SELECT * FROM nowhere")


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM a, b", ["joins b without a condition: each row meets every other"]),
        ("SELECT * FROM a JOIN b AS c", ["joins c without a condition: each row meets every other"]),
        ("SELECT * FROM a JOIN b USING (x)", []),
        ("SELECT * FROM a NATURAL JOIN b", []),
        ("SELECT * FROM a JOIN b ON a.x = b.x", []),
        ("SELECT * FROM a, b WHERE a.x = b.x", []),
        ("SELECT * FROM a, json_each(a.x)", []),
        ("DELETE FROM a LIMIT 3", []),
        (
            "WITH c AS (SELECT 1) DELETE FROM a",
            ["deletes every row of a: each one becomes an event of its own in the log"],
        ),
    ],
)
def test_remarks(sql: str, found: list[str]) -> None:
    assert remarks(sql) == found


@pytest.mark.parametrize(
    "sql",
    [
        "REPLACE INTO a VALUES (1)",
        "UPDATE OR REPLACE a SET b = 1",
        "SAVEPOINT a",
        "VACUUM",
        "CREATE TABLE a (b PRIMARY KEY) WITHOUT ROWID",
        "ALTER TABLE a RENAME TO b",
        "INSERT INTO a VALUES (1) ON CONFLICT (x) DO NOTHING ON CONFLICT DO UPDATE SET b = 1",
        f"SELECT {'(' * 900}1{')' * 900}",
    ],
)
def test_what_sqlglot_cannot_read_has_no_remarks(sql: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert remarks(sql) == []
    assert capfd.readouterr() == ("", "")
