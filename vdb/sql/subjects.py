"""Which column of a table says whose data a row is: declared by migrations, kept in `vdb_subject_columns`."""

from __future__ import annotations

from collections.abc import Mapping

from vdb.ports import Connection
from vdb.sql.names import SUBJECTS_TABLE

_EXISTS = f"SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = '{SUBJECTS_TABLE}'"
_ALL = f"SELECT tbl, col FROM main.{SUBJECTS_TABLE} ORDER BY tbl"

CREATE_SUBJECTS = f"CREATE TABLE IF NOT EXISTS main.{SUBJECTS_TABLE} (tbl TEXT PRIMARY KEY, col TEXT NOT NULL) STRICT"


class Subjects:
    """The declarations as one connection sees them, read once until they are forgotten."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._columns: Mapping[str, str] | None = None

    def columns(self) -> Mapping[str, str]:
        """The subject column of each table that declares one, by the table's name in lower case."""
        if self._columns is None:
            there = self._db.execute(_EXISTS).fetchone()[0]
            self._columns = {table.lower(): column for table, column in self._db.execute(_ALL)} if there else {}
        return self._columns

    def forget(self) -> None:
        """They may have changed."""
        self._columns = None
