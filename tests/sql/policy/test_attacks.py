"""Ways around a filter: each is refused, or tells nothing."""

from __future__ import annotations

from typing import Any

import pytest

from vdb.errors import AccessDenied, SqlRefused
from vdb.projections.store import SeveralStatements, SqliteError

HIDDEN = ("Bob", "Dee", "987", "4321", "HIV", "flu", "kim", "1970-")
MASKED = ("123-45", "111-22", "1960-02", "not a date", "555")

READS = [
    "SELECT * FROM main.patients",
    'SELECT * FROM "main"."patients"',
    "SELECT * FROM [main] . [patients]",
    "SELECT * FROM 'main'.'patients'",
    "SELECT * FROM main/* */./* */patients",
    "SELECT DISTINCT 1 FROM patients, main.patients AS q",
    "SELECT count(*) FROM main.patients",
    "SELECT * FROM patients UNION ALL SELECT * FROM main.patients",
    "SELECT (SELECT group_concat(ssn) FROM main.patients)",
    "SELECT * FROM (WITH patients AS (SELECT * FROM main.patients) SELECT * FROM patients)",
    "WITH patients AS (SELECT * FROM patients) SELECT * FROM patients",
    "WITH patients(id, name, ssn, born, ward, last4) AS (VALUES (1, 2, 3, 4, 5, 6)) SELECT * FROM patients",
    "WITH team AS (SELECT 'lee' AS member, 'B' AS ward) SELECT * FROM patients",
    "WITH team AS (SELECT member, 'B' AS ward FROM main.team) SELECT * FROM patients",
    "WITH tells AS (SELECT * FROM main.patients) SELECT * FROM tells",
    "WITH vdb_rows_0_0 AS (SELECT * FROM patients) SELECT * FROM vdb_rows_0_0",
    "WITH vdb_rows_0_0 AS (SELECT * FROM main.patients) SELECT * FROM patients",
    "SELECT * FROM vdb_rows_0_0",
    "SELECT * FROM vdb_rows_0_0 UNION ALL SELECT id FROM patients",
    "SELECT rowid, oid, _rowid_ FROM patients",
    "SELECT last4 FROM patients",
    "SELECT name FROM patients ORDER BY substr(ssn, 1, 1)",
    "SELECT name FROM patients ORDER BY last4",
    "SELECT sum(CASE WHEN ssn LIKE '123%' THEN 1 ELSE 0 END) || 'x' FROM patients",
    "SELECT * FROM charts",
    "SELECT * FROM main.charts",
    "SELECT * FROM temp.patients",
    "SELECT * FROM json_each((SELECT json_group_array(ssn) FROM patients))",
    "SELECT json_group_array(name) FROM patients",
    "SELECT * FROM patients INDEXED BY by_ward",
    "SELECT * FROM patients NOT INDEXED",
    "SELECT * FROM sqlite_stat1",
    "SELECT * FROM sqlite_stat4",
    "SELECT * FROM vdb_capture",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_dbpage",
    "SELECT name IN patients FROM patients",
    "SELECT 'Bo' || 'b' IN (SELECT name FROM main.patients)",
    "SELECT * FROM patients WHERE ward = 'B'; SELECT * FROM main.patients",
    "SELECT CASE WHEN name = 'B' || 'ob' THEN abs(-9223372036854775807 - 1) END FROM patients",
    "SELECT max(CASE WHEN name = 'Ada' THEN ssn END) OVER () FROM patients",
    "VALUES ((SELECT max(name) FROM patients WHERE ward = 'B'))",
    "EXPLAIN SELECT * FROM patients WHERE name = 'x'",
    "SELECT * FROM pragma_table_info('patients')",
    "SELECT * FROM patients AS main, main.patients",
]


