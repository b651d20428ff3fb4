from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management.color import no_style
from django.db import DatabaseError, IntegrityError, NotSupportedError, OperationalError

import vdb.dbapi
from vdb.django.client import DatabaseClient

Connect = Callable[..., Any]


def test_a_data_directory_keeps_what_was_committed(connect: Connect, tmp_path: Path) -> None:
    first = connect()
    with first.cursor() as cursor:
        cursor.execute("CREATE TABLE visits (id integer PRIMARY KEY AUTOINCREMENT, at datetime, done bool)")
        cursor.execute("INSERT INTO visits (at, done) VALUES (%s, %s)", ["2026-03-01 09:00:00", True])
    first.close()
    assert (tmp_path / "data").is_dir()
    second = connect()
    with second.cursor() as cursor:
        cursor.execute("SELECT * FROM visits WHERE done = %(done)s", {"done": 1})
        ((number, at, done),) = cursor.fetchall()
        assert (number, at.year, done) == (1, 2026, True)
        cursor.executemany("INSERT INTO visits (done) VALUES (%s)", iter([(False,), (True,)]))
        cursor.executemany("INSERT INTO visits (done) VALUES (%s)", [])
        cursor.execute("SELECT count(*), '100%%' FROM visits WHERE done = %s", (1,))
        assert cursor.fetchone() == (2, "100%")
        cursor.execute("SELECT '%s'")
        assert cursor.fetchone() == ("%s",)


def test_options_are_those_of_connect(connect: Connect) -> None:
    given = {
        "name": "clinic",
        "actor": "dr-lee",
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA threads = 2; ",
    }
    connection = connect(OPTIONS=given)
    connection.ensure_connection()
    assert connection.connection.actor == "dr-lee"
    assert connection.connection.execute("PRAGMA threads").fetchone() == (2,)
    assert connection.transaction_mode == "IMMEDIATE"
    with pytest.raises(ImproperlyConfigured, match="transaction_mode"):
        connect(OPTIONS={"transaction_mode": "SOON"}).ensure_connection()


def test_errors_are_djangos(connect: Connect) -> None:
    connection = connect(NAME=":memory:", OPTIONS={"keys": None})
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE one (id integer PRIMARY KEY)")
        cursor.execute("INSERT INTO one VALUES (1)")
        with pytest.raises(IntegrityError, match="UNIQUE constraint failed") as failed:
            cursor.execute("INSERT INTO one VALUES (1)")
        assert isinstance(failed.value.__cause__, vdb.dbapi.IntegrityError)
        with pytest.raises(OperationalError, match="no such table"):
            cursor.execute("SELECT * FROM nowhere")
        with pytest.raises(NotSupportedError, match="ATTACH is refused"):
            cursor.execute("ATTACH 'x' AS y")


def test_our_own_tables_do_not_show(connect: Connect) -> None:
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE one (id integer PRIMARY KEY)")
        cursor.execute("CREATE VIEW two AS SELECT * FROM one")
        cursor.execute("INSERT INTO one VALUES (1)")
        found = connection.introspection.get_table_list(cursor)
        assert [(each.name, each.type) for each in found] == [("one", "t"), ("two", "v")]
        with pytest.raises(DatabaseError, match="does not exist"):
            connection.introspection.get_table_description(cursor, "three")


def test_what_the_database_can_do(connect: Connect) -> None:
    features = connect().features
    assert features.can_alter_table_drop_column
    assert features.can_return_rows_from_bulk_insert
    assert not [reason for reason in features.django_test_skips if "JSON path" in reason]


