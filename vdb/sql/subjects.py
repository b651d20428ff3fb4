"""Which column of a table says whose data a row is: declared by migrations, kept in `vdb_subject_columns`."""

from __future__ import annotations

from collections.abc import Mapping

from vdb.errors import SqlRefused
from vdb.ports import Connection
from vdb.sql.names import SUBJECTS_TABLE

_EXISTS = f"SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = '{SUBJECTS_TABLE}'"
_ALL = f"SELECT tbl, col FROM main.{SUBJECTS_TABLE} ORDER BY tbl"

GONE = (
    f"SELECT tbl, col FROM main.{SUBJECTS_TABLE} WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info(tbl, 'main') "
    "WHERE lower(name) = lower(col)) ORDER BY tbl"
)
"""Declared columns that aren't there."""

CREATE_SUBJECTS = f"CREATE TABLE IF NOT EXISTS main.{SUBJECTS_TABLE} (tbl TEXT PRIMARY KEY, col TEXT NOT NULL) STRICT"


class Subjects:
    """The declarations as one connection sees them, read once until they are forgotten."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._columns: Mapping[str, str] | None = None

    def columns(self) -> Mapping[str, str]:
        """The subject column of each table that declares one, by the table's name in lower case.

        SqlRefused if a change of the schema took one away: whose data a row is would be unknown from then on.
        """
        if self._columns is None:
            self._columns = self._read()
        return self._columns

    def _read(self) -> Mapping[str, str]:
        if not self._db.execute(_EXISTS).fetchone()[0]:
            return {}
        for table, column in self._db.execute(GONE).fetchall():
            raise SqlRefused(
                f"the subject column {table}.{column} can't be renamed or dropped: whose data a row is would be "
                "unknown; do it in a migration that says `-- vdb: subject TABLE.COLUMN`, or "
                f"`-- vdb: no subject {table}`"
            )
        return {table.lower(): column for table, column in self._db.execute(_ALL).fetchall()}

    def forget(self) -> None:
        """They may have changed."""
        self._columns = None