@pytest.mark.parametrize("sql", READS)
def test_what_is_read_is_what_is_shown(clinic: Any, sql: str) -> None:
    clinic.db.execute("ANALYZE")
    try:
        rows = clinic(sql)
    except (SqlRefused, AccessDenied, SqliteError, SeveralStatements):
        return
    told = repr(rows)
    assert not [word for word in (*HIDDEN, *MASKED) if word in told], told


WRITES = [
    "UPDATE patients SET name = ssn RETURNING name",
    "UPDATE patients SET name = 'x' WHERE ssn = '123-45-6789'",
    "UPDATE patients SET name = 'x' WHERE ward = 'B' OR 1",
    "UPDATE patients SET name = name || '!' WHERE name = 'Bob' OR 1 -- all",
    "UPDATE patients SET name = name || '!' /* unended",
    "UPDATE patients SET name = name || '!' -- all",
    "UPDATE patients SET name = name || '!'; -- all",
    "UPDATE patients SET name = name || '!' WHERE 1 /* unended",
    "UPDATE patients SET name = (SELECT max(name) FROM main.patients) RETURNING *",
    "UPDATE patients SET name = q.name FROM main.patients AS q WHERE q.id = 2",
    "UPDATE patients SET name = q.name FROM patients AS q WHERE q.id = 2 RETURNING name",
    "UPDATE OR REPLACE patients SET id = 2 WHERE id = 1",
    "DELETE FROM patients WHERE id > 0",
    "DELETE FROM notes WHERE stars > 0 RETURNING *",
    "DELETE FROM notes WHERE abs(stars) > 0 OR CASE WHEN patient = 2 THEN abs(-9223372036854775807 - 1) END",
    "DELETE FROM main.notes WHERE id > 0",
    "WITH notes AS (SELECT 3 AS id) DELETE FROM notes WHERE id IN (SELECT id FROM notes) RETURNING *",
    "WITH vdb_rows_0_rows AS (SELECT 2) DELETE FROM patients WHERE id = 2",
    "INSERT INTO patients (id, name) VALUES (2, 'x') ON CONFLICT DO UPDATE SET name = name || ssn RETURNING *",
    "INSERT OR REPLACE INTO patients (id, name) VALUES (2, 'x') RETURNING *",
    "REPLACE INTO patients (id, name) SELECT 2, name FROM patients",
    "INSERT INTO patients (id, name) VALUES (2, 'x')",
    "INSERT INTO trail SELECT ssn FROM patients RETURNING what",
    "INSERT INTO trail SELECT ssn FROM main.patients RETURNING what",
    "INSERT INTO trail VALUES ((SELECT group_concat(name || ssn) FROM patients)) RETURNING what",
    "CREATE TABLE stolen AS SELECT * FROM patients",
    "CREATE TEMP TABLE stolen AS SELECT * FROM patients",
    "CREATE TEMP VIEW stolen AS SELECT * FROM patients",
    "CREATE TEMP TRIGGER steals AFTER UPDATE ON patients BEGIN INSERT INTO trail SELECT ssn FROM patients; END",
]


@pytest.mark.parametrize("sql", WRITES)
def test_what_is_written_is_what_is_shown(clinic: Any, sql: str) -> None:
    before = _rest(clinic)
    try:
        told = repr(clinic(sql))
    except (SqlRefused, AccessDenied, SqliteError, SeveralStatements):
        told = ""
    assert not [word for word in (*HIDDEN, *MASKED) if word in told], told
    hidden, masked = _rest(clinic)
    assert hidden == before[0]
    assert [row for row in before[1] if row in masked] == masked
    for stolen in ("SELECT what FROM trail WHERE what NOT LIKE '% had %'", "SELECT * FROM stolen"):
        try:
            told = repr(clinic(stolen))
        except (SqlRefused, AccessDenied, SqliteError):
            continue
        assert not [word for word in (*HIDDEN, *MASKED) if word in told], told


