"""The rows of `sqlite_sequence`: what AUTOINCREMENT remembers of each table, and what a transaction did to it.

SQLite allows no trigger on that table, writes it by itself at the end of a statement, and lets users edit it. So a
transaction's part is the difference between its beginning and its end.
"""

from __future__ import annotations

from typing import Any

from vdb.changes import SequenceChange
from vdb.errors import SqlRefused
from vdb.sql.tables import Cursor


def read_sequences(cursor: Cursor) -> list[tuple[Any, ...]]:
    """(table, value) as they are; nothing where no table has AUTOINCREMENT."""
    try:
        rows: list[tuple[Any, ...]] = cursor.execute("SELECT name, seq FROM main.sqlite_sequence").fetchall()
    except Exception as error:
        if "no such table" not in str(error):
            raise
        return []
    return rows


def changed_sequences(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> list[SequenceChange]:
    """What turns `before` into `after`. SqlRefused where a user's edits left what can't be said so."""
    if before == after:
        return []
    old, new = dict(before), _checked(after)
    gone = [SequenceChange(table=name, value=None) for name in old if name not in new and isinstance(name, str)]
    return gone + [
        SequenceChange(table=name, value=value) for name, value in new.items() if name not in old or old[name] != value
    ]


def _checked(rows: list[tuple[Any, ...]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in rows:
        if not isinstance(name, str) or not isinstance(value, int) or name in found:
            raise SqlRefused(
                "sqlite_sequence must have one row for each table, with its name and an integer: "
                "what else is written there can't be logged"
            )
        found[name] = value
    return found
