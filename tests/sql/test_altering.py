"""ALTER TABLE under `PRAGMA legacy_alter_table`: what it leaves alone is left alone wherever the log is applied."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.changes import SchemaChange, Transaction
from vdb.errors import SqlRefused
from vdb.sql import altering
from vdb.sql.applying import apply_transaction

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE child (t REFERENCES t (id))",
    "CREATE TABLE seen (a)",
    "CREATE VIEW v AS SELECT a FROM t",
    "CREATE TRIGGER tells AFTER INSERT ON child BEGIN INSERT INTO seen SELECT a FROM t; END",
    "INSERT INTO t VALUES (1, 'one')",
)
REPLACED = (
    "CREATE TABLE fresh (id INTEGER PRIMARY KEY, a, b)",
    "INSERT INTO fresh (id, a) SELECT id, a FROM t",
    "ALTER TABLE t RENAME TO old",
    "ALTER TABLE fresh RENAME TO t",
    "DROP TABLE old",
)


def changed(twins: Any) -> list[str]:
    return [step.sql for step in twins.steps if isinstance(step, SchemaChange)]


@pytest.mark.parametrize("enforced", ["OFF", "ON"])
@pytest.mark.parametrize("legacy", ["OFF", "ON"])
def test_names_that_follow_and_names_that_stay(twins: Any, legacy: str, enforced: str) -> None:
    twins(f"PRAGMA foreign_keys = {enforced}", *SCHEMA)
    twins.check()
    twins(f"PRAGMA legacy_alter_table = {legacy}", "INSERT INTO child VALUES (1)", "ALTER TABLE t RENAME TO u")
    twins.check()
    view, child = (
        twins.replica.execute("SELECT sql FROM main.sqlite_master WHERE name = ?", (name,)).fetchone()[0]
        for name in ("v", "child")
    )
    assert ("FROM t" in view) is (legacy == "ON")
    assert ("REFERENCES t " in child) is (legacy == "ON" and enforced == "OFF")


@pytest.mark.parametrize("enforced", ["OFF", "ON"])
def test_a_table_takes_anothers_place_beneath_its_views(twins: Any, enforced: str) -> None:
    twins(f"PRAGMA foreign_keys = {enforced}", *SCHEMA)
    twins.check()
    twins("PRAGMA legacy_alter_table = ON", *REPLACED)
    twins.check()
    twins("PRAGMA legacy_alter_table = OFF", "UPDATE t SET b = 2", "ALTER TABLE t DROP COLUMN b")
    twins.check()
    if enforced == "OFF":  # else the child's rows refer to the table that is gone
        twins("INSERT INTO child VALUES (1)")
    twins("INSERT INTO t (a) VALUES ('two')")
    twins.check()
    assert twins.replica.execute("SELECT a FROM v ORDER BY a").fetchall() == [("one",), ("two",)]


def test_the_log_has_the_settings_beside_the_statement(twins: Any) -> None:
    twins(*SCHEMA, "ALTER TABLE t RENAME TO u")
    twins.check()
    assert changed(twins)[-1] == "ALTER TABLE t RENAME TO u"
    twins("PRAGMA legacy_alter_table = ON", "ALTER TABLE u RENAME TO t")
    twins.check()
    assert changed(twins) == [
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE u RENAME TO t",
        "PRAGMA legacy_alter_table = OFF",
    ]


def test_applying_leaves_a_connections_own_setting(twins: Any) -> None:
    twins(*SCHEMA, "PRAGMA legacy_alter_table = ON", "ALTER TABLE t RENAME TO u")
    twins.begin()
    layouts, steps = twins.capture.drain()
    db = twins.replica
    for setting in (0, 1):
        db.execute(f"PRAGMA legacy_alter_table = {setting}")
        db.execute("BEGIN")
        apply_transaction(db, Transaction(id=bytes(16), layouts=layouts, steps=tuple(steps)))
        assert db.execute("PRAGMA legacy_alter_table").fetchone() == (setting,)
        assert "FROM t" in db.execute("SELECT sql FROM main.sqlite_master WHERE name = 'v'").fetchone()[0]
        db.execute("ROLLBACK")


def test_what_nobody_could_do_again_is_refused(twins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    twins("PRAGMA foreign_keys = ON", *SCHEMA)
    twins.check()
    twins("PRAGMA legacy_alter_table = ON")
    monkeypatch.setattr(altering, "sqlite_api", Nothing())
    with pytest.raises(SqlRefused, match="with legacy_alter_table and foreign_keys both on"):
        altering.as_logged(twins.captured, twins.captured, "ALTER TABLE t RENAME TO u")


class Nothing:
    """A build of SQLite without its C API."""

    def config(self, *_: Any) -> None:
        return None