def _rest(clinic: Any) -> tuple[list[Any], list[Any]]:
    """The rows that aren't shown, and the masked columns."""
    found = clinic.db.execute("SELECT id, name, ssn, born, ward FROM patients WHERE ward = 'B'").fetchall()
    found += clinic.db.execute("SELECT * FROM notes WHERE patient IN (2, 4)").fetchall()
    return found, clinic.db.execute("SELECT id, ssn, born FROM patients WHERE ward = 'A'").fetchall()


def test_rows_that_are_shown_are_written(clinic: Any) -> None:
    assert clinic("UPDATE patients SET name = upper(name) WHERE name LIKE 'a%' RETURNING id, name") == [(1, "ADA")]
    assert clinic("UPDATE patients AS p SET name = p.name || ?", ("!",)) == []
    assert [row[0] for row in clinic("SELECT name FROM patients ORDER BY id")] == ["ADA!", "Cyd!", "Eve!"]
    assert clinic("DELETE FROM notes WHERE patient = ? OR patient = 2 RETURNING id -- some", (1,)) == [(1,), (2,)]
    clinic("DELETE FROM team WHERE member = member")
    assert clinic.db.execute("SELECT count(*) FROM team").fetchone() == (3,)
    assert clinic("INSERT INTO patients (id, name, ward) VALUES (9, 'Flo', 'A') RETURNING name") == [("Flo",)]
    assert clinic.db.execute("SELECT name FROM patients WHERE id = 2").fetchone() == ("Bob",)


def test_rows_that_a_rule_lets_be_written_are_written(make_clinic: Any) -> None:
    clinic = make_clinic(rows={}, masks={})
    clinic.keeper.append_rows = {"notes": "stars < 3"}
    clinic("UPDATE notes SET text = 'x'")
    assert clinic("SELECT id FROM notes WHERE text = 'x'") == [(2,), (4,), (6,)]
    check = clinic.admit("INSERT INTO notes (patient) VALUES (1)").check
    assert (check.table.name, check.new, check.old) == ("notes", ("((stars < 3))",), ())
    clinic.db.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(AccessDenied):
        clinic("DELETE FROM patients WHERE id = 5")  # notes go with it, whatever the rule says of them


def test_a_function_of_the_program_never_sees_what_is_hidden(clinic: Any) -> None:
    seen: list[Any] = []

    def spy(value: Any) -> int:
        seen.append(value)
        return 1

    clinic.db.create_function("spy", 1, spy)
    clinic("SELECT name FROM patients WHERE spy(name) AND spy(ssn)")
    clinic("SELECT who FROM charts WHERE spy(who) AND spy(text)")
    clinic("UPDATE patients SET name = name WHERE spy(name)")
    clinic("DELETE FROM notes WHERE spy(text) AND patient = 0")
    assert seen
    assert not [word for word in (*HIDDEN, *MASKED) if word in repr(seen)]


@pytest.mark.parametrize(
    "condition",
    [
        "1) OR (1 = 1",
        "ward = 'A' --",
        "ward = 'A' /*",
        "1; SELECT 1",
        "ward = 'A",
        "ward = :nobody",
        "ward = ?",
        "ward IN team",
        "ward IN (SELECT ward FROM main.team)",
        '"deleted" IS NULL',
        "nothing = 1",
        "id IN (SELECT id FROM charts)",
    ],
)
def test_a_condition_that_cant_be_used_shows_nothing(make_clinic: Any, condition: str) -> None:
    clinic = make_clinic(rows={"patients": condition})
    try:
        rows = clinic("SELECT name FROM patients ORDER BY 1")
    except (SqlRefused, SqliteError):
        return
    assert condition.startswith("ward = 'A'"), "a comment behind a condition is none of it"
    assert rows == [("Ada",), ("Cyd",), ("Eve",)]


def test_who_asks_can_be_called_anything(make_clinic: Any) -> None:
    clinic = make_clinic(principal="lee' OR '1' = '1")
    assert clinic("SELECT * FROM patients") == []
    clinic = make_clinic(principal="')) UNION SELECT * FROM main.patients --")
    assert clinic("SELECT * FROM patients") == []


