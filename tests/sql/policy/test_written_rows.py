"""Who may write some rows writes no others: what a statement leaves is held against the rule's condition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vdb
import vdb.dbapi
from vdb.audit.entry import Kind, decode_entry
from vdb.errors import AccessDenied, SqlRefused
from vdb.types import GroupId, TenantId

MIGRATIONS = {
    "0001_clinic.sql": """
-- vdb: subject patients.id
CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT, ward TEXT COLLATE NOCASE, rank INTEGER, note TEXT);
CREATE TABLE team (member TEXT, ward TEXT, PRIMARY KEY (member, ward)) WITHOUT ROWID;
CREATE TABLE free (x UNIQUE, ward TEXT);
CREATE TRIGGER moves AFTER INSERT ON patients WHEN new.note = 'move' BEGIN
    UPDATE patients SET ward = 'B' WHERE id = new.id;
END;
INSERT INTO patients VALUES ('p-1', 'Ada', 'A', 1, ''), ('p-2', 'Bob', 'B', 7, 'HIV');
INSERT INTO team VALUES ('embedded', 'A'), ('kim', 'B');
"""
}
POLICY = """
name = "clinic"

[[rule]]
name = "governs"
principals = ["embedded"]
actions = ["policy", "schema"]

[[rule]]
name = "sees-ward-a"
principals = ["embedded"]
actions = ["query"]
tables = ["patients", "team"]
rows = "ward = 'A'"

[[rule]]
name = "writes-ward-a"
principals = ["embedded"]
actions = ["append"]
tables = ["patients"]
rows = "ward IN (SELECT ward FROM team WHERE member = :principal) AND rank < 5"

[[rule]]
name = "writes-own-team"
principals = ["embedded"]
actions = ["append"]
tables = ["team"]
rows = "member = :principal"

