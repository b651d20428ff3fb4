"""Connections to throw-away databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import vdb.dbapi

Connect = Callable[..., Any]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes connections, to memory unless said otherwise, and closes them."""
    made: list[Any] = []

    def make(database: Any = ":memory:", **options: Any) -> Any:
        connection = vdb.dbapi.connect(database, **options)
        made.append(connection)
        return connection

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def connection(connect: Connect) -> Any:
    """A connection to a database with a table."""
    found = connect()
    found.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    return found
