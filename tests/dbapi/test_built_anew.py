"""Connections of a database whose file is built anew under them: they end, and nothing else does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import vdb
from vdb.dbapi import ProgrammingError

MIGRATIONS = {
    "0001_clinic.sql": """
        -- vdb: subject patients.id
        CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE beds (n INTEGER PRIMARY KEY, ward TEXT);
        INSERT INTO patients VALUES ('p-0', 'Ada'), ('p-1', 'Bob'), ('p-2', 'Cyd');
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 500)
            INSERT INTO beds (ward) SELECT 'ward ' || n FROM n;
    """
}
GONE = r"Cannot operate on a closed database\. Its file is built anew, since something in it was erased"


def erase(clinic: Any, subject: str) -> None:
    assert not clinic.node.wait_erased(clinic.node.erase(subject, "GDPR 17").erasure).pending


def read_rows(connection: Any) -> None:
    for _ in connection.execute("SELECT * FROM beds"):
        pass


def read_long(connection: Any) -> None:
    connection.execute("SELECT count(*) FROM beds AS a, beds AS b WHERE a.ward LIKE '%9%' AND b.n < 15").fetchall()


def write(connection: Any) -> None:
    connection.execute("INSERT INTO beds (ward) VALUES ('new')")
    connection.commit()


def test_threads_that_are_at_work_while_somebody_is_erased_go_on_with_other_connections() -> None:
    """A connection that was closed under a thread crashed the process."""
    with vdb.open_crud(":memory:", MIGRATIONS) as clinic:
        stopping, done, odd = threading.Event(), dict.fromkeys((read_rows, read_long, write), 0), []

        def work(what: Callable[[Any], None]) -> None:
            while not stopping.is_set():
                connection = clinic.connect()
                try:
                    while not stopping.is_set():
                        what(connection)
                        done[what] += 1
                except ProgrammingError as error:
                    if "Its file is built anew" not in str(error):
                        odd.append(error)
                except Exception as error:
                    odd.append(error)
                connection.close()

        threads = [threading.Thread(target=work, args=(what,)) for what in done]
        for thread in threads:
            thread.start()
        for number in range(2):
            before = dict(done)
            while any(done[what] == before[what] for what in done):
                time.sleep(0.001)
            erase(clinic, f"p-{number}")
        stopping.set()
        for thread in threads:
            thread.join()
        assert odd == []
        with clinic.connect() as connection:
            assert connection.execute("SELECT count(*) FROM patients").fetchall() == [(1,)]


def test_what_a_connection_says_that_has_ended() -> None:
    with vdb.open_crud(":memory:", MIGRATIONS) as clinic:
        connection, other = clinic.connect(), clinic.connect()
        asked = "SELECT count(*) FROM patients"
        assert connection.execute(asked).fetchall() == [(3,)]
        rows = connection.execute("SELECT n FROM beds")
        erase(clinic, "p-0")
        for work in (
            lambda: connection.execute(asked),
            lambda: connection.execute("SELECT 1"),
            lambda: other.execute("INSERT INTO beds (ward) VALUES ('new')"),
            rows.fetchone,
            rows.fetchall,
        ):
            with pytest.raises(ProgrammingError, match=GONE):
                work()
        connection.close()
        other.close()


def test_a_function_within_a_statement_may_go_on_while_the_file_waits_to_be_closed() -> None:
    """The statement that it is called by comes to its end, and then the erasure does."""
    with vdb.open_crud(":memory:", MIGRATIONS) as clinic:
        connection = clinic.connect(check_same_thread=False)
        within, go_on, found = threading.Event(), threading.Event(), []

        def ward(number: int) -> str:
            within.set()
            go_on.wait()
            found.extend(connection.execute("SELECT ward FROM beds WHERE n = ?", (number,)).fetchall())
            return "a ward"

        connection.create_function("ward", 1, ward)

        def ask() -> None:
            with pytest.raises(ProgrammingError, match=GONE):
                connection.execute("SELECT ward(n) FROM beds WHERE n = 7").fetchall()

        asking, erasing = threading.Thread(target=ask), threading.Thread(target=erase, args=(clinic, "p-1"))
        asking.start()
        assert within.wait(10)
        erasing.start()
        while not connection.using.gone:
            time.sleep(0.001)
        go_on.set()
        asking.join()
        erasing.join()
        assert found == [("ward 7",)]
        connection.close()


def test_a_node_ends_while_threads_are_at_work() -> None:
    """What they wait for comes no more, and the node doesn't wait for them."""
    clinic = vdb.open_crud(":memory:", MIGRATIONS, receipts=True)
    begun, found = threading.Semaphore(0), []

    def work(what: Callable[[Any], None]) -> None:
        connection = clinic.connect()
        begun.release()
        try:
            while True:
                what(connection)
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=work, args=(what,)) for what in (read_rows, read_long, write, write)]
    for thread in threads:
        thread.start()
        begun.acquire()
    clinic.node.close()
    for thread in threads:
        thread.join(10)
    assert [isinstance(error, vdb.dbapi.Error) for error in found] == [True] * 4, found
    clinic.close()