def test_rows_that_nobody_reads_are_kept_all_the_same(clinic: Any) -> None:
    clinic("UPDATE patients SET ward = 'A'")
    assert [row[0] for row in clinic("SELECT name FROM patients ORDER BY id")] == ["Ada", "Cyd", "Eve"]
    clinic("DELETE FROM notes")
    assert clinic.db.execute("SELECT id FROM notes ORDER BY id").fetchall() == [(3,), (5,)]
    for sql in ("INSERT OR REPLACE INTO patients (id) VALUES (2)", "REPLACE INTO patients (id) VALUES (2)"):
        with pytest.raises(SqlRefused, match="it might change rows"):
            clinic(sql)


def test_a_table_that_replaces_by_itself_takes_no_rows_under_a_filter(make_clinic: Any) -> None:
    clinic = make_clinic(rows={"beds": "ward = 'A'"}, masks={})
    clinic.db.execute("CREATE TABLE beds (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, ward TEXT)")
    clinic.db.execute("INSERT INTO beds VALUES (1, 'B')")
    clinic.changed()
    with pytest.raises(SqlRefused, match="it might change rows"):
        clinic("INSERT INTO beds VALUES (1, 'A')")
    assert clinic("SELECT * FROM beds") == []


def test_a_generated_column_is_read_as_what_it_is_made_of(make_clinic: Any) -> None:
    clinic = make_clinic(rows={}, masks={})
    clinic("SELECT last4 FROM patients")
    (question,) = clinic.keeper.asked
    assert question.columns == ("last4", "ssn")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM patients WHERE length(name) AND length(ssn)",
        "SELECT name FROM patients WHERE name < 'M' COLLATE spying",
        "SELECT name FROM patients ORDER BY name COLLATE spying",
        "SELECT p.name FROM patients AS p, notes AS n WHERE n.patient = p.id AND length(n.text) < 9",
    ],
)
def test_who_stands_in_for_what_sqlite_has_sees_no_more(make_clinic: Any, sql: str) -> None:
    clinic = make_clinic(masks={})
    seen: list[Any] = []

    def spy(*values: Any) -> int:
        seen.extend(values)
        return 1

    clinic.db.create_function("length", 1, spy)
    clinic.db.create_collation("spying", spy)
    clinic(sql)
    assert seen
    assert not [word for word in HIDDEN if word in repr(seen)]
    assert clinic.answered.subjects == ("*",) or "length" not in sql


def test_masks_and_conditions_call_nothing_of_the_programs(clinic: Any) -> None:
    clinic.db.create_function("length", 1, lambda _: 9)
    with pytest.raises(SqlRefused, match="the program has put one of its own"):
        clinic("SELECT ssn FROM patients")
    clinic.keeper.rows["drugs"] = "length(code) < 9"
    with pytest.raises(SqlRefused, match="the program has put one of its own"):
        clinic("SELECT code FROM drugs")


def test_what_a_statement_could_tell_by_its_time_is_behind_the_fence(clinic: Any) -> None:
    slow = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 9) SELECT count(*) FROM c)"
    assert "MATERIALIZED" in clinic.admit(f"SELECT name FROM patients WHERE name = 'Bob' AND {slow} > 1").sql
    assert "MATERIALIZED" not in clinic.admit("SELECT name FROM patients WHERE id = ? AND length(name) > 1").sql


def test_pragmas_that_tell_of_rows_are_asked_for(clinic: Any) -> None:
    for pragma in ("foreign_key_check", "integrity_check"):
        with pytest.raises(AccessDenied):
            clinic(f"PRAGMA {pragma}")
        with pytest.raises(AccessDenied):
            clinic(f"SELECT * FROM pragma_{pragma}")
    assert clinic("PRAGMA table_info(drugs)") == [(0, "code", "TEXT", 0, None, 0), (1, "label", "TEXT", 0, None, 0)]
