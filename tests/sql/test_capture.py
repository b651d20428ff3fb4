"""Every kind of SQL that changes rows: captured, replayed, and the same as in plain SQLite. See conftest."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.changes import Operation, RawText, RowChange, SchemaChange, SequenceChange

INSERT, UPDATE, DELETE = Operation.INSERT, Operation.UPDATE, Operation.DELETE


def rows(twins: Any) -> list[tuple[str, Operation]]:
    """What was drained, as tables and operations."""
    found = twins.check()
    return [(twins.layouts[step.layout].table, step.operation) for step in found if isinstance(step, RowChange)]


def test_images_before_and_after(twins: Any) -> None:
    twins("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    twins.check()
    twins("INSERT INTO t VALUES (7, 'x')", "UPDATE t SET a = 'y'", "DELETE FROM t")
    assert twins.check() == [
        RowChange(layout=0, operation=INSERT, rowid_after=7, after=(7, "x")),
        RowChange(layout=0, operation=UPDATE, rowid_before=7, rowid_after=7, before=(7, "x"), after=(7, "y")),
        RowChange(layout=0, operation=DELETE, rowid_before=7, before=(7, "y")),
    ]
    (layout,) = twins.layouts
    assert (layout.table, layout.columns, layout.key, layout.rowid) == ("t", ("id", "a"), ("id",), True)


def test_nothing_is_nothing(twins: Any) -> None:
    assert twins.capture.drain() == ((), [])
    assert not twins.capture.pending()
    twins("CREATE TABLE t (a)")
    twins.check()
    twins("UPDATE t SET a = 1", "DELETE FROM t", "CREATE TABLE IF NOT EXISTS t (b)", "DROP TABLE IF EXISTS u")
    assert twins.check() == []


SHAPES = {
    "no key": "CREATE TABLE t (a, b)",
    "text key": "CREATE TABLE t (a TEXT PRIMARY KEY, b UNIQUE)",
    "integer key": "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)",
    "key in descending order": "CREATE TABLE t (a INTEGER PRIMARY KEY DESC, b UNIQUE)",
    "autoincrement": "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b UNIQUE)",
    "without rowid": "CREATE TABLE t (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID",
    "without rowid, no case": "CREATE TABLE t (a TEXT, b TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID",
    "strict": "CREATE TABLE t (a INTEGER PRIMARY KEY, b ANY UNIQUE) STRICT",
    "virtual column": "CREATE TABLE t (a INTEGER PRIMARY KEY, g AS (a || b) VIRTUAL UNIQUE, b)",
    "stored column": "CREATE TABLE t (g AS (a || b) STORED, a, b UNIQUE)",
    "rowid taken": "CREATE TABLE t (a, b UNIQUE, rowid)",
    "rowid and oid taken": "CREATE TABLE t (a, b UNIQUE, rowid, OID)",
    "all taken, with a key": "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, rowid, oid, _rowid_)",
    "the key is called rowid": "CREATE TABLE t (rowid INTEGER PRIMARY KEY, a, b UNIQUE)",
    "expression index": "CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE UNIQUE INDEX i ON t (lower(b) DESC, a + 0)",
    "partial index": "CREATE TABLE t (a, b); CREATE UNIQUE INDEX i ON t (b) WHERE a > 1",
    "replacing constraint": "CREATE TABLE t (a, b UNIQUE ON CONFLICT REPLACE)",
    "default for null": "CREATE TABLE t (a, b NOT NULL DEFAULT 2 UNIQUE)",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("recursive", ["OFF", "ON"])
def test_every_shape_under_every_statement(twins: Any, shape: str, recursive: str) -> None:
    twins(f"PRAGMA recursive_triggers = {recursive}", *SHAPES[shape].split("; "))
    twins.check()
    twins(
        "INSERT INTO t (a, b) VALUES (1, 1), (2, 2), (3, 3)",
        "INSERT OR IGNORE INTO t (a, b) SELECT a + 3, b + 3 FROM t",
    )
    twins.check()
    twins.run("REPLACE INTO t (a, b) VALUES (1, 2)")
    twins.run("INSERT OR REPLACE INTO t (a, b) VALUES (9, 3), (10, 3), (9, 4) RETURNING a")
    twins.check()
    twins.run("UPDATE OR REPLACE t SET b = 5 WHERE b IN (4, 6)")
    twins.run("UPDATE OR REPLACE t SET a = 9 WHERE a = 5")
    twins.run("REPLACE INTO t (a) VALUES (11), (12)")
    twins.check()
    twins.run("INSERT INTO t (a, b) VALUES (1, 5) ON CONFLICT DO UPDATE SET b = 'up' || excluded.b")
    twins.run("WITH w(x) AS (VALUES (5), (6)) UPDATE t SET b = b || x FROM w WHERE a = x")
    twins.run("WITH w(x) AS (VALUES (2)) DELETE FROM t WHERE a IN (SELECT x FROM w) RETURNING *")
    twins.check()
    twins("DELETE FROM t")
    twins.check()


def test_all_names_of_the_rowid_taken(twins: Any) -> None:
    assert "rowid, oid and _rowid_" in twins.refused("CREATE TABLE t (rowid, OID, _Rowid_)")


def test_virtual_tables_are_refused(twins: Any) -> None:
    assert "CREATE VIRTUAL TABLE is refused" in twins.refused("CREATE VIRTUAL TABLE f USING fts5(a)")


@pytest.mark.parametrize(
    "value",
    [
        *("NULL", "9223372036854775807", "-9223372036854775808", "9007199254740993", "9e999", "-9e999", "1.0", "-0.0"),
        *("''", "'a' || char(0) || 'b'", "'日本'", "X''", "X'00ff'", "zeroblob(70000)", "CAST(X'ff00fe' AS TEXT)"),
    ],
)
def test_values(twins: Any, value: str) -> None:
    twins("CREATE TABLE t (a, b REAL, c TEXT, d NUMERIC)", f"INSERT INTO t VALUES ({value}, {value}, {value}, {value})")
    twins.check()
    twins(f"UPDATE t SET a = {value}, d = 1", f"UPDATE t SET d = {value}", "DELETE FROM t")
    twins.check()


def test_text_that_is_not_utf_8(twins: Any) -> None:
    twins("CREATE TABLE t (a)", "INSERT INTO t VALUES (CAST(X'ff61' AS TEXT)), ('é')")
    _, first, second = twins.check()
    assert (first.after, second.after) == ((RawText(b"\xffa"),), ("é",))


def test_the_owners_settings_of_the_connection_are_theirs(twins: Any) -> None:
    db = twins.captured
    db.row_factory = lambda cursor, row: {"row": row}
    db.text_factory = bytes
    twins.twin.row_factory, twins.twin.text_factory = db.row_factory, bytes
    twins.begin()
    for sql in ("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES ('x')"):
        assert twins._captured(sql, ())
    layouts, steps = twins.capture.drain()
    assert layouts[0].columns == ("a",)
    assert steps[1].after == ("x",)
    assert db.text_factory is bytes
    assert db.execute("SELECT a FROM t").fetchall() == [{"row": (b"x",)}]


def test_odd_names(twins: Any) -> None:
    table, column = '"we ""ird\'s; --"', '"co""l, ünï"'
    twins(f'CREATE TABLE {table} ({column} UNIQUE, "SELECT", [a b])', f"INSERT INTO {table} VALUES (1, 2, 3)")
    twins(f"REPLACE INTO {table} ({column}) VALUES (1)", f"UPDATE {table.upper()} SET {column} = 2")
    twins.check()
    assert twins.layouts[0].columns == ('co"l, ünï', "SELECT", "a b")


@pytest.mark.parametrize("count", [32, 33, 64, 65, 600, 1999])
def test_wide_tables(twins: Any, count: int) -> None:
    names = ", ".join(f"c{number}" for number in range(count))
    ones = ", ".join("1" for _ in range(count))
    twins(f"CREATE TABLE t ({names})", "CREATE UNIQUE INDEX i ON t (c3)", f"INSERT INTO t VALUES ({ones})")
    twins("INSERT INTO t (c0, c3, c9) VALUES (2, 2, 2)", "UPDATE t SET c1 = 5")
    twins.check()
    if count < 1999:
        twins("REPLACE INTO t (c0, c3) VALUES (7, 2), (8, 1)", "UPDATE OR REPLACE t SET c3 = 1 WHERE c0 = 7")
        twins.check()


def test_autoincrement(twins: Any) -> None:
    twins("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)", "INSERT INTO t (a) VALUES (1), (2)")
    assert twins.check()[-1] == SequenceChange(table="t", value=2)
    twins("UPDATE t SET a = 3")
    assert not any(isinstance(step, SequenceChange) for step in twins.check())
    twins("UPDATE sqlite_sequence SET seq = 40 WHERE name = 't'")
    assert twins.check() == [SequenceChange(table="t", value=40)]
    twins("DELETE FROM sqlite_sequence")
    assert twins.check() == [SequenceChange(table="t", value=None)]
    twins(
        "INSERT INTO t VALUES (9, 9)",
        "DELETE FROM t WHERE id = 9",
        "ALTER TABLE t RENAME TO u",
        "INSERT INTO u (a) VALUES (1)",
    )
    twins.check()
    twins("DROP TABLE u")
    twins.check()


def test_sequences_that_were_rolled_back(twins: Any) -> None:
    twins("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)", "INSERT INTO t (a) VALUES (1)")
    twins.check()
    twins("INSERT INTO t (a) VALUES (2)", "SAVEPOINT s", "INSERT INTO t (a) VALUES (3)", "ROLLBACK TO s")
    assert twins.check()[-1] == SequenceChange(table="t", value=2)
    twins("SAVEPOINT s", "INSERT INTO t (a) VALUES (3)", "ROLLBACK TO s")
    assert twins.check() == []
    twins("INSERT INTO t (a) VALUES (3)", "ROLLBACK", "INSERT INTO t (a) VALUES (4)")
    assert twins.check()[-1] == SequenceChange(table="t", value=3)


def test_what_cannot_be_said_of_sequences_is_refused(twins: Any) -> None:
    twins("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO sqlite_sequence VALUES ('t', 'text')")
    with pytest.raises(Exception, match="one row for each table"):
        twins.capture.drain()


def test_cascades_come_before_their_cause(twins: Any) -> None:
    twins(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TABLE n (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE SET NULL ON UPDATE SET NULL)",
        "CREATE TABLE d (id INTEGER PRIMARY KEY, p DEFAULT 1 REFERENCES p ON DELETE SET DEFAULT ON UPDATE SET DEFAULT)",
        "INSERT INTO p VALUES (1), (2), (3)",
        *(f"INSERT INTO {table} VALUES (1, 2), (2, 3)" for table in "cnd"),
    )
    twins.check()
    twins("DELETE FROM p WHERE id = 2")
    assert rows(twins) == [("d", UPDATE), ("n", UPDATE), ("c", DELETE), ("p", DELETE)]
    twins("UPDATE p SET id = 30 WHERE id = 3")
    assert sorted(rows(twins)) == [("c", UPDATE), ("d", UPDATE), ("n", UPDATE), ("p", UPDATE)]
    twins("REPLACE INTO p VALUES (30)")
    twins.check()
    twins("INSERT INTO c VALUES (5, 30)")
    twins.check()
    twins("DELETE FROM d", "DROP TABLE c", "DROP TABLE p")
    twins.check()


def test_drop_of_a_parent_is_logged_with_its_cascades(twins: Any) -> None:
    twins(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO c VALUES (1)",
    )
    twins.check()
    twins("DROP TABLE p")
    first, second = twins.check()
    assert (first.operation, second) == (DELETE, SchemaChange(sql="DROP TABLE p"))


def test_a_row_that_refers_to_itself(twins: Any) -> None:
    twins(
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE)",
        "INSERT INTO t VALUES (1, 1), (2, 1), (3, 2)",
    )
    twins.check()
    twins("UPDATE t SET id = 10 WHERE id = 1")
    own = [step for step in twins.check() if step.rowid_after == 10]
    assert [(step.before, step.after) for step in own] == [((1, 1), (10, 1)), ((10, 1), (10, 10))]
    twins("UPDATE OR REPLACE t SET id = 2 WHERE id = 10", "REPLACE INTO t VALUES (2, NULL)")
    twins.check()
    twins("DELETE FROM t")
    twins.check()


def test_user_triggers(twins: Any) -> None:
    twins(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, changed DEFAULT 0)",
        "CREATE TABLE log (what)",
        "CREATE TRIGGER touch AFTER UPDATE OF a ON t BEGIN UPDATE t SET changed = changed + 1 WHERE id = NEW.id; END",
        "CREATE TRIGGER kept AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('gone ' || OLD.a); END",
        "CREATE TRIGGER early BEFORE UPDATE ON t WHEN NEW.a = 9 BEGIN UPDATE t SET changed = 9 WHERE id = OLD.id; END",
        "INSERT INTO t (id, a) VALUES (1, 1), (2, 2), (3, 3)",
        "UPDATE t SET a = a + 10",
        "UPDATE t SET a = 9 WHERE id = 1",
        "REPLACE INTO t (id, a) VALUES (5, 9)",
        "UPDATE OR REPLACE t SET a = 12 WHERE id = 5",
        "DELETE FROM t WHERE id = 3",
    )
    twins.check()


def test_instead_of_triggers(twins: Any) -> None:
    twins(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (NEW.a); END",
        "CREATE TRIGGER u INSTEAD OF UPDATE ON v BEGIN UPDATE t SET a = NEW.a WHERE a = OLD.a; END",
    )
    twins.check()
    for writes, sql in ((("v",), "INSERT INTO v VALUES (1), (2)"), (("v",), "UPDATE v SET a = a + 5")):
        twins.begin()
        twins.capture.prepare(writes, sql)
        twins(sql)
    assert rows(twins) == [("t", INSERT)] * 2 + [("t", UPDATE)] * 2


def test_what_is_undone_leaves_nothing(twins: Any) -> None:
    twins("CREATE TABLE t (a UNIQUE)", "INSERT INTO t VALUES (1)")
    twins.check()
    twins.begin()
    twins("SAVEPOINT a", "INSERT INTO t VALUES (2)", "SAVEPOINT b", "REPLACE INTO t VALUES (1)", "ROLLBACK TO b")
    assert twins.run("INSERT INTO t VALUES (5), (1)")
    assert twins.run("INSERT OR FAIL INTO t VALUES (6), (1), (7)")
    twins("RELEASE a")
    assert [step.after for step in twins.check()] == [(2,), (6,)]
    twins("INSERT INTO t VALUES (8)", "ROLLBACK")
    twins.begin()
    assert twins.check() == []
    twins("INSERT INTO t VALUES (9)")
    assert twins.run("INSERT OR ROLLBACK INTO t VALUES (1)")
    twins.begin()
    assert twins.check() == []


def test_schema_changes_among_rows(twins: Any) -> None:
    twins(
        "CREATE TABLE t (a, b)",
        "INSERT INTO t VALUES (1, 2)",
        "ALTER TABLE t ADD COLUMN c DEFAULT 5",
        "UPDATE t SET a = 2",
        "SAVEPOINT s",
        "ALTER TABLE t RENAME COLUMN b TO bb",
        "INSERT INTO t VALUES (3, 4, 5)",
        "ROLLBACK TO s",
        "INSERT INTO t (b) VALUES (6)",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE u DROP COLUMN c",
        "INSERT INTO u VALUES (7, 8)",
        "CREATE TABLE copy AS SELECT a, b || 'x' AS e FROM u",
        "DROP TABLE u",
        "CREATE TABLE u (z)",
        "INSERT INTO u VALUES (1)",
    )
    steps = twins.check()
    assert [layout.columns for layout in twins.layouts] == [
        *(("a", "b"), ("a", "b", "c"), ("a", "b", "c"), ("a", "b"), ("a", "e"), ("z",))
    ]
    created = [step.sql for step in steps if isinstance(step, SchemaChange) and "copy" in step.sql]
    assert created == ["CREATE TABLE copy(a,e)"]


def test_a_schema_change_that_fails_leaves_capture_as_it_was(twins: Any) -> None:
    twins("CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, 1)")
    assert twins.run("CREATE UNIQUE INDEX i ON t (a)")
    assert twins.run("ALTER TABLE t ADD COLUMN a")
    twins("INSERT INTO t VALUES (2, 2)")
    assert rows(twins) == [("t", INSERT)] * 3


def test_temp_tables_are_the_sessions_own(twins: Any) -> None:
    twins("CREATE TABLE t (a UNIQUE)", "INSERT INTO t VALUES (1)")
    twins.check()
    for db in (twins.captured, twins.twin):
        db.execute("CREATE TEMP TABLE t (a UNIQUE, x)")
    twins(
        "INSERT INTO t VALUES (1, 2)", "REPLACE INTO t VALUES (1, 3)", "REPLACE INTO main.t VALUES (1)", "DELETE FROM t"
    )
    assert rows(twins) == [("t", DELETE), ("t", INSERT)]


def test_a_replace_that_nobody_can_follow_is_refused(twins: Any) -> None:
    twins(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, a UNIQUE)",
        "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TRIGGER r AFTER UPDATE ON c BEGIN INSERT INTO p (a) VALUES (NULL); END",
        "INSERT INTO p VALUES (1, 1)",
    )
    assert "nobody can say" in twins.refused("REPLACE INTO p VALUES (2, 1)")
    twins("UPDATE p SET id = 3")
    twins.check()


def test_counts_are_the_users(twins: Any) -> None:
    twins("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)", "INSERT INTO t VALUES (40, 1), (50, 2)")
    before = twins.captured.total_changes - twins.capture.own_changes
    twins("INSERT INTO t (a) VALUES (5), (3), (4)")
    counts = "SELECT changes(), last_insert_rowid()"
    assert twins.captured.execute(counts).fetchall() == [(3, 53)]
    twins.check()
    assert twins.captured.execute(counts).fetchall() == twins.twin.execute(counts).fetchall() == [(3, 53)]
    assert twins.captured.total_changes - twins.capture.own_changes - before == 3
    twins("CREATE TABLE u (b)", "ALTER TABLE u ADD COLUMN c")
    assert twins.captured.execute(counts).fetchall() == [(3, 53)]
    twins.check()


def test_uninstall(twins: Any) -> None:
    twins("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    twins.check()
    twins.begin()
    twins.capture.uninstall()
    assert twins.captured.execute("SELECT count(*) FROM temp.sqlite_master WHERE type = 'trigger'").fetchall() == [(0,)]
    twins("INSERT INTO t VALUES (2)")
    assert rows(twins) == [("t", INSERT)]


def test_names_that_differ_in_case(twins: Any) -> None:
    twins(
        "PRAGMA foreign_keys = ON",
        'CREATE TABLE "ÉTÉ" (Id INTEGER PRIMARY KEY)',
        'CREATE TABLE Child (P REFERENCES "ÉtÉ"(iD) ON DELETE CASCADE)',
        'INSERT INTO "ÉtÉ" VALUES (1)',
        "INSERT INTO CHILD VALUES (1)",
    )
    twins.check()
    twins.begin()
    sql = 'DELETE FROM "ÉtÉ"'
    twins.capture.prepare(("ÉTÉ",), sql)
    twins(sql)
    assert rows(twins) == [("Child", DELETE), ("ÉTÉ", DELETE)]