[[rule]]
name = "free"
principals = ["embedded"]
actions = ["append", "query"]
tables = ["free"]
"""


@pytest.fixture
def clinic() -> Iterator[vdb.SqlDatabase]:
    """With the policy applied."""
    with vdb.open_crud(":memory:", MIGRATIONS) as database:
        database.local.call(lambda: database.local.node.guard.apply_policy(POLICY, 0))
        yield database


@pytest.fixture
def connection(clinic: vdb.SqlDatabase) -> Iterator[Any]:
    with clinic.connect(isolation_level=None) as connection:
        yield connection


def everything(clinic: vdb.SqlDatabase) -> list[Any]:
    """All patients, past the policy."""

    async def read() -> list[Any]:
        file = clinic.local.crud.file
        db = await file.connect()
        try:
            found: list[Any] = db.execute("SELECT id, name, ward, rank FROM patients ORDER BY id").fetchall()
            return found
        finally:
            await file.disconnect(db)

    return clinic.local.call(read)


BEFORE = [("p-1", "Ada", "A", 1), ("p-2", "Bob", "B", 7)]
HIDDEN = "or would change a row that isn't shown"
UNFIT = "doesn't fulfil the condition"
DENIED = [
    ("INSERT INTO patients VALUES ('p-3', 'Cyd', 'B', 1, '')", UNFIT),
    ("INSERT INTO patients VALUES ('p-3', 'Cyd', NULL, 1, '')", UNFIT),
    ("INSERT INTO patients VALUES ('p-3', 'Cyd', 'A', 5, '')", UNFIT),
    ("INSERT INTO patients VALUES ('p-3', 'Cyd', 'A', 1, ''), ('p-4', 'Dee', 'B', 1, '')", UNFIT),
    ("INSERT INTO patients SELECT 'p-3', max(name), 'B', 1, '' FROM patients", UNFIT),
    ("INSERT INTO patients VALUES ('p-3', 'Cyd', 'A', 1, 'move')", UNFIT),  # what a trigger leaves counts
    ("INSERT OR IGNORE INTO patients VALUES ('p-2', '', 'A', 1, ''), ('p-3', 'Cyd', 'B', 1, '')", UNFIT),
    ("WITH w(x) AS (VALUES ('B')) INSERT INTO patients SELECT 'p-3', 'Cyd', x, 1, '' FROM w RETURNING id", UNFIT),
    ("UPDATE patients SET ward = 'B'", UNFIT),
    ("UPDATE patients SET rank = rank + 10 WHERE id = 'p-1'", UNFIT),
    ("UPDATE patients SET id = 'p-9', ward = 'B' WHERE id = 'p-1'", UNFIT),
    ("INSERT INTO patients VALUES ('p-2', 'x', 'A', 1, '') ON CONFLICT DO UPDATE SET name = 'taken'", HIDDEN),
    ("INSERT INTO patients VALUES ('p-2', 'x', 'A', 1, '') ON CONFLICT DO UPDATE SET ward = 'A', rank = 1", HIDDEN),
    ("INSERT INTO patients VALUES ('p-1', 'x', 'A', 1, '') ON CONFLICT DO UPDATE SET ward = 'B'", UNFIT),
    ("INSERT INTO patients VALUES ('p-3', 'x', 'B', 1, '') ON CONFLICT DO UPDATE SET name = 'x'", UNFIT),
    ("INSERT INTO patients VALUES ('p-2', 'x', 'A', 1, '') ON CONFLICT DO UPDATE SET id = NULL, name = id", HIDDEN),
    ("INSERT INTO team VALUES ('kim', 'A')", UNFIT),
    ("UPDATE team SET member = 'kim'", UNFIT),
]
REFUSED = [
    "INSERT OR REPLACE INTO patients VALUES ('p-2', 'x', 'A', 1, '')",
    "REPLACE INTO patients VALUES ('p-2', 'x', 'A', 1, '')",
    "INSERT OR FAIL INTO patients VALUES ('p-3', 'x', 'A', 1, ''), ('p-4', 'x', 'B', 1, '')",
    "INSERT OR ROLLBACK INTO patients VALUES ('p-3', 'x', 'B', 1, '')",
    "INSERT INTO patients VALUES ('p-2', '', 'A', 1, '') ON CONFLICT DO UPDATE SET rank = 1 WHERE note LIKE 'H%'",
    "INSERT INTO patients VALUES ('p-2', '', 'A', 1, '') ON CONFLICT DO UPDATE SET rank = abs(note)",
    "INSERT INTO patients VALUES ('p-2', '', 'A', 1, '') ON CONFLICT DO UPDATE SET name = note || zeroblob(1)",
    "INSERT INTO team VALUES ('kim', 'B') ON CONFLICT DO UPDATE SET ward = 'A'",
]


@pytest.mark.parametrize(("sql", "why"), DENIED)
@pytest.mark.parametrize("within", [False, True])
def test_what_may_not_be_written(clinic: vdb.SqlDatabase, connection: Any, sql: str, why: str, within: bool) -> None:
    if within:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO patients VALUES ('p-0', 'Kit', 'a', 2, '')")
    with pytest.raises(vdb.dbapi.DatabaseError, match="not authorized") as caught:
        connection.execute(sql).fetchall()
    assert isinstance(caught.value.__cause__, AccessDenied)
    assert why in str(caught.value.__cause__)
    if within:
        assert connection.execute("SELECT count(*) FROM patients").fetchall() == [(2,)]
        connection.execute("COMMIT")
    assert everything(clinic) == ([("p-0", "Kit", "a", 2)] if within else []) + BEFORE
    audit = clinic.local.node.guard.service.audit
    page = clinic.local.call(lambda: audit.records(TenantId(1), GroupId("ap-southeast-2"), 0, 1000))
    denials = [decode_entry(entry) for record in page.records for entry in record.entries]
    (denial,) = [entry for entry in denials if entry.kind is Kind.DENY]
    assert denial.rule.removeprefix("sees-ward-a, ") in ("writes-ward-a", "writes-own-team")
    assert (denial.action, denial.policy[:7]) == ("append", "sha256:")


@pytest.mark.parametrize("sql", REFUSED)
def test_what_could_show_rows_by_writing(clinic: vdb.SqlDatabase, connection: Any, sql: str) -> None:
    with pytest.raises(vdb.dbapi.NotSupportedError) as caught:
        connection.execute(sql)
    assert isinstance(caught.value.__cause__, SqlRefused)
    assert everything(clinic) == BEFORE


def test_a_hidden_row_tells_nothing_by_how_an_upsert_fails(clinic: vdb.SqlDatabase, connection: Any) -> None:
    texts = []
    for value in ("id", "NULL", "'p-1'"):
        with pytest.raises(vdb.dbapi.DatabaseError) as caught:
            connection.execute(
                f"INSERT INTO patients VALUES ('p-2', '', 'A', 1, '') ON CONFLICT DO UPDATE SET id = {value}"
            )
        texts.append(str(caught.value.__cause__))
    assert len(dict.fromkeys(texts)) == 1
    assert everything(clinic) == BEFORE


def test_what_may_be_written(clinic: vdb.SqlDatabase, connection: Any) -> None:
    connection.execute("INSERT INTO patients VALUES ('p-3', 'Cyd', 'A', 2, '')")
    assert connection.execute("INSERT INTO patients VALUES ('p-4', 'Dee', 'a', 3, '') RETURNING id").fetchall() == [
        ("p-4",)
    ]
    connection.execute("UPDATE patients SET name = upper(name) WHERE rank > 1")
    upsert = "INSERT INTO patients VALUES (?, ?, 'A', 1, '') ON CONFLICT (id) DO UPDATE SET name = excluded.name"
    assert connection.execute(upsert, ("p-1", "Eve")).rowcount == 1
    assert connection.execute(upsert, ("p-5", "Fay")).rowcount == 1
    connection.executemany(upsert, [("p-5", "Gil"), ("p-6", "Hal"), ("p-6", "Ida")])
    connection.execute("INSERT OR IGNORE INTO patients VALUES ('p-1', 'x', 'A', 1, ''), ('p-7', 'Jo', 'A', 1, '')")
    connection.execute("INSERT INTO patients VALUES ('p-1', 'x', 'A', 1, '') ON CONFLICT DO NOTHING")
    connection.execute("INSERT INTO team VALUES ('embedded', 'C')")
    connection.execute("INSERT INTO free VALUES (1, 'B')")
    connection.execute("INSERT INTO free VALUES (1, 'C') ON CONFLICT DO UPDATE SET ward = 'D' WHERE abs(x) = 1")
    names = [(id, name) for id, name, _, _ in everything(clinic)]
    assert names == [
        ("p-1", "Eve"),
        ("p-2", "Bob"),
        ("p-3", "CYD"),
        ("p-4", "DEE"),
        ("p-5", "Gil"),
        ("p-6", "Ida"),
        ("p-7", "Jo"),
    ]
    assert connection.execute("SELECT * FROM free").fetchall() == [(1, "D")]
    with pytest.raises(vdb.dbapi.DatabaseError):
        connection.executemany(upsert, [("p-8", "Kai"), ("p-2", "Lea")])
    assert len(everything(clinic)) == 7


def test_a_function_of_the_programs_is_no_condition(clinic: vdb.SqlDatabase) -> None:
    policy = POLICY.replace("rank < 5", "lower(ward) = 'a'")
    clinic.local.call(lambda: clinic.local.node.guard.apply_policy(policy, 1))
    with clinic.connect() as connection:
        connection.create_function("lower", 1, lambda _: "a")
        with pytest.raises(vdb.dbapi.NotSupportedError, match="one of its own"):
            connection.execute("INSERT INTO patients VALUES ('p-3', 'Cyd', 'A', 1, '')")


def test_each_run_of_an_upsert_changes_the_same_rows(clinic: vdb.SqlDatabase, connection: Any) -> None:
    ids = iter(["p-1", "p-2"])
    connection.create_function("anyone", 0, lambda: next(ids))
    with pytest.raises(vdb.dbapi.Error):
        connection.execute(
            "INSERT INTO patients VALUES (anyone(), '', 'A', 1, '') ON CONFLICT DO UPDATE SET name = 'x'"
        )
    assert everything(clinic) == BEFORE
