"""What words say to capture."""

from __future__ import annotations

import pytest

from vdb.sql.schema_change import has_replace, parse_schema_statement


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE t (a)", ("CREATE", "TABLE", "t", False)),
        ("create table if not exists main.[t t] as select 1", ("CREATE", "TABLE", "t t", True)),
        ('; CREATE TABLE "as" (a)', ("CREATE", "TABLE", "as", False)),
        ("CREATE TEMP TABLE t AS SELECT 1", ("CREATE", "TABLE", "t", True)),
        ("CREATE UNIQUE INDEX i ON t (a)", ("CREATE", "INDEX", "i", False)),
        ("CREATE VIRTUAL TABLE f USING fts5(a)", ("CREATE", "VIRTUAL", "TABLE", False)),
        ("DROP TABLE IF EXISTS main . 'x''y'", ("DROP", "TABLE", "x'y", False)),
        ("ALTER TABLE /* so */ a.b RENAME TO c", ("ALTER", "TABLE", "b", False)),
        ("PRAGMA user_version = 5", ("PRAGMA", "", "", False)),
    ],
)
def test_beginnings(sql: str, expected: tuple[str, str, str, bool]) -> None:
    found = parse_schema_statement(sql)
    assert (found.verb, found.kind, found.name, found.as_select) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("REPLACE INTO t VALUES (1)", True),
        ("INSERT OR /* . */ rEplace INTO t VALUES (1)", True),
        ("CREATE TABLE t (a UNIQUE ON CONFLICT REPLACE)", True),
        ("UPDATE t SET a = replace(a, 'x', 'y')", False),
        ("UPDATE t SET a = 'replace'", False),
        ("UPDATE t SET a = 1 -- or replace", False),
        ("SELECT 1", False),
    ],
)
def test_replace(sql: str, expected: bool) -> None:
    assert has_replace(sql) is expected
