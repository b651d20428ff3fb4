"""What generated columns are made of."""

from __future__ import annotations

import pytest

from vdb.sql.generated import generated_from


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE t (a, b)", {}),
        ("CREATE TABLE t (a, b AS (a))", {"b": ("a",)}),
        ("CREATE TABLE t (a TEXT, [B C] TEXT GENERATED ALWAYS AS (substr(a, (2))) STORED)", {"b c": ("a",)}),
        ("CREATE TABLE t (c AS (b || 'A'), a CHECK (a <> (1)), b AS (a), UNIQUE (a))", {"c": ("a", "b"), "b": ("a",)}),
        ('CREATE TABLE t (a, b AS ("a" + 1) CHECK (b > 0), d DEFAULT (1), CHECK (d AND (a)))', {"b": ("a",)}),
        ("CREATE TABLE t (a NUMERIC(10, 2), b AS (CASE WHEN A THEN 1 END))", {"b": ("a",)}),
    ],
)
def test_generated_columns_are_made_of_others(sql: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert generated_from(sql) == expected
