"""Tokens, first keywords, transaction statements, and scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.sql.keywords import (
    TransactionStatement,
    first_keyword,
    has_returning,
    is_complete,
    is_empty,
    leading_words,
    parse_transaction,
    split_script,
    statement_verb,
    tokens,
)

SPACE = st.sampled_from([" ", "\t", "\n", "\r\n", "\f", "--x; SELECT\n", "/* ; BEGIN */", "/**/", "\ufeff"])
GAPS = st.lists(SPACE, max_size=3).map("".join)
SOLID = st.lists(SPACE, min_size=1, max_size=3).map("".join)


def any_case(word: str) -> st.SearchStrategy[str]:
    return st.lists(st.booleans(), min_size=len(word), max_size=len(word)).map(
        lambda ups: "".join(char.upper() if up else char.lower() for char, up in zip(word, ups, strict=True))
    )


@pytest.mark.parametrize(
    ("sql", "keyword"),
    [
        ("select 1", "SELECT"),
        ("  -- a\n/* b */\nInsert into t values (1)", "INSERT"),
        (";;select 1", "SELECT"),
        ("(values (1))", "VALUES"),
        ("/* never closed select 1", ""),
        ("-- select 1", ""),
        ("", ""),
        ("'select'", ""),
        ('"select" 1', ""),
        ("/select", ""),
        ("\ufeffpragma x", "PRAGMA"),
        ("begin;", "BEGIN"),
    ],
)
def test_first_keyword(sql: str, keyword: str) -> None:
    assert first_keyword(sql) == keyword


@given(GAPS, any_case("savepoint"), GAPS)
def test_first_keyword_behind_anything(before: str, word: str, after: str) -> None:
    assert first_keyword(before + word + after) == "SAVEPOINT"


def test_leading_words_end_before_another_token() -> None:
    assert leading_words("create temp table x(a)", 3) == ("CREATE", "TEMP", "TABLE")
    assert leading_words("create temp 'x' table", 3) == ("CREATE", "TEMP")


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("with a as (select 1) insert into t select * from a", "INSERT"),
        ("with recursive a(n) as (select 1 union select n + 1 from a) select * from a", "SELECT"),
        ("WITH a AS (delete) DELETE FROM t", "DELETE"),
        ("with a as (values (1)) values (2)", "VALUES"),
        ("update t set a = 1", "UPDATE"),
        ("with", "WITH"),
    ],
)
def test_the_verb_behind_common_tables(sql: str, verb: str) -> None:
    assert statement_verb(sql) == verb


def test_tokens_of_every_kind() -> None:
    sql = """a1$ 'it''s' "x""y" [a b] `c``d` 1.5e3 .5 ?12 :name @v $w x'00' <= ü"""
    assert [(token.kind, token.name) for token in tokens(sql)] == [
        ("word", "a1$"),
        ("text", "it's"),
        ("quoted", 'x"y'),
        ("quoted", "a b"),
        ("quoted", "c`d"),
        ("number", "1.5e3"),
        ("number", ".5"),
        ("variable", "?12"),
        ("variable", ":name"),
        ("variable", "@v"),
        ("variable", "$w"),
        ("word", "x"),
        ("text", "00"),
        ("sign", "<"),
        ("sign", "="),
        ("word", "ü"),
    ]


def test_a_quote_that_does_not_end_reaches_to_the_end() -> None:
    assert [token.text for token in tokens("select 'a; drop")] == ["select", "'a; drop"]


@pytest.mark.parametrize("sql", ["", " \n", ";", "-- x", "/* x */ ; -- y\n;"])
def test_empty(sql: str) -> None:
    assert is_empty(sql)
    assert not is_empty(sql.replace("-- x", "") + "\nx")


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("insert into t values (1) returning *", True),
        ("delete from t RETURNING a", True),
        ("insert into t values ('returning')", False),
        ('update t set "returning" = 1', False),
        ("insert into t values (:returning)", False),
        ("insert into t values (1) -- returning *", False),
        ("insert into t select * from (delete from x returning a)", False),
    ],
)
def test_returning(sql: str, found: bool) -> None:
    assert has_returning(sql) is found


@pytest.mark.parametrize(
    ("sql", "statement"),
    [
        ("begin", TransactionStatement(verb="BEGIN", mode="deferred")),
        ("BEGIN TRANSACTION;", TransactionStatement(verb="BEGIN", mode="deferred")),
        ("begin deferred transaction x", TransactionStatement(verb="BEGIN", mode="deferred")),
        ("/* a */ begin immediate", TransactionStatement(verb="BEGIN", mode="immediate")),
        ("begin Exclusive", TransactionStatement(verb="BEGIN", mode="exclusive")),
        ("commit", TransactionStatement(verb="COMMIT")),
        ("end transaction", TransactionStatement(verb="COMMIT")),
        ("commit transaction x;;", TransactionStatement(verb="COMMIT")),
        ("rollback", TransactionStatement(verb="ROLLBACK")),
        ("rollback transaction x", TransactionStatement(verb="ROLLBACK")),
        ("rollback to a", TransactionStatement(verb="ROLLBACK TO", name="a")),
        ("rollback transaction to savepoint 'A b'", TransactionStatement(verb="ROLLBACK TO", name="A b")),
        ("rollback transaction x to [y z]", TransactionStatement(verb="ROLLBACK TO", name="y z")),
        ("savepoint savepoint", TransactionStatement(verb="SAVEPOINT", name="savepoint")),
        ("release savepoint", TransactionStatement(verb="RELEASE", name="savepoint")),
        ('release savepoint "a""b"', TransactionStatement(verb="RELEASE", name='a"b')),
    ],
)
def test_transaction_statements(sql: str, statement: TransactionStatement) -> None:
    assert parse_transaction(sql) == statement


@pytest.mark.parametrize(
    "sql", ["", "select 1", "begin x", "begin; commit", "commit x", "savepoint", "savepoint a b", "rollback at a"]
)
def test_what_is_no_transaction_statement(sql: str) -> None:
    assert parse_transaction(sql) is None


@given(st.data())
def test_transaction_statements_in_any_dress(data: st.DataObject) -> None:
    words = [data.draw(any_case(word)) for word in ("rollback", "transaction", "to", "savepoint")]
    sql = data.draw(GAPS) + "".join(word + data.draw(SOLID) for word in words) + "Name" + data.draw(GAPS)
    assert parse_transaction(sql) == TransactionStatement(verb="ROLLBACK TO", name="Name")


TRIGGER = "create temp trigger a after insert on t begin select case when 1 then 2 end; delete from t; end;"


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("", []),
        ("-- nothing\n;;", []),
        ("select 1; select 2", ["select 1;", "select 2"]),
        ("select ';'; /* ; */ select [;];", ["select ';';", "/* ; */ select [;];"]),
        (f"{TRIGGER} select 1;", [TRIGGER, "select 1;"]),
        (f"explain {TRIGGER} select 1;", [f"explain {TRIGGER}", "select 1;"]),
        ("create table t(a); drop table t;", ["create table t(a);", "drop table t;"]),
        ("create trigger x begin select 1; end", ["create trigger x begin select 1; end"]),
        ("begin; end; begin; end;", ["begin;", "end;", "begin;", "end;"]),
    ],
)
def test_scripts(script: str, parts: list[str]) -> None:
    assert split_script(script) == parts


STATEMENTS = st.sampled_from(["select 1;", "insert into t values (';');", TRIGGER, "/* a; */ delete from t;", "end;"])


@given(st.lists(STATEMENTS, max_size=6), st.lists(SPACE, min_size=6, max_size=6))
def test_scripts_of_statements(statements: list[str], gaps: list[str]) -> None:
    pairs = list(zip(statements, gaps, strict=False))
    found = split_script("".join(statement + gap for statement, gap in pairs))
    assert [part for part in found if part.endswith(tuple(statements) or "")] == found
    assert len(found) == len(statements)


@pytest.mark.parametrize(
    ("sql", "complete"),
    [
        ("select 1;", True),
        ("select 1; -- x", True),
        ("select 1; /* x */", True),
        ("select 1; /* x", False),
        ("select 1; /*/", False),
        ("select 1", False),
        ("select 'x;", False),
        ("", False),
        (";", True),
        (TRIGGER, True),
        (TRIGGER.removesuffix(" end;"), False),
        (TRIGGER.removesuffix(";"), False),
    ],
)
def test_complete(sql: str, complete: bool) -> None:
    assert is_complete(sql) is complete