def test_what_refers_to_a_table_is_flushed_with_it(connect: Connect) -> None:
    wrapper = connect(NAME=":memory:")
    with wrapper.cursor() as cursor:
        cursor.execute('CREATE TABLE "Parent" (id INTEGER PRIMARY KEY)')
        cursor.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, a REFERENCES parent, b REFERENCES Parent (id))")
        cursor.execute("CREATE TABLE grandchild (c REFERENCES child, own REFERENCES grandchild)")
        cursor.execute("CREATE TABLE other (id)")
    flushed = wrapper.ops.sql_flush(no_style(), ["Parent"], allow_cascade=True)
    assert sorted(flushed) == [f'DELETE FROM "{name}";' for name in ("Parent", "child", "grandchild")]


def test_nodes_are_named_by_host_and_port(connect: Connect) -> None:
    parameters = connect(HOST="one,two:7000", PORT="7141", NAME="clinic").get_connection_params()
    assert parameters["database"] == "verity://one:7141,two:7000/clinic"
    options = {"create": True, "consistency": "stale", "tenant": 7}
    parameters = connect(HOST="one", NAME="my clinic", OPTIONS=options).get_connection_params()
    assert parameters["database"] == "verity://one:7140/my%20clinic?create=True&consistency=stale"
    assert parameters["tenant"] == 7
    assert "uri" not in parameters


def test_the_shell(connect: Connect) -> None:
    def command(*arguments: str, **given: Any) -> list[str]:
        described = {"NAME": "data", "HOST": "", "PORT": "", "OPTIONS": {}, **given}
        found, environment = DatabaseClient.settings_to_cmd_args_env(described, arguments)
        assert environment is None
        return found

    assert command() == ["vdb", "sql", "--data-dir", "data", "--database", "main"]
    assert command("--csv", OPTIONS={"name": "clinic", "keys": "root.key", "tenant": 7, "timeout": 3}) == [
        *("vdb", "sql", "--data-dir", "data", "--database", "clinic"),
        *("--key-file", "root.key", "--tenant", "7", "--csv"),
    ]
    assert command(HOST="one,two", NAME="clinic") == [
        *("vdb", "sql", "--address", "one:7140,two:7140", "--database", "clinic")
    ]


def test_a_test_database_may_be_a_directory(
    connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = connect(TEST={"NAME": str(tmp_path / "test-data")})
    creation = connection.creation
    (tmp_path / "test-data" / "sub").mkdir(parents=True)
    (tmp_path / "test-data" / "sub" / "file").touch()
    with pytest.raises(SystemExit):
        creation._create_test_db(0, autoclobber=False)
    assert "run with --noinput" in capsys.readouterr().err
    assert creation._create_test_db(0, autoclobber=True, keepdb=True) == str(tmp_path / "test-data")
    assert (tmp_path / "test-data").exists()
    creation._create_test_db(0, autoclobber=True)
    assert not (tmp_path / "test-data").exists()
    creation._destroy_test_db(str(tmp_path / "test-data"), 0)


def test_workers_have_what_the_test_database_has(connect: Connect) -> None:
    connection = connect(NAME="file:parent?mode=memory&cache=shared", OPTIONS={"keys": None})
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE child (x REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
        cursor.execute("CREATE TABLE parent (id integer PRIMARY KEY AUTOINCREMENT)")
        cursor.execute("INSERT INTO parent VALUES (7)")
        cursor.execute("INSERT INTO child VALUES (7)")
    connection.creation._clone_test_db("1", 0)
    parents = connection.connection
    connection.creation.setup_worker_connection(1)
    parents.close()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM child")
        cursor.execute("INSERT INTO parent DEFAULT VALUES")
        cursor.execute("SELECT id FROM parent")
        assert cursor.fetchall() == [(7,), (8,)]
        assert connection.introspection.table_names(cursor) == ["child", "parent"]


def test_memory_is_shared_by_name(connect: Connect) -> None:
    name = connect().creation._get_test_db_name()
    first, second = (connect(NAME=name, OPTIONS={"keys": None}) for _ in range(2))
    with first.cursor() as cursor:
        cursor.execute("CREATE TABLE shared (x)")
    with second.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shared")
        assert cursor.fetchone() == (0,)
