"""On whose behalf transactions are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vdb
from vdb.dbapi import attributed


@pytest.fixture
def clinic() -> Iterator[Any]:
    with vdb.open_crud(":memory:", {"0001_t.sql": "CREATE TABLE t (id INTEGER PRIMARY KEY, a);"}) as database:
        yield database


def who(clinic: Any, key: int) -> list[tuple[str, str, dict[str, str]]]:
    found = [version.attribution for version in clinic.history("t", key)]
    return [(each.actor, each.purpose, dict(each.metadata)) for each in found]


def test_a_connection_says_it(clinic: Any) -> None:
    connection = clinic.connect(actor="dr-lee", purpose="treatment", metadata={"ward": "3"})
    with connection:
        connection.execute("INSERT INTO t VALUES (1, 1)")
    connection.actor = "dr-kim"
    connection.metadata = {}
    with connection:
        connection.execute("UPDATE t SET a = 2")
    assert who(clinic, 1) == [("dr-lee", "treatment", {"ward": "3"}), ("dr-kim", "treatment", {})]
    assert (connection.actor, connection.purpose) == ("dr-kim", "treatment")
    connection.close()


def test_the_code_around_says_it(clinic: Any) -> None:
    connection = clinic.connect(actor="app", metadata={"version": "1"})
    with attributed(actor="dr-lee", metadata={"ward": "3"}), attributed(purpose="billing"), connection:
        connection.execute("INSERT INTO t VALUES (1, 1)")
    with connection:
        connection.execute("UPDATE t SET a = 2")
    assert who(clinic, 1) == [("dr-lee", "billing", {"version": "1", "ward": "3"}), ("app", "", {"version": "1"})]
    connection.close()


def test_what_counts_is_what_is_said_when_a_transaction_first_writes(clinic: Any) -> None:
    connection = clinic.connect(autocommit=False)
    with attributed(actor="first"):
        connection.execute("INSERT INTO t VALUES (1, 1)")
    with attributed(actor="second"):
        connection.execute("INSERT INTO t VALUES (2, 2)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (3, 3)")
    connection.commit()
    assert [who(clinic, key)[0][0] for key in (1, 2, 3)] == ["first", "first", "second"]
    connection.close()
