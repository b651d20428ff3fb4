"""Introspection: SQLite's, without VerityDB's own tables."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.introspection import TableInfo
from django.db.backends.sqlite3 import introspection as sqlite

from vdb.sql.refusals import is_own_name


class DatabaseIntrospection(sqlite.DatabaseIntrospection):  # type: ignore[misc]
    """What is in a database, for `inspectdb`, `flush` and migrations."""

    def get_table_list(self, cursor: Any) -> list[TableInfo]:
        return [table for table in super().get_table_list(cursor) if not is_own_name(table.name)]
