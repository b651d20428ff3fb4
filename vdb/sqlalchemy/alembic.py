"""Alembic on VerityDB: as on SQLite, but that a migration is one transaction, its changes of the schema included.

Alembic loads this by itself (entry point `alembic.plugins`). Tables are rebuilt in batches (`render_as_batch=True` in
`env.py`, `op.batch_alter_table`), as SQLite alters little in place; VerityDB's own tables don't show in autogenerate.
"""

from __future__ import annotations

from typing import Any

from alembic.ddl.base import ColumnName, RenameTable
from alembic.ddl.sqlite import SQLiteImpl, visit_column_name, visit_rename_table
from sqlalchemy.ext.compiler import compiles

from vdb.sqlalchemy.dialect import VerityDialect

_NAME = VerityDialect.name


class VerityImpl(SQLiteImpl):
    """What Alembic does for the dialect `verity`."""

    __dialect__ = _NAME
    transactional_ddl = True


def setup(plugin: Any) -> None:
    """Called by Alembic, which has registered the above as this module was imported."""


compiles(RenameTable, _NAME)(visit_rename_table)
compiles(ColumnName, _NAME)(visit_column_name)
