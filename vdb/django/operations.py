"""How expressions of Django's are written: as for SQLite."""

from __future__ import annotations

from django.db.backends.sqlite3 import operations as sqlite


class DatabaseOperations(sqlite.DatabaseOperations):  # type: ignore[misc]
    """See the module's docstring."""

    def force_group_by(self) -> list[str]:
        """Nothing: it is for an SQLite older than ours."""
        return []
