from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import QueuePool, SingletonThreadPool

import vdb.dbapi
from vdb.sqlalchemy import VerityDialect

metadata = sa.MetaData()
visits = sa.Table(
    "visits",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("note", sa.String, unique=True),
    sqlite_autoincrement=True,
)


def notes(connection: sa.Connection) -> list[str]:
    return list(connection.scalars(sa.select(visits.c.note).order_by(visits.c.id)))


def test_the_url_alone_finds_the_dialect() -> None:
    code = "import sqlalchemy; e = sqlalchemy.create_engine('verity://'); print(e.name, e.driver)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["verity", "vdb"]


def test_names_and_pools(make_engine: Callable[..., sa.Engine], engine: sa.Engine) -> None:
    memory = make_engine()
    assert (memory.name, memory.driver) == ("verity", "vdb")
    assert isinstance(memory.pool, SingletonThreadPool)
    assert isinstance(engine.pool, QueuePool)
    assert isinstance(engine.dialect, VerityDialect)
    assert make_engine("sqlite+verity://").name == "sqlite"


def test_it_is_sqlite_for_what_is_written_for_sqlite(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        sql = connection.scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = 'visits'"))
        assert "AUTOINCREMENT" in sql
        row = insert(visits).values(id=1, note="a")
        connection.execute(row)
        connection.execute(row.on_conflict_do_update(index_elements=["id"], set_={"note": "b"}))
        assert notes(connection) == ["b"]


def test_variants_for_sqlite_are_taken_under_its_name(make_engine: Callable[..., sa.Engine]) -> None:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    assert kind.compile(dialect=make_engine("sqlite+verity://").dialect) == "INTEGER"
    assert kind.compile(dialect=make_engine("verity://").dialect) == "BIGINT"


def test_savepoints_undo_what_came_after_them(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(visits.insert(), {"note": "kept"})
        savepoint = connection.begin_nested()
        connection.execute(visits.insert(), {"note": "undone"})
        connection.execute(sa.text("CREATE TABLE undone (x)"))
        savepoint.rollback()
        with connection.begin_nested():
            connection.execute(visits.insert(), {"note": "kept too"})
    with engine.connect() as connection:
        assert notes(connection) == ["kept", "kept too"]
        assert sa.inspect(connection).get_table_names() == ["visits"]


def test_a_savepoint_first_is_inside_the_transaction(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    with engine.connect() as connection:
        with connection.begin_nested():
            connection.execute(visits.insert(), {"note": "a"})
        connection.rollback()
        assert notes(connection) == []


def test_schema_changes_are_undone_with_the_transaction(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        metadata.create_all(connection)
        connection.execute(visits.insert(), {"note": "a"})
        connection.rollback()
        assert not sa.inspect(connection).has_table("visits")


def test_reads_of_a_transaction_see_one_state(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    with engine.connect() as reader, engine.connect() as writer:
        assert notes(reader) == []
        writer.execute(visits.insert(), {"note": "a"})
        writer.commit()
        assert notes(reader) == []
        reader.rollback()
        assert notes(reader) == ["a"]


def test_autocommit_needs_no_commit(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.get_isolation_level() == "AUTOCOMMIT"
        connection.execute(visits.insert(), {"note": "a"})
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert not raw.in_transaction
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        assert notes(connection) == ["a"]


def test_transactions_may_begin_as_writers(make_engine: Callable[..., sa.Engine]) -> None:
    engine = make_engine("verity:///:memory:?isolation_level=IMMEDIATE")
    told: list[str] = []
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.set_trace_callback(told.append)
        connection.execute(sa.text("SELECT 1"))
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("SELECT 2"))
        connection.rollback()
        connection.execution_options(isolation_level="SERIALIZABLE").execute(sa.text("SELECT 3"))
    assert [each for each in told if "BEGIN" in each or "SELECT" in each] == [
        "BEGIN IMMEDIATE",
        "SELECT 1",
        "SELECT 2",
        "BEGIN IMMEDIATE",
        "SELECT 3",
    ]


def test_our_own_tables_do_not_show(engine: sa.Engine) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TEMP TABLE mine (x)"))
        connection.execute(sa.text("CREATE VIEW seen AS SELECT * FROM visits"))
        connection.execute(visits.insert(), {"note": "a"})
        connection.execute(visits.update().values(note="b"))
        found = sa.inspect(connection)
        assert found.get_table_names() == ["visits"]
        assert found.get_temp_table_names() == ["mine"]
        assert found.get_view_names() == ["seen"]
        everything = engine.dialect.get_table_names(connection, sqlite_include_internal=True)  # type: ignore[attr-defined]
        assert "projection_meta" in everything
        reflected = sa.MetaData()
        reflected.reflect(connection, views=True)
        assert sorted(reflected.tables) == ["seen", "visits"]


def test_what_is_refused_is_an_error_of_the_dbapi(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        with pytest.raises(sa.exc.NotSupportedError, match="ATTACH is refused"):
            connection.exec_driver_sql("ATTACH 'x' AS y")
        with pytest.raises(sa.exc.OperationalError, match="no such table"):
            connection.exec_driver_sql("SELECT * FROM nowhere")


def test_regular_expressions_and_floor(make_engine: Callable[..., sa.Engine]) -> None:
    with make_engine().connect() as connection:
        assert connection.scalar(sa.select(sa.literal("patient-7").regexp_match("[0-9]$"))) == 1
        assert connection.scalar(sa.select(sa.func.floor(2.5))) == 2


@pytest.mark.parametrize("shared", ["a directory", "memory by name"])
def test_threads_share(shared: str, engine: sa.Engine, make_engine: Callable[..., sa.Engine]) -> None:
    if shared == "memory by name":
        engine = make_engine("verity:///file:threads?mode=memory&cache=shared")
    metadata.create_all(engine)

    def write(number: int) -> None:
        for each in range(5):
            with engine.begin() as connection:
                connection.execute(visits.insert(), {"note": f"{number}-{each}"})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert sorted(notes(connection)) == [f"{number}-{each}" for number in range(4) for each in range(5)]


def test_who_did_it_is_said_by_the_url_or_by_the_code_around(make_engine: Callable[..., sa.Engine]) -> None:
    engine = make_engine("verity:///:memory:?actor=importer&purpose=migration")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert (raw.actor, raw.purpose) == ("importer", "migration")
    with vdb.dbapi.attributed(actor="dr-lee"), engine.begin() as connection:
        metadata.create_all(connection)
