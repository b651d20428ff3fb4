"""What the database can do: what Django's backend for SQLite can, with the SQLite that VerityDB brings along."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import features as sqlite
from django.utils.functional import cached_property

_NO_CALLS = "A default in the schema can't call a function in Python: a node has the schema without the program."


class DatabaseFeatures(sqlite.DatabaseFeatures):  # type: ignore[misc]
    """See the module's docstring."""

    can_alter_table_drop_column = True
    can_return_columns_from_insert = True
    can_return_rows_from_bulk_insert = True

    @cached_property  # type: ignore[untyped-decorator]
    def django_test_skips(self) -> dict[str, Any]:
        skips: dict[str, Any] = dict(super().django_test_skips)
        # These are of an SQLite before 3.47, which Python may have, and VerityDB hasn't.
        skips.pop("SQLite does not parse escaped double quotes in the JSON path notation", None)
        skips[_NO_CALLS] = {"migrations.test_operations.OperationTests.test_add_field_database_default_function"}
        return skips
