"""Tables that are VerityDB's own within a SQL database. Users read them, and write none of them."""

from __future__ import annotations

from vdb.policy.words import SQL_STREAMS

META_TABLE = "projection_meta"
"""How much of the log the file has applied. In each node's file, never in the log."""

MIGRATIONS_TABLE = "vdb_migrations"
"""The migrations that were applied. Logged like a user's table."""

SUBJECTS_TABLE = "vdb_subject_columns"
"""The column of each table that says whose data a row is. Logged like a user's table."""

CAPTURE_TABLE = "vdb_capture"
"""The row changes of the transaction that is open: a TEMP table of its connection."""

CAPTURE_STATE_TABLE = "vdb_capture_state"
"""Which triggers are in place on a connection: a TEMP table of it."""

INTERNAL_TABLES = (META_TABLE, MIGRATIONS_TABLE, SUBJECTS_TABLE, CAPTURE_TABLE, CAPTURE_STATE_TABLE)

STREAM_PREFIX = SQL_STREAMS
"""Of the stream that holds a database's transactions; the database's name follows."""


def is_internal(table: str) -> bool:
    """Whether a table is one of ours. SQLite doesn't tell upper from lower case in names."""
    name = table.lower()
    return name in INTERNAL_TABLES or name.startswith(CAPTURE_TABLE)
