"""Connections to a node in another process: the same behaviour, over RPC."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb import dbapi
from vdb.dbapi.remote import _parameter_count, parse_url
from vdb.errors import ConfigError


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real node in a process of its own."""
    folder: Path = tmp_path_factory.mktemp("node")
    command = [sys.executable, "-m", "vdb.cli", "start", "--data-dir", str(folder / "data")]
    command += ["--region", "ap-southeast-2", "--address", "127.0.0.1:0", "--json"]
    environment = {**os.environ, "VDB_ROOT_KEY": b64encode(bytes(32)).decode()}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as node:
        assert node.stdout is not None
        yield json.loads(node.stdout.readline())["address"]
        node.terminate()


@pytest.fixture
def url(address: str, request: pytest.FixtureRequest) -> str:
    name = request.node.name.lower()[:60].strip("_")
    return f"verity://{address}/{name}?create=true"


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    made = dbapi.connect(url, detect_types=dbapi.PARSE_DECLTYPES)
    made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT UNIQUE, d DATE)")
    yield made
    made.close()


def test_rows_counts_and_types(connection: Any) -> None:
    cursor = connection.execute("INSERT INTO t (n, d) VALUES (?, ?)", ("a", datetime.date(2026, 1, 2)))
    assert (cursor.lastrowid, cursor.rowcount, connection.in_transaction) == (1, 1, True)
    connection.commit()
    assert connection.execute("SELECT * FROM t").fetchall() == [(1, "a", datetime.date(2026, 1, 2))]
    assert [column[0] for column in connection.execute("SELECT id, n AS name FROM t").description] == ["id", "name"]
    assert connection.execute("UPDATE t SET n = :n RETURNING n", {"n": "b", "unused": 1}).fetchall() == [("b",)]
    assert connection.total_changes == 2
    connection.rollback()
    assert connection.execute("SELECT n FROM t").fetchone() == ("a",)


def test_many_rows_there_and_back(connection: Any) -> None:
    cursor = connection.executemany("INSERT INTO t (n) VALUES (?)", ((str(number),) for number in range(2500)))
    assert cursor.rowcount == 2500
    connection.commit()
    found = connection.execute("SELECT id, n, ? FROM t ORDER BY id", ("x" * 1000,))
    assert len(found.fetchmany(10)) == 10
    assert len(found.fetchall()) == 2490
    for _ in range(100):  # more than a session may have open: those that are let go are closed
        connection.execute("SELECT a.id, ? FROM t AS a", ("x" * 1000,)).fetchone()
    connection.isolation_level = None
    connection.executemany("UPDATE t SET n = ? WHERE id = ?", [(f"u{number}", number) for number in range(1500)])
    assert not connection.in_transaction


def test_errors_are_those_of_sqlite(connection: Any) -> None:
    with pytest.raises(dbapi.OperationalError, match="no such table: nope") as caught:
        connection.execute("INSERT INTO nope VALUES (?, :a, ?3)", (1, 2, 3))
    assert not connection.in_transaction, "what can't be prepared begins no transaction"
    connection.execute("INSERT INTO t (n) VALUES ('a')")
    with pytest.raises(dbapi.IntegrityError, match=r"UNIQUE constraint failed: t\.n") as caught:
        connection.execute("INSERT INTO t (n) VALUES ('a')")
    assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT_UNIQUE"
    assert connection.in_transaction
    connection.rollback()
    with pytest.raises(dbapi.ProgrammingError, match="one statement at a time"):
        connection.execute("SELECT 1; SELECT 2")
    with pytest.raises(dbapi.NotSupportedError, match="VACUUM is refused"):
        connection.execute("VACUUM")
    with pytest.raises(OverflowError, match="too large to convert"):
        connection.execute("SELECT ?", (2**64,))
    with pytest.raises(dbapi.NotSupportedError, match="need the database in the same process"):
        connection.create_function("f", 1, str)
    with pytest.raises(dbapi.OperationalError, match="Could not decode to UTF-8 column"):
        connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()
    connection.text_factory = bytes
    assert connection.execute("SELECT CAST(x'ff' AS TEXT), 'é', 1").fetchall() == [(b"\xff", "é".encode(), 1)]


def test_two_connections_wait_for_each_other(url: str, connection: Any) -> None:
    other = dbapi.connect(url, timeout=0.05)
    connection.execute("INSERT INTO t (n) VALUES ('a')")
    with pytest.raises(dbapi.OperationalError, match="database is locked"):
        other.execute("INSERT INTO t (n) VALUES ('b')")
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.commit()
    other.rollback()
    other.execute("INSERT INTO t (n) VALUES ('b')")
    other.commit()
    assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [("a",), ("b",)]
    other.close()


def test_a_statement_that_runs_can_be_interrupted(connection: Any) -> None:
    connection.isolation_level = None
    timer = threading.Timer(0.3, connection.interrupt)
    timer.start()
    with pytest.raises(dbapi.OperationalError, match="interrupted"):
        connection.execute("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r")
    timer.join()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_settings_hold_for_the_session(url: str, connection: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript("CREATE TABLE c (p REFERENCES t (id)); INSERT INTO t VALUES (1, 'a', NULL);")
    with pytest.raises(dbapi.IntegrityError, match="FOREIGN KEY"):
        connection.execute("INSERT INTO c VALUES (7)")
    connection.rollback()
    stale = dbapi.connect(url + "&consistency=stale&answer_within=5", actor="dr-lee")
    with stale:
        stale.execute("INSERT INTO c VALUES (1)")
    stale.close()


def test_a_database_must_be_there_or_be_asked_for(address: str) -> None:
    with pytest.raises(dbapi.OperationalError, match="no SQL database 'nope'") as caught:
        dbapi.connect(f"verity://{address}/nope")
    assert isinstance(caught.value.__cause__, vdb.VerityError)
    for keywords in ({"keys": bytes(32)},):
        with pytest.raises(dbapi.NotSupportedError):
            dbapi.connect(f"verity://{address}/nope", **keywords)


def test_urls() -> None:
    found = parse_url("verity://a:1,b:2/clinic?tenant=7&create=true&consistency=stale&answer_within=2.5")
    assert (found.addresses, found.name, found.tenant) == (("a:1", "b:2"), "clinic", 7)
    assert (found.create, found.stale, found.answer_within, found.tls) == (True, True, 2.5, None)
    secure = parse_url("verity://a:1/clinic?cert=c.pem&key=k.pem&ca=a.pem", tenant=3)
    assert secure.tenant == 3
    assert secure.tls is not None
    for bad in ("verity://a:1", "verity://a:1/x/y", "verity:///x", "http://a:1/x"):
        with pytest.raises(ConfigError, match="expected verity://"):
            parse_url(bad)
    for bad, message in (
        ("colour=red", "no option 'colour'"),
        ("tenant=x", "are numbers"),
        ("consistency=x", "'linearizable' or 'stale'"),
        ("cert=x", "belong together"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_url(f"verity://a:1/x?{bad}")


@pytest.mark.parametrize(
    ("sql", "count"),
    [("SELECT 1", 0), ("SELECT ?, ?", 2), ("SELECT ?3, ?", 4), ("SELECT :a, @b, $c, :a", 3), ("SELECT '?', ?", 1)],
)
def test_parameters_are_counted_as_sqlite_does(sql: str, count: int) -> None:
    assert _parameter_count(sql) == count
