"""Stores that a statement can be sent to. Each makes a commit durable before it answers (fsync).

A connection runs one statement at a time, in a transaction of its own, and belongs to one thread.
"""

from __future__ import annotations

import sqlite3
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import sqlcipher3

import vdb
from vdb.crypto.root import RootKeys

TABLE = "CREATE TABLE visits (id INTEGER PRIMARY KEY, patient INTEGER NOT NULL, note TEXT NOT NULL, cost REAL)"
INSERT = "INSERT INTO visits (id, patient, note, cost) VALUES (?, ?, ?, ?)"
UPDATE = "UPDATE visits SET note = ?, cost = ? WHERE id = ?"
SELECT = "SELECT patient, note, cost FROM visits WHERE id = ?"
NOTE = "seen for a cough; no fever; come back in two weeks if it lasts " * 2
COSTS = count(0.5, 1.0)
"""Each another one: an update that changes nothing writes no page."""
_BUSY_S = 30.0


class Connection(Protocol):
    def insert(self, key: int) -> None: ...
    def update(self, key: int) -> None: ...
    def select(self, key: int) -> None: ...
    def close(self) -> None: ...


class Store(Protocol):
    name: str

    def start(self, folder: Path) -> None: ...
    def connect(self) -> Connection: ...
    def stop(self) -> None: ...


class DbApiConnection:
    """Over a connection of PEP 249 with `?`, in autocommit."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def insert(self, key: int) -> None:
        self._connection.execute(INSERT, (key, key % 1000, NOTE, 12.5))

    def update(self, key: int) -> None:
        changed = self._connection.execute(UPDATE, (NOTE, next(COSTS), key)).rowcount
        assert changed == 1

    def select(self, key: int) -> None:
        row = self._connection.execute(SELECT, (key,)).fetchone()
        assert row is not None

    def close(self) -> None:
        self._connection.close()


class Verity:
    """SQL mode in this process, on a data directory; `data_class` is that of the database."""

    name = "VerityDB"

    def start(self, folder: Path) -> None:
        self._database = vdb.open_crud(
            folder / "data", None, RootKeys(bytes(range(32))), data_class=vdb.DataClass.NON_PHI
        )
        connection = self._database.connect()
        connection.execute(TABLE)
        connection.close()

    def connect(self) -> Connection:
        return DbApiConnection(self._database.connect(isolation_level=None, check_same_thread=False, timeout=_BUSY_S))

    def stop(self) -> None:
        self._database.close()


class File:
    """An SQLite file in WAL mode, synced at each commit: encrypted by SQLCipher under a raw key, or not."""

    def __init__(self, name: str, module: Any, *, encrypted: bool) -> None:
        self.name = name
        self._module = module
        self._encrypted = encrypted

    def start(self, folder: Path) -> None:
        self._path = folder / "file.db"
        connection = self._open()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(TABLE)
        connection.close()

    def connect(self) -> Connection:
        return DbApiConnection(self._open())

    def stop(self) -> None:
        pass

    def _open(self) -> Any:
        connection = self._module.connect(
            str(self._path), isolation_level=None, check_same_thread=False, timeout=_BUSY_S
        )
        if self._encrypted:
            connection.execute(f"PRAGMA key = \"x'{bytes(range(32)).hex()}'\"")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


def files() -> list[Store]:
    return [
        File("SQLCipher", sqlcipher3, encrypted=True),
        File("SQLite", sqlite3, encrypted=False),
    ]
