"""Migrations through clients' sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vdb
from vdb.changes import NOBODY
from vdb.client.migrating import applied_migrations, migrate
from vdb.client.sql_session import RemoteSession
from vdb.embedded.crud import open_local
from vdb.embedded.migrating import migrate as migrate_here
from vdb.errors import ConnectionLost, MigrationError, UnknownDatabase
from vdb.sql.host import run_inline
from vdb.sql.migrations import load_migrations
from vdb.types import Consistency

FILES = {
    "0001_patients.sql": "-- vdb: subject patients.id\nCREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);",
    "0002_visits.sql": "CREATE TABLE visits (id INTEGER PRIMARY KEY, patient REFERENCES patients);",
}
NAMES = list(FILES)


@pytest.fixture(scope="module")
def node() -> Iterator[vdb.EmbeddedDatabase]:
    with vdb.open(":memory:") as database:
        yield database


@pytest.fixture
def clinic(node: vdb.EmbeddedDatabase) -> str:
    name = f"clinic-{len(node.list_databases())}"
    node.create_database(name)
    return name


def test_each_is_applied_once(node: vdb.EmbeddedDatabase, clinic: str) -> None:
    with node.sql(clinic, actor="dr-lee") as session:
        assert session.migrations() == []
        assert session.migrate({"0001_patients.sql": FILES["0001_patients.sql"]}) == NAMES[:1]
        assert session.migrate(FILES) == NAMES[1:]
        assert session.migrate(FILES) == []
        assert [applied.name for applied in session.migrations()] == NAMES
        assert not session.in_transaction
        session.execute("INSERT INTO patients VALUES ('p-1', 'Ada')")
        assert session.execute("SELECT tbl, col FROM vdb_subject_columns").fetchall() == [("patients", "id")]


def test_errors(node: vdb.EmbeddedDatabase, clinic: str) -> None:
    with node.sql(clinic) as session:
        with pytest.raises(MigrationError, match=r"^1\.sql: a migration is named"):
            session.migrate({"1.sql": ""})
        bad = {**FILES, "0003_bad.sql": "CREATE TABLE half (a);\nSELECT absent;"}
        with pytest.raises(MigrationError, match=r"^0003_bad\.sql, line 2: no such column: absent$"):
            session.migrate(bad)
        assert [applied.name for applied in session.migrations()] == NAMES
        assert session.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchall() == [(0,)]
        session.execute("BEGIN")
        with pytest.raises(vdb.DefiniteError, match="a migration is a transaction by itself"):
            session.migrate({**FILES, "0003_good.sql": "SELECT 1"})
        session.rollback()
    with pytest.raises(UnknownDatabase), node.sql("nowhere") as session:
        session.migrate(FILES)


def test_users_cannot_say_that_a_migration_was_applied(node: vdb.EmbeddedDatabase, clinic: str) -> None:
    with node.sql(clinic) as session:
        session.migrate(FILES)
        with pytest.raises(vdb.DefiniteError, match="table vdb_migrations is VerityDB's own"):
            session.execute("DELETE FROM vdb_migrations")


def test_a_declaration_alone_is_seen_by_sessions_that_are_open() -> None:
    database = open_local(":memory:")
    try:
        migrate_here(database, load_migrations({"0001_a.sql": "CREATE TABLE a (id TEXT PRIMARY KEY, p TEXT)"}))
        session = database.session()
        run_inline(session.execute("INSERT INTO a VALUES ('1', 'p-1')"))
        assert session._subjects.columns() == {}
        files = {"0001_a.sql": "CREATE TABLE a (id TEXT PRIMARY KEY, p TEXT)", "0002_b.sql": "-- vdb: subject a.p\n"}
        migrate_here(database, load_migrations(files))
        run_inline(session.execute("INSERT INTO a VALUES ('2', 'p-1')"))
        assert session._subjects.columns() == {"a": "p"}
        database.end(session)
    finally:
        database.close()


class LosingLine:
    """A line that loses the first answer to a migration."""

    def __init__(self, inner: Any, lost: list[str]) -> None:
        self._inner = inner
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def migrate(self, *arguments: Any, **options: Any) -> Any:
        answer = await self._inner.migrate(*arguments, **options)
        if not self._lost:
            self._lost.append(answer.rows[0][0])
            raise ConnectionLost("the line was cut")
        return answer


class LosingSource:
    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.lost: list[str] = []

    async def open(self, *arguments: Any, **options: Any) -> Any:
        return LosingLine(await self._inner.open(*arguments, **options), self.lost)

    async def outcome(self, *arguments: Any, **options: Any) -> Any:
        return await self._inner.outcome(*arguments, **options)


async def test_an_answer_that_is_lost(node: vdb.EmbeddedDatabase, clinic: str) -> None:
    inner = node.aio._gateway.sql_source(1, clinic, lock_timeout=1.0, idle_timeout=0.0)
    source = LosingSource(inner)
    session = RemoteSession(source, name=clinic, attribution=NOBODY, level=Consistency.LINEARIZABLE, timeout=30.0)
    assert await migrate(session, FILES) == NAMES
    assert source.lost == NAMES[:1]
    assert [applied.name for applied in await applied_migrations(session)] == NAMES
    await session.close()
