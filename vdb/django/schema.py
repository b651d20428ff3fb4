"""Migrations: as on SQLite, in one transaction each; what can't be altered in place is made anew and copied."""

from __future__ import annotations

from django.db.backends.sqlite3 import schema as sqlite


class DatabaseSchemaEditor(sqlite.DatabaseSchemaEditor):  # type: ignore[misc]
    """See the module's docstring."""
