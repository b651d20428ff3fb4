"""What can't be logged isn't in the file either: a subject that is too long, a subject column that is taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from vdb.embedded.crud import LocalDatabase, open_local
from vdb.embedded.migrating import migrate
from vdb.errors import InvalidArgument, SqlRefused
from vdb.sql.host import run_inline
from vdb.sql.migrations import load_migrations
from vdb.sql.session import SqlSession

FILES = {"0001_a.sql": "-- vdb: subject a.p\nCREATE TABLE a (id INTEGER PRIMARY KEY, p TEXT);"}
INSERT = "INSERT INTO a (p) VALUES (?)"
LONG = "x" * 600
TOO_LONG = "a value too long to be a subject: expected at most 512 bytes, found 600"


@pytest.fixture
def database() -> Iterator[LocalDatabase]:
    found = open_local(":memory:")
    migrate(found, load_migrations(FILES))
    yield found
    found.close()


@pytest.fixture
def session(database: LocalDatabase) -> Iterator[SqlSession]:
    found = database.session()
    yield found
    database.end(found)


def run(session: SqlSession, sql: str, *parameters: Any) -> list[Any]:
    rows = run_inline(session.execute(sql, parameters)).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def applied(database: LocalDatabase) -> int:
    """Asked in the node's loop, which has been told what this thread committed."""

    async def ask() -> int:
        return database.crud.applied

    return database.call(ask)


def test_a_statement_by_itself_leaves_nothing(session: SqlSession) -> None:
    with pytest.raises(InvalidArgument, match=TOO_LONG):
        run(session, INSERT, LONG)
    assert not session.in_transaction
    assert run(session, "SELECT count(*) FROM a") == [0]


def test_a_transaction_stays_open_and_whole(database: LocalDatabase, session: SqlSession) -> None:
    offset = applied(database)
    run(session, "BEGIN")
    run(session, INSERT, "q")
    run(session, INSERT, LONG)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match=TOO_LONG):
            run(session, "COMMIT")
        assert session.in_transaction
    assert applied(database) == offset
    run(session, "UPDATE a SET p = 'r' WHERE p <> 'q'")
    with pytest.raises(InvalidArgument, match=TOO_LONG):
        run(session, "COMMIT")  # the image before is of that subject, too
    run(session, "ROLLBACK")
    assert run(session, "SELECT count(*) FROM a") == [0]
    run(session, INSERT, "s")
    assert run(session, "SELECT p FROM a") == ["s"]


def test_a_statement_that_fails_half_way(session: SqlSession) -> None:
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        run(session, "INSERT OR FAIL INTO a VALUES (1, ?), (1, 'b')", LONG)
    assert run(session, "SELECT count(*) FROM a") == [0]


def test_one_of_a_batch(database: LocalDatabase, session: SqlSession) -> None:
    run(session, "BEGIN IMMEDIATE")
    outcomes: dict[str, object] = {}

    def write(value: str) -> None:
        own = database.session()
        try:
            outcomes[value] = run(own, INSERT, value)
        except InvalidArgument as error:
            outcomes[value] = str(error)
        finally:
            database.end(own)

    values = ["a", LONG, "b", "c"]
    threads = [threading.Thread(target=write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    run(session, INSERT, "first")
    run(session, "COMMIT")
    for thread in threads:
        thread.join()
    assert [outcomes[value] for value in ("a", "b", "c")] == [[], [], []]
    assert TOO_LONG in str(outcomes[LONG])
    assert sorted(run(session, "SELECT p FROM a")) == ["a", "b", "c", "first"]


@pytest.mark.parametrize("sql", ["ALTER TABLE a RENAME TO b", "ALTER TABLE a RENAME COLUMN p TO q", "DROP TABLE a"])
def test_a_subject_column_is_taken_away_by_migrations_alone(
    database: LocalDatabase, session: SqlSession, sql: str
) -> None:
    message = (
        "the subject column a.p can't be renamed or dropped: whose data a row is would be unknown; do it in a "
        "migration that says `-- vdb: subject TABLE.COLUMN`, or `-- vdb: no subject a`"
    )
    with pytest.raises(SqlRefused) as refused:
        run(session, sql)
    assert str(refused.value) == message
    run(session, INSERT, "s")
    files = {**FILES, "0002_b.sql": f"{sql};\n-- vdb: no subject a\n"}
    assert [migration.name for migration in migrate(database, load_migrations(files))] == ["0002_b.sql"]
    assert run(session, "SELECT count(*) FROM vdb_subject_columns") == [0]


def test_a_snapshot_that_is_too_old_to_write_keeps_nobody_waiting(database: LocalDatabase, session: SqlSession) -> None:
    other = database.session(lock_timeout=0.0)
    run(session, "BEGIN")
    run(session, "SAVEPOINT s")
    assert run(session, "SELECT count(*) FROM a") == [0]
    run(other, INSERT, "other")
    for _ in range(2):
        with pytest.raises(Exception, match=r"^database is locked$"):
            run(session, INSERT, "mine")
        assert session.in_transaction
        assert not session.holds_lease
    run(other, INSERT, "other")
    run(session, "ROLLBACK TO s")
    assert run(session, "SELECT count(*) FROM a") == [0]
    run(session, "COMMIT")
    run(session, INSERT, "mine")
    assert run(other, "SELECT p FROM a") == ["other", "other", "mine"]
    database.end(other)
